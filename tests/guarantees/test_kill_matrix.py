"""T6, T7: every process is killed or frozen at every fault point that an install of any method passes."""

import random
import re
import shutil
import signal
from collections import Counter

import pytest

from installs.methods import METHODS
from installs.methods.base import Operation
from tests import installing, manual, ssh_machine
from tests.guarantees import faults
from tests.guarantees.chained import Chain
from tests.guarantees.erasures import RAMDISKS, Erasures
from tests.guarantees.faults import VICTIMS, Fault
from tests.guarantees.killing import Operator, Round, running
from tests.guarantees.operated import CHAIN, HandedOver, Network, Operated
from tests.guarantees.players import PLAYERS, IscsiPlayer, images
from tests.guarantees.tally import is_long, is_time_left, rounds
from tests.guarantees.together import COUNT, SPARES, Allotment, Together
from tests.iscsi_machines import lead_here

SEED = 20261122
OFTEN = ("watchdog", "poll_power")  # they pass their points every second, whatever is installed
NOT_AT_WORK = ("import_images", "images", "valkey")
PASSED_OFTEN = re.compile(r"^queue:publish|^copy:|exporting\.ask|turns\.take")
OF_TIME = re.compile(r"releasing\.due|allocation\.")  # what the watchdog begins
OF_CHAINS = "fallbacks|by_hand|ending|outbox|task"
KINDS = {"power", "bmc", "commit", "write", "queue", "job", "file", "copy"}
SURE = [  # each is passed whenever machines are erased and allocated
    Fault("commit:installs.releasing.due.erase_due:before"),
    Fault("commit:installs.releasing.due.erase_due:after"),
    Fault("commit:installs.machine_words._deleted:after"),
    Fault("commit:installs.machine_words._deleted:after", nth=3),  # after one who lies there is one who does not
    Fault("commit:installs.grant.ask:after"),
    Fault("port:attach:before"),
    Fault("power:boot_from:after"),
    Fault("commit:installs.machine_words._failed:after", "watchdog"),
    Fault("queue:enqueue:installs.allocation.turns.take:before"),
    Fault("power:off:before", number=signal.SIGSTOP),  # and no other one kills all workers: it would not wake
]


@pytest.fixture(scope="module")
def site(tmp_path_factory, django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), running(tmp_path_factory.mktemp("kill")) as site:
        yield site


@pytest.fixture(scope="module")
def bench(site, tgt):
    """Runs one round on the same machines: of each method one install."""
    IscsiPlayer.tgt = tgt
    made = [installing.make_machine(f"node{n}", driver="played", number=n) for n in range(1, len(PLAYERS) + 1)]
    machines = dict(zip(PLAYERS, made, strict=True))
    lead_here(machines["iscsi"])

    def run(*struck: Fault, methods=tuple(PLAYERS)) -> Round:
        chosen = images(site)
        shutil.rmtree(site.data / "iscsi", ignore_errors=True)  # who writes a disk unpacks its image first
        played = Round(site, Operator(site), [machines[method] for method in methods], struck,
                       images=[chosen[method] for method in methods])  # fmt: skip
        played.run()
        return played

    return run


@pytest.fixture(scope="module")
def points(site, bench) -> list[tuple[str, int]]:
    """(point, how often an install passes it at most): as installs that nobody disturbs say, of each method one."""
    passed: Counter[str] = Counter()
    for method in PLAYERS:
        (site.faults / "record").touch()
        bench(methods=[method])
        recorded = faults.passes(site.faults)
        (site.faults / "record").unlink()
        passed |= _counted(recorded)
    return sorted(passed.items())


def _counted(recorded: list[tuple[str, str]]) -> Counter[str]:
    passed: Counter[str] = Counter()
    for process, point in recorded:
        if process in OFTEN:
            passed[point] = max(passed[point], 1)
        elif process not in NOT_AT_WORK:
            passed[point] += 1
    return passed


