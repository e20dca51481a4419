"""What must hold after everything that happens. It keeps its own copy of the table of states, and its own memory."""

from collections.abc import Collection
from typing import Any

from installs import overview
from installs.claim import Claim
from installs.lifecycle import ENDED, LIVE, TRANSITIONS, State
from installs.methods import METHODS
from installs.models import Event, Install
from installs.words import short_words
from machines.lifecycle import State as MachineState
from machines.models import Machine
from machines.power.base import Power
from tests.guarantees.asked import Asked
from tests.guarantees.hardware import Hardware, Message
from tests.guarantees.room import Room

TABLE = dict(TRANSITIONS)
UNVERIFIED = ("Could not verify", "did not go off", "by hand")
COLUMNS = (
    "pk", "machine_id", "machine__name", "state", "step", "method", "fence", "granted_boot_id", "phase", "done_bytes",
    "quiet_until", "give_up_at", "left_behind", "cause", "confirmed_at",
)  # fmt: skip
ROWS = Asked(lambda: Install.objects.order_by("pk").values(*COLUMNS))
EVENTS = Asked(lambda: Event.objects.filter(pk__gt=0).order_by("pk").values("pk", "install_id", "kind", "name"))
MACHINES = Asked(lambda: Machine.objects.order_by("pk").values("state", "handled_by", "pk"))


class Wrong(AssertionError):
    """Something happened that never may."""


def must(holds: object, words: str, *about: object) -> None:
    if not holds:
        raise Wrong(" ".join([words, *map(repr, about)]))


