"""Random schedules: whatever may happen in a room of machines, in any order, by Hypothesis; see test_schedules.py."""

from collections.abc import Callable
from typing import Any
from unittest import mock

from django.db import transaction
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from installs import actions, by_hand, plan
from installs.lifecycle import LIVE, State
from installs.models import Image, Install
from machines import actions as machine_actions
from machines import lifecycle, upkeep
from machines.models import Machine
from machines.power.base import Power
from tests.guarantees import script
from tests.guarantees.hardware import FATES, ILLNESSES, SPELLINGS, Hardware, Kernel, call
from tests.guarantees.oracle import Oracle, must
from tests.guarantees.room import MACHINES, Room

STEPS = 20
REFUSALS = (actions.Refused, machine_actions.Refused, lifecycle.NotAllowed)
DURATIONS = (1, 2, 6, 16, 61, 200, 700, 4000)
UNTIL_THE_LAST_LOOK = (890, 901, 906, 930, 4000)  # the OS has 900 s to call
DOWN = (5, 20, 3600)
IMAGES = {"by hand": "by-hand", "chain": "chained"}
CLOCK_STEPS = (3600, -3600, 90, -90)

which = st.integers(0, MACHINES - 1)


class Schedule(RuleBasedStateMachine):
    furnish: Callable[[], Room]
    finished = 0

    def __init__(self) -> None:
        super().__init__()
        self._undone = transaction.atomic()
        self._undone.__enter__()
        self.room = type(self).furnish()
        self.oracle = Oracle(self.room)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._undone.__exit__(None, None, None)
        Schedule.finished += 1

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """After each rule, and cheaper than by `invariant`."""
        self.oracle.check()

    # What people do.

    @rule(n=which, kind=st.sampled_from(["install", "install", "inspect", "two at once", "by hand", "chain"]))
    def start(self, n: int, kind: str) -> None:
        machine, image = self._row(n), Image.objects.get(name=IMAGES.get(kind, "debian"))
        if kind == "two at once":
            self._start_two(machine, image)
            return
        try:
            if kind == "inspect":
                actions.start_inspection(machine, by="anna")
            else:
                actions.start_install(machine, image, by="anna")
        except actions.Refused:
            return
        must(not machine.protected, "Started on a protected machine", machine.name)

    @precondition(lambda self: self._live())
    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        self._try(lambda: actions.cancel(Install.objects.get(pk=self._one_of(self._live(), pick)), by="ben"))

    @precondition(lambda self: self.oracle.rows)
    @rule(pick=st.integers(0, 9), what=st.sampled_from(["retry", "retry", "cancel"]))
    def retry_or_cancel_any(self, pick: int, what: str) -> None:
        install = Install.objects.select_related("machine", "image").get(pk=self._one_of(self.oracle.rows, pick))
        self._try(lambda: getattr(actions, what)(install, by="ben"))

    @precondition(lambda self: self._by_hand())
    @rule(pick=st.integers(0, 9), what=st.sampled_from(["take", "take", "note", "done", "done", "cannot"]))
    def operator_says(self, pick: int, what: str) -> None:
        install = Install.objects.select_related("machine").get(pk=self._one_of(self._by_hand(), pick))
        words = {"note": ("A note.",), "cannot": ("No stick.",)}.get(what, ())
        more = {"is_untouched": bool(pick % 2)} if what == "cannot" else {}
        said = self._try(lambda: getattr(by_hand, what)(install, *words, by="cleo", **more))
        if said and what in ("take", "done") and (install.pk, "taken") not in self.oracle.said:
            must(not install.machine.protected, "Taken on a protected machine", install.machine.name)

    @rule(n=which, seconds=st.sampled_from([1, 700, 4000]), ends=st.sampled_from(["done", "cannot", "take"]))
    def a_chain_goes_to_its_end(self, n: int, seconds: int, ends: str) -> None:
        """Nothing boots from the network, or a BMC does not answer: an operator is called, and may say how it went."""
        self.start(n=n, kind="chain")
        self.oracle.check()
        self.room.pass_time(700, with_workers=True)
        self.oracle.check()
        if self._by_hand():
            self.operator_says(pick=n, what=ends)
            self.oracle.check()
        self.room.pass_time(seconds, with_workers=True)

    @rule(n=which, what=st.sampled_from(["protect", "unprotect", "set aside", "take back", "off", "on", "soft"]))
    def decide(self, n: int, what: str) -> None:
        machine = self._row(n)
        match what:
            case "protect" | "unprotect":
                upkeep.protect(machine, protected=what == "protect")
            case "set aside":
                self._try(lambda: machine_actions.set_aside(machine, by="ben", why="fan", until=None))
            case "take back":
                self._try(lambda: upkeep.take_back(machine))
            case _:
                self._try(lambda: machine_actions.request_power(machine, what, by="ben"))

    # What Dodai's processes do.

    @rule(times=st.integers(1, 6))
    def work(self, times: int) -> None:
        self.room.work(times)

    @rule(at=st.integers(1, 8), dies=st.booleans())
    def worker_stops(self, at: int, dies: bool) -> None:
        self.room.work_and_stop(at, dies=dies)

    @precondition(lambda self: self.room.frozen)
    @rule(pick=st.integers(0, 9))
    def worker_wakes(self, pick: int) -> None:
        self.room.wake(pick % len(self.room.frozen))

    @rule(at=st.integers(1, 6), seconds=st.sampled_from([10, 16, 61, 700]))
    def worker_is_frozen_for(self, at: int, seconds: int) -> None:
        """And others take over, if that is longer than its lease."""
        self.room.work_and_stop(at, dies=False)
        self.room.pass_time(seconds, with_workers=True)
        self.oracle.check()
        for _ in list(self.room.frozen):
            self.room.wake(0)

    @rule()
    def power_work(self) -> None:
        self.room.power_work()

    @rule(seconds=st.sampled_from(DURATIONS), with_workers=st.booleans())
    def time_passes(self, seconds: int, with_workers: bool) -> None:
        self.room.pass_time(seconds, with_workers=with_workers)

    @rule(seconds=st.sampled_from(DOWN))
    def dodai_is_down(self, seconds: int) -> None:
        self.room.down(seconds)

    @rule(seconds=st.sampled_from(CLOCK_STEPS))
    def clock_is_stepped(self, seconds: int) -> None:
        self.room.step_clock(seconds)

    @rule()
    def power_is_polled(self) -> None:
        self.room.poll()

    # What machines and the network do.

    @rule(n=which, times=st.integers(1, 9))
    def machine_goes_on(self, n: int, times: int) -> None:
        for _ in range(times):
            self._go_on(self.room.machines[n], "arrives")

    @rule(n=which, fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=4))
    def machine_goes_on_badly(self, n: int, fates: list[str]) -> None:
        for fate in fates:
            self._go_on(self.room.machines[n], fate)

    @rule(n=which, times=st.integers(2, 14), fate=st.sampled_from(FATES))
    def all_goes_well(self, n: int, times: int, fate: str) -> None:
        """Machine and workers take turns, as they do on most days."""
        for turn in range(times):
            self.room.clock.go_on(1)
            self.room.work_until_idle()
            self._go_on(self.room.machines[n], fate if turn == times - 1 else "arrives")

    @precondition(lambda self: self.room.held)
    @rule(pick=st.integers(0, 9), times=st.integers(1, 2))
    def held_message_arrives(self, pick: int, times: int) -> None:
        for _ in range(times):
            self.room.deliver(self.room.held[pick % len(self.room.held)])

    @rule(n=which, spelled=st.sampled_from(SPELLINGS), loader=st.sampled_from(["ipxe", "ipxe", "grub", "pxelinux"]))
    def somebody_netboots(self, n: int, spelled: Callable[[str], str], loader: str) -> None:
        """Firmware that tries again, or a box with the same MAC; the answer may be used much later, or never."""
        self._boot(self.room.machines[n], spelled, loader, runs=False)

    @rule(n=which, pick=st.integers(0, 9))
    def machine_restarts(self, n: int, pick: int) -> None:
        """By itself: with an answer that it was given earlier, if there is one."""
        machine = self.room.machines[n]
        if machine.power == Power.ON:
            machine.runs = None
            if machine.answers:
                script.boot(machine, machine.answers[pick % len(machine.answers)])

    @rule(n=which, other=which)
    def speaks_with_a_strange_token(self, n: int, other: int) -> None:
        """One that nobody gave out is unknown, and that of another machine does not grant this one."""
        machine, kernel = self.room.machines[n], self.room.machines[other].runs
        body = machine.facts | {"boot_id": "0" * 36, "disk": machine.facts["disks"][0]}
        for path in ("/event/install_reboot", "/event/failed", "/grant"):
            must(call(path, token="x" * 43, body=body).status_code == 404, "An unknown token was taken", path)
        if isinstance(kernel, Kernel) and n != other:
            answer = call("/grant", token=kernel.token, body=body).content
            must(b"GRANTED=yes" not in answer, "A grant by another machine's token")

    @rule(n=which, illness=st.sampled_from(ILLNESSES))
    def bmc_falls_ill(self, n: int, illness: str) -> None:
        self.room.machines[n].bmc = illness

    @rule(n=which, is_lost=st.booleans())
    def last_word_is_lost(self, n: int, is_lost: bool) -> None:
        """For ever, or until it gets through after all."""
        self.room.machines[n].is_unheard = is_lost

    @precondition(lambda self: not any(machine.is_unheard for machine in self.room.machines))
    @rule(n=which, seconds=st.sampled_from(UNTIL_THE_LAST_LOOK), with_workers=st.booleans())
    def all_goes_well_but_the_last_word(self, n: int, seconds: int, with_workers: bool) -> None:
        self.start(n=n, kind="install")
        self.oracle.check()
        self.room.machines[n].is_unheard = True
        self.all_goes_well(n=n, times=14, fate="arrives")
        self.oracle.check()
        self.room.pass_time(seconds, with_workers=with_workers)

    @rule(with_workers=st.booleans())
    def nothing_more_happens(self, with_workers: bool) -> None:
        """INV5: then every install that has begun ends; those that could not begin yet take their turn."""
        for _ in range(3 * MACHINES):
            if not self._live():
                return
            self.room.pass_time(3 * 3600, with_workers=with_workers)
            self.oracle.check()
        must(not self._live(), "Installs that go on for ever", self._live())

    # The parts of the above.

    def _start_two(self, machine: Machine, image: Image) -> None:
        """Both have looked before either has stored anything: the worst that two requests at one moment can do."""
        made = plan.for_install(machine, image)
        winner = self._try(lambda: actions.start_install(machine, image, by="anna"))
        with mock.patch.object(plan, "for_install", return_value=made):
            loser = self._try(lambda: actions.start_install(machine, image, by="ben"))
        must(winner is None or loser is None, "Both of two starts at once", machine.name)

    def _go_on(self, machine: Hardware, fate: str) -> None:
        if script.is_on_network(machine):
            self._boot(machine, str, "ipxe", runs=True)
        elif machine.power == Power.ON and machine.runs is None:
            machine.runs = machine.disk
        elif message := script.next_message(machine):
            self.room.send(message, fate)

    def _boot(self, machine: Hardware, spelled: Callable[[str], str], loader: str, *, runs: bool) -> None:
        answer = script.ask_boot(machine.mac, spelled=spelled, loader=loader)
        self.oracle.boot_was_answered(machine.mac, answer)
        if loader == "ipxe" and "dodai_script=" in answer:
            machine.answers.append(answer)
        if runs:
            script.boot(machine, answer)

    def _row(self, n: int) -> Machine:
        return Machine.objects.get(name=self.room.machines[n].name)

    def _live(self) -> list[int]:
        return [pk for pk, row in self.oracle.rows.items() if row["state"] in LIVE - {State.STOPPING}]

    def _by_hand(self) -> list[int]:
        return [pk for pk in self._live() if self.oracle.rows[pk]["method"] == "manual"]

    def _one_of(self, some: Any, pick: int) -> int:
        return int(list(some)[pick % len(some)])

    def _try(self, verb: Callable[[], Any]) -> Any:
        try:
            return verb() or True
        except REFUSALS:
            return None


def run(furnish: Callable[[], Room], *, base: int, count: int, steps: int = STEPS, shrinks: bool = True) -> None:
    """`count` schedules from this seed. Raises what the first bad one raises, with its shortest form printed."""
    chosen = type("Schedule", (Schedule,), {"furnish": staticmethod(furnish)})
    run_state_machine_as_test(
        seed(base)(chosen),
        settings=settings(
            max_examples=count, stateful_step_count=steps, database=None, deadline=None, print_blob=False,
            phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        ),
    )  # fmt: skip