@pytest.fixture(scope="module")
def chain(site, bench):
    """Runs one round in which a method fails and an operator goes on, on machines of its own."""
    machines = [installing.make_machine(f"hand{number}", driver="played", number=10 + number) for number in (1, 2)]
    image = manual.with_fallbacks(name="linux-or-by-hand")

    def run(*struck: Fault) -> Chain:
        played = Chain(site, Operator(site), machines, struck, images=[image] * len(machines))
        played.run()
        return played

    return run


@pytest.fixture(scope="module")
def chain_points(site, chain) -> list[tuple[str, int]]:
    """As `points`, of a failure, its fallback, and the operator's words."""
    (site.faults / "record").write_text("")
    chain()
    recorded = faults.passes(site.faults)
    (site.faults / "record").unlink()
    passed = Counter(point for process, point in recorded if process not in (*OFTEN, *NOT_AT_WORK))
    return sorted(passed.items())


def kills(points: list[tuple[str, int]]) -> list[Fault]:
    """The process itself at each pass, every other victim at the first one."""
    itself = [Fault(point, nth=nth) for point, count in points for nth in _passes(point, count)]
    others = [Fault(point, victim) for point, _ in points for victim in VICTIMS if victim not in ("self", "all")]
    return itself + others


def _passes(point: str, count: int) -> list[int]:
    """Of what is passed again and again only the first, one in the middle, and the last."""
    return sorted({1, (count + 1) // 2, count}) if PASSED_OFTEN.search(point) else list(range(1, count + 1))


def freezes(points: list[tuple[str, int]]) -> list[Fault]:
    return [Fault(point, number=signal.SIGSTOP) for point, _ in points]


def ends_of_all(points: list[tuple[str, int]]) -> list[Fault]:
    return [Fault(point, "all") for point, _ in points]


def in_turns(chance: random.Random, all_of_them: list[Fault]) -> list[Fault]:
    """In any order in the long form; else of each kind of boundary one before there are two."""
    chance.shuffle(all_of_them)
    if is_long():
        return all_of_them
    seen: Counter[str] = Counter()
    ranked = []
    for fault in all_of_them:
        kind = fault.point.partition(":")[0]
        seen[kind] += 1
        ranked.append((seen[kind], fault))
    return [fault for _, fault in sorted(ranked, key=lambda pair: pair[0])]


def test_all_kinds_of_boundaries_are_passed(points):
    """A wrapper that no longer fits would leave its boundary without any fault."""
    assert {point.partition(":")[0] for point, _ in points} == KINDS
    assert {point.rpartition(":")[2] for point, _ in points} == {"before", "after"}
    assert len(points) > 60


def test_every_step_of_an_install_is_among_them():
    """A method with a step of its own needs a player."""
    installing_methods = {slug: method for slug, method in METHODS.items() if not isinstance(method, Operation)}
    played = {step for slug in (*PLAYERS, "manual") for step in installing_methods[slug].steps}  # see chained.py
    assert played == {step for method in installing_methods.values() for step in method.steps}
    operations = set(METHODS) - set(installing_methods) - {"inspect"}
    assert operations == {slug for slug, *_ in CHAIN} | {"hand-over", "erase"}


@pytest.mark.fills_the_time
@pytest.mark.parametrize(
    ("claim", "says", "choose", "share", "at_once"),
    [
        ("T6", "A process killed at any boundary: the install goes on within 30 s, granted once", kills, 12, 4),
        ("T6", "Everything killed at any boundary: the install goes on within 30 s, granted once", ends_of_all, 1, 1),
        ("T7", "A process frozen for longer than its lease has no effect once it wakes", freezes, 2, 1),
    ],
    ids=["killed", "all-killed", "frozen"],
)
def test_installs_survive(points, bench, guarantee, claim, says, choose, share, at_once):
    chance = random.Random(SEED)
    tally = guarantee(claim, says, seed=SEED)
    chosen = in_turns(chance, choose(points))
    wanted = len(chosen) if is_long() else share
    longest, tried = 0.0, 0
    for together in batched(chosen, at_once):
        if tried and not is_time_left():
            break
        if tally.trials >= wanted or tried >= 3 * wanted:  # some points are not passed each time
            break
        with tally.trial(len(together)):
            played = bench(*together)
        tally.trials -= len(together) - len(played.struck)  # one that did not strike was no trial
        tried += len(together)
        longest = max([longest, *played.recoveries])
    assert tally.trials >= 0.7 * min(tried, wanted), "most of them never struck"
    print(f"{tally.trials} faults of {len(chosen)}, longest recovery {longest:.1f} s")


def test_a_copy_that_is_killed_is_begun_anew(points, bench, guarantee):
    """At boundaries that are passed only while a disk is written; the player compares the disk with the image."""
    says = "copy_images killed while it writes a disk: the disk is written anew, granted once"
    tally = guarantee("T6", says, seed=SEED)
    words = [(point, nth) for point, count in points if point.startswith("copy:") for nth in _passes(point, count)]
    second = ("copy:told:before", 2)  # the first is its beginning; this one comes however slow the computer is
    for point, nth in [second, *words][: rounds(1, 1 + len(words))]:
        with tally.trial():
            played = bench(Fault(point, nth=nth), methods=["iscsi"])
            begun = played.installs[0].events.filter(name="copy").count()
            assert begun > len(played.struck), f"begun {begun} times"
        tally.trials -= 1 - len(played.struck)
    assert tally.trials >= 1, "no copy was ever killed"


def batched(faults_in_order: list[Fault], size: int) -> list[list[Fault]]:
    return [faults_in_order[start : start + size] for start in range(0, len(faults_in_order), size)]


def test_fallbacks_and_operators_words_survive(chain_points, chain, guarantee):
    """The next attempt is there as soon as the failed one has ended, once; what an operator says counts once."""
    words = "A process killed at any boundary: a failed install goes on by hand within 30 s, once"
    tally, chance = guarantee("T6", words, seed=SEED), random.Random(SEED)
    own = [(point, count) for point, count in chain_points if re.search(OF_CHAINS, point)]
    assert own, "no boundary of a fallback or of an operator's word is passed"
    chosen = in_turns(chance, kills(own))[: rounds(2, 30)] + in_turns(chance, kills(chain_points))[: rounds(3, 60)]
    for together in batched(chosen, 5):
        with tally.trial(len(together)):
            played = chain(*together)
        tally.trials -= len(together) - len(played.struck)
    assert tally.trials >= 1, "none of them struck"


@pytest.fixture(scope="module")
def operated(site):
    """Runs one round of moves, a release and its undoing, on machines of its own."""
    operator, network = Operator(site), Network.of(site)
    made = [installing.make_machine(f"used{number}", driver="played", number=20 + number) for number in (1, 2)]

    def run(*struck: Fault) -> Operated:
        machines = [network.use(machine, number, site.bmcs) for number, machine in enumerate(made, start=1)]
        played = Operated(site, operator, machines, struck, network=network)
        played.run()
        return played

    return run


def test_moves_and_releases_survive(site, operated, guarantee):
    """Each port is where it ought to be, each machine on or off as it ought to be, and nothing is done twice."""
    words = "A process killed at any boundary of a move, a release or its undoing: it goes on within 30 s"
    tally, chance = guarantee("T6", words, seed=SEED), random.Random(SEED)
    passed = _recorded(site, operated)
    own = [(point, count) for point, count in passed if re.search("^port:|cabling|ports|power", point)]
    assert {"port:attach:before", "port:read:after"} <= dict(own).keys()
    for together in batched(in_turns(chance, kills(own))[: rounds(3, 60)], 3):
        with tally.trial(len(together)):
            played = operated(*together)
        tally.trials -= len(together) - len(played.struck)
    assert tally.trials >= 1, "none of them struck"


def _recorded(site, run) -> list[tuple[str, int]]:
    (site.faults / "record").write_text("")
    run()
    recorded = faults.passes(site.faults)
    (site.faults / "record").unlink()
    return sorted(Counter(point for process, point in recorded if _is_at_work(process, point)).items())


def _is_at_work(process: str, point: str) -> bool:
    return process not in (*OFTEN, *NOT_AT_WORK) or bool(process == "watchdog" and OF_TIME.search(point))


@pytest.fixture(scope="module")
def together(site):
    """Runs one round in which machines are erased while others are allocated."""
    network = Network.of(site)
    released, wanted = (
        [installing.make_machine(f"{name}{number}", driver="played", number=first + number) for number in range(count)]
        for name, first, count in (("released", 40, len(RAMDISKS)), ("wanted", 50, COUNT + SPARES))
    )

    def run(*struck: Fault) -> Together:
        operator = Operator(site)
        erasures = Erasures(site, operator, network, released)
        undertakings = (erasures, Allotment(site, operator, wanted, network.there))
        played = Together(
            site, operator, [*released, *wanted], struck, network=network, undertakings=undertakings
        )  # fmt: skip
        played.run()
        return played

    return run


def test_erasings_and_allocations_survive(site, together, guarantee):
    """Free is only what a believed report proves to be erased; and of machines nobody gets more or less than asked."""
    words = "A process killed at any boundary of an erasing or an allocation: it goes on, free only what is erased"
    killed, chance = guarantee("T6", words, seed=SEED), random.Random(SEED)
    words = "A process frozen for longer than its lease has no effect on an erasing or an allocation once it wakes"
    frozen = guarantee("T7", words, seed=SEED)
    for struck in _strikes(chance, _recorded(site, together)) if is_long() else [SURE]:
        tally = frozen if struck[0].number == signal.SIGSTOP else killed
        with tally.trial(len(struck)):
            played = together(*struck)
        tally.trials -= len(struck) - len(played.struck)
    words = "some boundaries are passed no more"  # a queue that is away for a moment is not rung
    assert is_long() or killed.trials >= len(SURE) - 1, words


def _strikes(chance: random.Random, passed: list[tuple[str, int]]) -> list[list[Fault]]:
    """Those of the watchdog and of reports, some of all others, and some that freeze."""
    own = [(point, count) for point, count in passed if OF_TIME.search(point) or "_deleted" in point]
    assert {fault.point for fault in SURE} <= dict(passed).keys()
    chosen = in_turns(chance, kills(own))[:30] + in_turns(chance, kills(passed))[:30]
    return batched(chosen, 5) + batched(in_turns(chance, freezes(passed))[:5], 1)


@pytest.mark.skipif(not ssh_machine.can_run(), reason="an OS of its own needs root and openssh-server")
def test_hand_overs_survive(site, tmp_path, guarantee):
    """The machine is its owner's, in its VLAN; or it is free, as before, where nobody can know that it was done."""
    words = "A process killed at any boundary of a hand-over: it goes on within 30 s, or the machine is free"
    tally, chance = guarantee("T6", words, seed=SEED), random.Random(SEED)
    machine = installing.make_machine("warm1", driver="played", number=30)
    operator, network = Operator(site), Network.of(site)
    with ssh_machine.running(tmp_path) as os:

        def run(*struck: Fault) -> HandedOver:
            used = network.use(machine, 9, site.bmcs)
            played = HandedOver(site, operator, [used], struck, network=network, oses={machine.pk: os})
            played.run()
            return played

        own = [pair for pair in _recorded(site, run) if re.search("^port:|cabling|ports|hand|flow|claim", pair[0])]
        assert any("hand_over" in point or "entering" in point for point, _ in own), own
        for fault in in_turns(chance, kills(own))[: rounds(1, 40)]:
            with tally.trial():
                played = run(fault)
            tally.trials -= 1 - len(played.struck)