class Oracle:
    def __init__(self, room: Room) -> None:
        self.room, self.rows = room, dict[int, dict[str, Any]]()
        self._state: dict[int, str] = {}  # as the events alone tell it
        self._last_event = 0
        self._said: set[tuple[int, str]] = set()
        self._phases: dict[int, list[str]] = {}
        self._wrong: list[Wrong] = []  # seen within the product, which catches what a step raises
        room.began, room.granted = self.command_leaves, self.was_granted

    # Asked while it happens.

    def command_leaves(self, machine: Hardware, what: str, claim: Claim | None) -> None:
        try:
            if claim is None:
                self._operators_command_leaves(machine, what)
            else:
                self._command_leaves(machine, what, claim)
        except Wrong as wrong:
            self._wrong.append(wrong)

    def _command_leaves(self, machine: Hardware, what: str, claim: Claim) -> None:
        """INV2: a command leaves only for an install that goes on, by the worker that has it now."""
        row = Install.objects.values("state", "fence", "machine__name").get(pk=claim.install.pk)
        must(row["state"] in LIVE, "A power command left for an install that has ended", machine.name, what)
        must(row["fence"] == claim.install.fence, "A stale worker sent a power command", machine.name, what)
        must(row["machine__name"] == machine.name, "A command for another machine", row, machine.name)

    def _operators_command_leaves(self, machine: Hardware, what: str) -> None:
        """What an operator asked for: never while an install has the machine, and never of a protected one."""
        if what == "state":
            return
        going_on = Install.objects.live().filter(machine__name=machine.name)
        must(not going_on.exists(), "An operator's power command during an install", machine.name, what)
        protected = Machine.objects.filter(name=machine.name, protected=True)
        must(not protected.exists(), "An operator's power command to a protected machine", machine.name, what)

    def boot_was_answered(self, mac: str, answer: str) -> None:
        """INV3: only while an attempt goes on does a network boot lead to the ramdisk."""
        if "dodai_script=" not in answer:
            return
        going_on = Install.objects.filter(machine__interfaces__mac=mac, state__in=[State.RUNNING, State.WAITING])
        must(going_on.exists(), "A destructive boot answer outside of a live attempt", mac)

    def was_granted(self, asked: Message) -> None:
        """INV4, INV9: to one kernel boot of a live attempt, on a machine that is not protected."""
        row = Install.objects.select_related("machine").get(pk=asked.attempt)
        must(row.state in (State.RUNNING, State.WAITING), "A grant outside of a live attempt", row.state)
        must(row.granted_boot_id == asked.boot_id, "A grant for another boot than the first", asked.boot_id)
        must(not row.machine.protected, "A grant on a protected machine", row.machine.name)

    # Asked after each rule.

    def check(self) -> None:
        for wrong in self._wrong:
            raise wrong
        if not self.room.writes.any_since():
            return
        before = self.rows
        self.rows = {row["pk"]: row for row in ROWS()}
        self._read_events()
        for pk, row in self.rows.items():
            old = before.get(pk)
            if old != row:
                self._row_changed(old, row)
        self._machines_agree()
        self._words_agree([pk for pk, row in self.rows.items() if before.get(pk) != row])

    def _read_events(self) -> None:
        """INV6, INV11, INV12: the events lead along the table to the row's state; a machine says each thing once."""
        for event in EVENTS(self._last_event):
            self._last_event, install, kind, name = (event[key] for key in ("pk", "install_id", "kind", "name"))
            if kind == Event.Kind.STATE:
                self._state[install] = self._after(install, name)
            elif kind == Event.Kind.MACHINE:
                must((install, name) not in self._said, "An event was applied twice", install, name)
                self._said.add((install, name))
        for pk, row in self.rows.items():
            must(self._state.get(pk) == row["state"], "The events tell another state", self._state.get(pk), row)
        twice = [said for said, times in self.room.applied.items() if times > 1]
        must(not twice, "Two answers said that the same event was applied", twice)

    def _after(self, install: int, event: str) -> str:
        if event == "queue":
            must(install not in self._state, "Queued twice", install)
            return State.QUEUED
        sources, target = TABLE[event]
        must(self._state.get(install) in sources, "A change outside of the table", self._state.get(install), event)
        return target

    def _row_changed(self, old: dict[str, Any] | None, row: dict[str, Any]) -> None:
        if row["state"] in LIVE - {State.QUEUED}:
            must(row["quiet_until"] or row["give_up_at"], "INV5: a live state without a deadline", row)
        if old is None:
            return
        must(row["cause"] != "bug", "A fault in Dodai itself", row)
        must(row["step"] >= old["step"], "The steps went back", old, row)
        must(row["granted_boot_id"] == old["granted_boot_id"] or not old["granted_boot_id"], "INV4: another grant", row)
        must(old["state"] not in ENDED or self._same_end(old, row), "INV6: an end has changed", old, row)
        self._progress(old, row)
        self._confirmed(old, row)
        if row["state"] in ENDED and old["state"] in LIVE:
            self._has_ended(row)

    def _same_end(self, old: dict[str, Any], row: dict[str, Any]) -> bool:
        return all(old[name] == row[name] for name in ("state", "step", "cause", "left_behind"))

    def _confirmed(self, old: dict[str, Any], row: dict[str, Any]) -> None:
        """An install is confirmed by its own OS's call, at once or late, and that is never taken back."""
        must(old["confirmed_at"] in (None, row["confirmed_at"]), "Confirmed again, or no more", old, row)
        if row["state"] == State.INSTALLED:
            has_called = (row["pk"], "installed") in self._said
            must(has_called == bool(row["confirmed_at"]), "Confirmed, or not, against its OS's call", row)
        else:
            must(row["confirmed_at"] is None, "Confirmed, but not installed", row)

    def _progress(self, old: dict[str, Any], row: dict[str, Any]) -> None:
        phases = self._phases.setdefault(row["pk"], [])
        if row["phase"] == old["phase"]:
            must(row["done_bytes"] >= old["done_bytes"], "Progress went back", old, row)
        elif row["phase"]:
            must(row["phase"] not in phases, "A phase began again", row["phase"])
            phases.append(row["phase"])

    def _has_ended(self, row: dict[str, Any]) -> None:
        """INV7: what the end says is so, on the machine itself."""
        machine, pk, left = self.room.by_name[row["machine__name"]], row["pk"], row["left_behind"]
        wrote = machine.writers.get(pk, set())
        must(len(wrote) <= 1, "Two kernel boots wrote for one attempt", wrote)
        if row["state"] == State.INSTALLED and row["method"] != "inspect":
            known = row["confirmed_at"] or pk in self.room.seen
            must(machine.disk_of == pk and known, "Installed, but its OS is not there", row)
        if row["cause"] == "no-first-boot" and not self.room.has_lost_workers:
            must(pk not in self.room.seen, "T17: its OS was seen, and it has failed", row)
        if "No disk was written" in left:
            must(not wrote, "It says that nothing was written, but it was", row)
        if "The machine is off" in left:
            must(machine.power == Power.OFF, "It says that the machine is off, but it is on", row)
        writes = machine.writes_for() == pk
        must(not writes or any(words in left for words in UNVERIFIED), "It ended while its script still writes", row)

    def _machines_agree(self) -> None:
        """INV1, and that a machine's row says whose it is."""
        live: dict[int, dict[str, Any]] = {}
        for row in self.rows.values():
            if row["state"] in LIVE:
                must(row["machine_id"] not in live, "INV1: two live installs of one machine", row["machine__name"])
                live[row["machine_id"]] = row
        for machine in MACHINES():
            state, handled_by, row = machine["state"], machine["handled_by"], live.get(machine["pk"])
            must(handled_by == (f"install {row['pk']}" if row else ""), "In whose hands is it?", handled_by, row)
            installs = row is not None and row["method"] != "inspect"
            must((state == MachineState.INSTALLING) == installs, "The machine says another state", state, row)

    def _words_agree(self, changed: Collection[int]) -> None:
        """What lists show of an install is true of it at this moment."""
        if not changed:
            return
        chosen = Install.objects.select_related("machine", "image").filter(pk__in=changed).defer("plan")
        for install, marks in overview.with_marks(list(chosen)):
            words = short_words(install, marks, now=self.room.clock.wall)
            labels = {label for _, label in METHODS[install.method].milestones}
            match install.state:
                case State.QUEUED:
                    holds = words == "Queued"
                case State.STOPPING:
                    holds = words == "Being stopped"
                case State.INSTALLED:
                    is_known = install.is_inspection or install.confirmed_at
                    holds = words == (METHODS[install.method].done_label if is_known else "Installed, not confirmed")
                case State.FAILED | State.CANCELLED:
                    holds = words.startswith(str(State(install.state).label))
                case _:
                    holds = words.split(",")[0] in labels
            must(holds, "The words shown do not agree", install.state, words)
