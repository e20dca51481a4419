"""Finds words that a user would read and nobody could translate: in templates, and in what views say."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, nodes

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "templates" / "pages"
SPOKEN = ("aria-label", "title", "placeholder", "alt", "data-confirm", "data-yes", "data-l", "label", "content")
NOT_FOR_PEOPLE = {"code", "kbd", "script", "style", "pre"}
NAMES = set(
    "Dodai dodai web MAC BMC VLAN UUID SHA-256 IPv4 U MiB GiB OS DHCP Redfish IPMI UEFI BIOS HTTP TFTP URL CSV YAML "
    "IP PXE CPU TLS HMAC WWN".split()
)
"""Words that are the same in every language."""
SILENT_CALLS = set(
    "_ gettext ngettext pgettext npgettext url url_if static icon query has_perm get append lstrip strip split "
    "startswith replace isoformat".split()
)
"""Calls whose arguments nobody reads, or that translate them."""
PHRASE = re.compile(r"^[A-Z][a-z]+|[A-Za-z]{2,} [A-Za-z]{2,}")
BLOCK = re.compile(r"\{#.*?#\}|\{%-?\s*trans\b.*?endtrans\s*-?%\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
WATCHED = re.compile(r"\{% block watch %\}.*?\{% endblock %\}", re.DOTALL)  # what the page is told to look out for
HOLE = "\0"


def in_template(source: str) -> Iterator[str]:
    """Literal words in the HTML of a template, and in the expressions it prints."""
    reader = _Reader()
    reader.feed(BLOCK.sub(f" {HOLE} ", WATCHED.sub("", source)))  # blanks: a tag may go on behind it
    reader.close()
    pieces = (piece.strip() for text in reader.found for piece in text.split(HOLE))
    yield from (piece for piece in pieces if _has_words(piece))
    tree = Environment(extensions=["jinja2.ext.i18n"]).parse(source)  # noqa: S701 - never rendered
    printed = [part for output in tree.find_all(nodes.Output) for part in output.nodes]
    set_to = [assign.node for assign in tree.find_all(nodes.Assign)]
    given = [part for call in tree.find_all(nodes.CallBlock) for part in [call.call]]
    for expression in [*printed, *set_to, *given]:
        yield from (text for text in _texts(expression) if PHRASE.search(text) and _has_words(text))


def in_python(source: str, *, names: frozenset[str]) -> Iterator[str]:
    """Literal text handed to calls of these names (`messages.error`, `Words`...), f-strings included."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) in names:
            for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                yield from _literals(argument)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in NOT_FOR_PEOPLE or (self._inside and self._inside[-1] == tag):
            self._inside.append(tag)
        read = [name for name in SPOKEN if name != "content"]
        if tag == "input" and values.get("type") in ("submit", "button"):
            read.append("value")
        self.found += [str(values[name]) for name in read if values.get(name)]

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.found.append(data)


def _has_words(text: str) -> bool:
    words = re.findall(r"[A-Za-z][A-Za-z0-9-]+|\bU\b", text)
    return any(word not in NAMES for word in words)


def _texts(node: nodes.Node) -> Iterator[str]:
    """Constants that can become text; those that only choose, name or compare are left out."""
    match node:
        case nodes.Const(value=str() as value):
            yield value
        case nodes.CondExpr():
            yield from _texts(node.expr1)
            if node.expr2:
                yield from _texts(node.expr2)
        case nodes.Filter():
            if node.node:
                yield from _texts(node.node)
            if node.name == "plural":
                yield "An English plural: use ngettext"
        case nodes.Call():
            name = getattr(node.node, "name", None) or getattr(node.node, "attr", "")
            if name not in SILENT_CALLS:
                for part in [*node.args, *(keyword.value for keyword in node.kwargs)]:
                    yield from _texts(part)
        case nodes.Concat() | nodes.List() | nodes.Tuple():
            for part in getattr(node, "nodes", None) or node.items:
                yield from _texts(part)
        case nodes.Dict():
            for pair in node.items:
                yield from _texts(pair.value)
        case nodes.Getitem():
            yield from _texts(node.node)
        case nodes.And() | nodes.Or() | nodes.Add():
            yield from _texts(node.left)
            yield from _texts(node.right)


def _literals(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as value) if PHRASE.search(value):
            yield value
        case ast.JoinedStr():
            yield ast.unparse(node)
        case ast.IfExp():
            yield from _literals(node.body)
            yield from _literals(node.orelse)
        case ast.BinOp():
            yield from _literals(node.left)
