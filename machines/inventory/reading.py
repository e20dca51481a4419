"""Files into records. Nothing is looked up here: only shape, columns and sizes are checked."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from django.utils.translation import gettext as _

from machines.inventory import schema
from machines.inventory.problems import InventoryProblem, Problem
from machines.inventory.schema import Kind

BIGGEST_FILE_BYTES = 20 << 20
MOST_RECORDS = 50_000
DEEPEST = 8  # levels of YAML; a machine's card is the fifth
CLEAR = "-"  # a cell that empties what is stored; an empty one changes nothing
FORMULA = re.compile(r"^'*[=+\-@\t\r]")  # a spreadsheet would run what begins so; the export puts one more ' in front
NUMBERED = re.compile(r"^([a-z_]+)_([1-9][0-9]?)$")
LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # in C a file of 10,000 machines takes seconds, not minutes


@dataclass(frozen=True)
class Cell:
    """`text` is None where the file empties a value. `column` is what the file calls it."""

    text: str | None
    line: int
    column: str


@dataclass
class Record:
    kind: Kind
    line: int
    cells: dict[str, Cell]
    parts: list["Record"] = field(default_factory=list)

    def text(self, column: str) -> str:
        cell = self.cells.get(column)
        return (cell.text or "").strip() if cell else ""


def read(text: str, name: str) -> list[Record]:
    """The records of a file, by the end of its name. Raises InventoryProblem with everything wrong with its shape."""
    if len(text) > BIGGEST_FILE_BYTES:
        raise _whole(_("the file is larger than %(size)s MiB: split it") % {"size": BIGGEST_FILE_BYTES >> 20})
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise _whole(_("the file has NUL bytes: it is no text"))
    problems: list[Problem] = []
    if name.lower().endswith((".yaml", ".yml")):
        records = list(_read_yaml(text, problems))
    elif name.lower().endswith(".csv"):
        records = list(_read_csv(text, problems))
    else:
        raise _whole(_("%(name)s: the name must end in .csv, .yaml or .yml") % {"name": name})
    if problems:
        raise InventoryProblem(*problems)
    return records


def decode(body: bytes) -> str:
    """Raises InventoryProblem unless it is UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _whole(_("the file is not UTF-8: save it as “CSV UTF-8” or as YAML in UTF-8")) from exc


def _whole(text: str) -> InventoryProblem:
    return InventoryProblem(Problem(0, "", text))


def _read_csv(text: str, problems: list[Problem]) -> Iterator[Record]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets of many countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if not _header_is_good(header, problems):
            return
        line = reader.line_num + 1
        for count, values in enumerate(reader, 1):
            if count > MOST_RECORDS:
                raise _whole(_("more than %(count)s rows: split the file") % {"count": MOST_RECORDS})
            if len(values) != len(header) and any(values):
                words = _("has %(found)s cells, the first line has %(wanted)s")
                problems.append(Problem(line, "", words % {"found": len(values), "wanted": len(header)}))
            elif any(value.strip() for value in values):
                yield _row(line, dict(zip(header, values, strict=True)))
            line = reader.line_num + 1
    except csv.Error as exc:
        problems.append(Problem(reader.line_num, "", str(exc)))


def _header_is_good(header: list[str], problems: list[Problem]) -> bool:
    for name in header:
        if _place(name) is None:
            words = _("there is no such column: see the list in docs/inventory.md")
            problems.append(Problem(1, name or _("(without a name)"), words))
        elif header.count(name) > 1:
            problems.append(Problem(1, name, _("this column is there twice")))
    if "name" not in header:
        problems.append(Problem(1, "name", _("this column is missing: it says which machine a row is")))
    return not problems


def _place(name: str) -> tuple[Kind, str, str] | None:
    """(kind, number, column) that a CSV column stands for."""
    if name in schema.MACHINE.columns:
        return schema.MACHINE, "", name
    if name in schema.CSV_BMC:
        return schema.BMC, "", schema.CSV_BMC[name]
    if match := NUMBERED.match(name):
        for kind, columns in ((schema.INTERFACE, schema.CSV_INTERFACE), (schema.DISK, schema.CSV_DISK)):
            if match[1] in columns:
                return kind, match[2], columns[match[1]]
    return None


def _row(line: int, values: dict[str, str]) -> Record:
    found: dict[tuple[str, str], Record] = {}
    for name, value in values.items():
        place = _place(name)
        if place is None or not value.strip():
            continue
        kind, number, column = place
        record = found.setdefault((kind.name, number), Record(kind, line, {}))
        text = value if column == schema.PASSWORD else value.strip()
        record.cells[column] = Cell(None if text == CLEAR else _plain(text), line, name)
    machine = found.pop(("machine", ""), Record(schema.MACHINE, line, {}))
    machine.parts = list(found.values())
    return machine


