"""Works out what a file would change, field by field, and everything that is wrong with it. Writes nothing."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from dodaiweb import keys
from machines import identity
from machines.inventory import schema
from machines.inventory.plan import Entry, Item, Plan
from machines.inventory.problems import Problem
from machines.inventory.reading import Cell, Record
from machines.inventory.schema import Kind
from machines.inventory.twins import find_twins
from machines.inventory.values import SKIP, value_of
from machines.models import BMC_PASSWORD_PURPOSE, Bmc, Disk, Interface, Machine, Site, Switch

WHILE_HANDLED = {"rack", "unit", "owner", "notes"}  # what may be edited while something is at work on a machine


def make_plan(records: list[Record]) -> Plan:
    """Compare with the inventory. The number of queries is the same for any file and inventory."""
    return _Planner(records).plan()


class _Planner:
    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.problems: list[Problem] = []
        self.named: list[Entry] = []  # switches that only cards speak of
        self.known: dict[str, dict[str, Any]] = {
            kind.name: {
                str(getattr(row, kind.columns[0])): row for row in kind.model.objects.select_related(*kind.links)
            }
            for kind in schema.SHARED
        }
        self.machines = {machine.name: machine for machine in Machine.objects.defer("facts").select_related("site")}
        self.bmcs = {bmc.machine_id: bmc for bmc in Bmc.objects.select_related("credentials")}
        self.cards = {card.mac: card for card in Interface.objects.all()}
        self.disks: dict[int, list[Disk]] = {}
        for disk in Disk.objects.all():
            self.disks.setdefault(disk.machine_id, []).append(disk)
        self.cards_of: dict[int, list[Interface]] = {}
        for card in self.cards.values():
            self.cards_of.setdefault(card.machine_id, []).append(card)
        names = {row.pk: row for row in self.known["cluster"].values()}
        types = {row.pk: row for row in self.known["machine_type"].values()}
        switches = {row.pk: row for row in self.known["switch"].values()}
        for card in self.cards.values():
            card.switch = switches.get(card.switch_id)
        for machine in self.machines.values():  # two joins fewer, and one object a cluster
            machine.cluster = names.get(machine.cluster_id)
            machine.type = types.get(machine.type_id)

    def plan(self) -> Plan:
        order = {kind.name: number for number, kind in enumerate((*schema.SHARED, schema.MACHINE))}
        records = sorted(self.records, key=lambda record: order[record.kind.name])
        entries = [entry for record in records if (entry := self._entry(record))]
        entries += self.named
        self.problems += find_twins(entries, self.machines, self.bmcs)
        return Plan(entries, sorted(set(self.problems)))

    def _entry(self, record: Record) -> Entry | None:
        known = self.machines if record.kind is schema.MACHINE else self.known[record.kind.name]
        key = record.text(record.kind.columns[0])
        key = (key.lstrip("0") or key) if record.kind is schema.VLAN else key
        if not key:
            self._complain(record.line, record.kind.columns[0], _("is missing: it says what this is about"))
            return None
        row = known.get(key)
        item = Item(record.kind, record, row if row is not None else record.kind.model(), row is None)
        if record.kind is schema.MACHINE and item.is_new:
            item.row.site = self._usual_site()
        was_practice = _is_practice(item)
        self._fill(item)
        if record.kind is schema.CLUSTER:
            self._check(item)
        known.setdefault(key, item.row)
        parts = [part for found in record.parts if (part := self._part(item.row, found))]
        if record.kind is schema.MACHINE:
            self._choose_one(item, parts, Interface, "is_pxe", self.cards_of.get(item.row.pk, []))
            self._choose_one(item, parts, Disk, "is_root", self.disks.get(item.row.pk, []))
            self._refuse_hands_off(item, parts, was_practice=was_practice)
        return Entry(item, parts)

    def _part(self, machine: Machine, record: Record) -> Item | None:
        row = self._row_of_part(machine, record)
        if row is None:
            return None
        item = Item(record.kind, record, row, row._state.adding)
        if item.is_new:
            row.machine = machine
            if record.kind is schema.BMC and not record.text("driver"):
                row.driver = "ipmi"
        self._fill(item)
        return item

    def _row_of_part(self, machine: Machine, record: Record) -> Any:
        match record.kind.name:
            case "bmc":
                return self.bmcs.get(machine.pk) or Bmc()
            case "interface":
                return self._card(machine, record)
        serial, wwn = record.text("serial"), record.text("wwn")
        if not serial and not wwn:
            self._complain(record.line, "serial", _("a disk needs its serial number or its WWN"))
            return None
        for disk in self.disks.get(machine.pk, []):
            if (serial and disk.serial == serial and wwn in ("", disk.wwn)) or (wwn and not serial and disk.wwn == wwn):
                return disk
        return Disk()

    def _card(self, machine: Machine, record: Record) -> Interface | None:
        cell = record.cells.get("mac")
        if cell is None or not cell.text:
            self._complain(record.line, "mac", _("a network card needs its MAC address"))
            return None
        try:
            mac = identity.normal_mac(cell.text)
        except identity.BadIdentity as exc:
            self._complain(cell.line, cell.column, str(exc))
            return None
        card = self.cards.get(mac)
        if card and card.machine_id != machine.pk:
            owner = next(known.name for known in self.machines.values() if known.pk == card.machine_id)
            self._complain(cell.line, cell.column, _("%(mac)s belongs to %(owner)s") % {"mac": mac, "owner": owner})
            return None
        return card or Interface(mac=mac)

    def _fill(self, item: Item) -> None:
        """Put the file's values into the row, noting what changes."""
        for column, cell in item.record.cells.items():
            if column == schema.PASSWORD:
                self._password(item, cell)
                continue
            try:
                value = self._value(item.kind, column, cell)
            except (ValidationError, ValueError) as exc:
                words = exc.messages if isinstance(exc, ValidationError) else [str(exc)]
                for text in words:
                    self._complain(cell.line, cell.column, text)
                continue
            if value is not SKIP:
                self._set(item, schema.attribute(column), value)
        if item.is_new:
            self._require(item)

    def _check(self, item: Item) -> None:
        """Whether its values fit each other."""
        try:
            item.row.clean()
        except ValidationError as exc:
            for name, words in exc.message_dict.items():
                cell = item.record.cells.get(name)
                line, column = (cell.line, cell.column) if cell else (item.record.line, name)
                for text in words:
                    self._complain(line, column, text)

    def _value(self, kind: Kind, column: str, cell: Cell) -> Any:
        """The value for the model, or SKIP. Raises ValidationError or ValueError with words."""
        if column in kind.links:
            model_field = kind.model._meta.get_field(schema.attribute(column))
            if kind is schema.INTERFACE and cell.text is not None and cell.text not in self.known["switch"]:
                return self._new_switch(cell)
            return self._linked(kind.links[column], model_field, cell)
        return value_of(kind, column, cell)

    def _linked(self, kind: str, model_field: Any, cell: Cell) -> Any:
        if cell.text is None:
            if not model_field.null:
                raise ValueError(_("cannot be empty"))
            return None
        found = self.known[kind].get(cell.text)
        if found is None:
            raise ValueError(_("there is no %(kind)s %(name)s") % {"kind": kind.replace("_", " "), "name": cell.text})
        return found

    def _new_switch(self, cell: Cell) -> Switch:
        """A card that names a switch is how one is first heard of: until somebody says more, people move its ports."""
        row = Switch(name=Switch._meta.get_field("name").clean(cell.text, None))
        item = Item(schema.SWITCH, Record(schema.SWITCH, cell.line, {"name": cell}), row, True)
        self.known["switch"][row.name] = row
        self.named.append(Entry(item, []))
        return row

    def _password(self, item: Item, cell: Cell) -> None:
        stored = item.row.password_sealed
        if cell.text is None or (stored and keys.decrypt(stored, purpose=BMC_PASSWORD_PURPOSE) == cell.text):
            return
        if len(cell.text) > 128:
            self._complain(cell.line, cell.column, _("is longer than 128 characters"))
            return
        item.password = cell.text
        item.changes["password_sealed"] = []

    def _set(self, item: Item, name: str, value: Any) -> None:
        old = getattr(item.row, name)
        if isinstance(old, str) and old.strip() == value:
            return
        if old != value:
            setattr(item.row, name, value)
            item.changes[name] = [_shown(old), _shown(value)]

    def _require(self, item: Item) -> None:
        for column in item.kind.columns:
            if column in item.record.cells or column in (schema.PASSWORD, "pxe", "root"):
                continue  # what is wrong with a cell has been said
            model_field: Any = item.kind.model._meta.get_field(schema.attribute(column))
            if not model_field.blank and not model_field.is_relation and getattr(item.row, column) in (None, ""):
                self._complain(item.record.line, column, _("a new one needs it"))

    def _choose_one(self, item: Item, parts: list[Item], model: Any, flag: str, stored: list[Any]) -> None:
        """One card boots from the network, one disk is installed on: choosing another gives up the one before."""
        mine = [part for part in parts if part.kind.model is model]
        chosen = [part for part in mine if getattr(part.row, flag) and flag in part.changes]
        for part in chosen[1:]:
            cell = part.record.cells.get("pxe" if model is Interface else "root")
            where = (cell.line, cell.column) if cell else (part.record.line, flag)
            self._complain(*where, _("only one can be chosen"))
        had = [row for row in stored if getattr(row, flag)]
        if model is Interface and mine and not chosen and not had:
            said = {part.record.text("pxe") for part in mine}
            if said == {""}:  # nobody says which: the first one in the file
                self._set(mine[0], flag, True)
        for row in had if chosen else ():
            if all(row is not part.row for part in chosen):
                other = next((part for part in mine if part.row is row), None)
                if other is None:
                    other = Item(mine[0].kind, item.record, row, False)
                    parts.append(other)
                self._set(other, flag, False)

    def _refuse_hands_off(self, item: Item, parts: list[Item], *, was_practice: bool) -> None:
        """Practice servers are the lab's: nothing of them is edited, nothing becomes one or ceases to be one."""
        touched = {name for part in parts for name in part.changes or ({"new"} if part.is_new else ())}
        touched |= set(item.changes) - WHILE_HANDLED
        machine = item.row
        if not (item.is_new or touched or item.changes):
            return
        if was_practice or _is_practice(item):
            self._complain(item.record.line, "name", _("%(name)s is a practice server") % {"name": machine.name})
        elif touched and machine.handled_by and not item.is_new:
            words = _("%(name)s is in the hands of %(by)s: wait for it, or cancel it")
            self._complain(item.record.line, "name", words % {"name": machine.name, "by": machine.handled_by})

    def _usual_site(self) -> Any:
        sites = self.known["site"]
        return sites.get("main") or next((site for site in sites.values() if not site.is_practice), None) or Site()

    def _complain(self, line: int, column: str, text: str) -> None:
        self.problems.append(Problem(line, column, text))


def _is_practice(item: Item) -> bool:
    site = item.row.site if item.kind is schema.MACHINE and item.row.site_id else None
    return site is not None and site.is_practice


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