def _plain(value: str) -> str:
    """Undo what the export did to cells that a spreadsheet would run."""
    return value[1:] if value.startswith("'") and FORMULA.match(value) else value


def _read_yaml(text: str, problems: list[Problem]) -> Iterator[Record]:
    try:
        root = _tree(text)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        problems.append(Problem(line, "", _("not YAML: %(why)s") % {"why": exc.problem or exc.context}))
        return
    except yaml.YAMLError as exc:
        raise _whole(_("not YAML: %(why)s") % {"why": exc}) from exc
    if root is None:
        return
    count = 0
    for section, node in _entries(root, schema.SECTIONS, "", problems):
        for item in _items(node, section, problems):
            count += 1
            if count > MOST_RECORDS:
                raise _whole(_("more than %(count)s entries: split the file") % {"count": MOST_RECORDS})
            yield _entry(schema.SECTIONS[section], item, section, problems)


def _tree(text: str) -> Any:
    """The nodes of the document; every value is the text it is: to YAML 1.1 a MAC of digits is a number in base 60.

    Built from the parser's events, as PyYAML's own composers recurse: deep nesting would kill the process.
    """
    root: Any = None
    open_nodes: list[Any] = []
    events: Any = yaml.parse(text, Loader=LOADER)
    for event in events:
        line = event.start_mark.line + 1
        node = _node(event)
        if isinstance(event, yaml.CollectionEndEvent):
            closed = open_nodes.pop()
            if isinstance(closed, yaml.MappingNode):
                closed.value = list(zip(closed.value[::2], closed.value[1::2], strict=True))
        if node is None:
            continue
        if open_nodes:
            open_nodes[-1].value.append(node)
        elif root is None:
            root = node
        else:
            raise InventoryProblem(Problem(line, "", _("one document a file, please")))
        if not isinstance(node, yaml.ScalarNode):
            open_nodes.append(node)
        if len(open_nodes) > DEEPEST:
            raise InventoryProblem(Problem(line, "", _("this is nested too deep")))
    return root


def _node(event: Any) -> Any:
    begin, end = event.start_mark, event.end_mark
    match event:
        case yaml.AliasEvent():
            raise InventoryProblem(Problem(begin.line + 1, "", _("write it out instead of “*”")))
        case yaml.ScalarEvent():
            return yaml.ScalarNode("", event.value, begin, end, style=event.style)
        case yaml.SequenceStartEvent():
            return yaml.SequenceNode("", [], begin, end)
        case yaml.MappingStartEvent():
            return yaml.MappingNode("", [], begin, end)
    return None


def _entry(kind: Kind, node: Any, section: str, problems: list[Problem]) -> Record:
    record = Record(kind, node.start_mark.line + 1, {})
    known = dict.fromkeys(kind.columns) | (schema.PARTS if kind is schema.MACHINE else {})
    for key, value in _entries(node, known, section, problems):
        if key in schema.PARTS and kind is schema.MACHINE:
            parts = [value] if key == "bmc" else _items(value, key, problems)
            record.parts += [_entry(schema.PARTS[key], part, key, problems) for part in parts]
        elif isinstance(value, yaml.ScalarNode):
            text = value.value if key == schema.PASSWORD else value.value.strip()
            is_empty = text == "" or (not value.style and text in ("~", "null"))
            record.cells[key] = Cell(None if is_empty else text, value.start_mark.line + 1, key)
        else:
            problems.append(Problem(value.start_mark.line + 1, key, _("must be one value")))
    return record


def _entries(node: Any, known: Any, section: str, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        words = _("must be a mapping with some of: %(names)s") % {"names": ", ".join(known)}
        problems.append(Problem(line, section, words))
        return
    seen = set()
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        line = key.start_mark.line + 1
        if name not in known:
            words = _("there is no such entry here: it can be one of %(names)s") % {"names": ", ".join(known)}
            problems.append(Problem(line, name, words))
        elif name in seen:
            problems.append(Problem(line, name, _("is there twice")))
        else:
            seen.add(name)
            yield name, value


def _items(node: Any, section: str, problems: list[Problem]) -> list[Any]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not (isinstance(node, yaml.ScalarNode) and node.value == ""):
        problems.append(Problem(node.start_mark.line + 1, section, _("must be a list: begin each entry with “- ”")))
    return []
