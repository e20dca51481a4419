import contextlib
import inspect
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from dodaiweb.testing import figures
from installs.ramdisk.stage import Stage
from tests.guarantees.tally import Tally, is_long, take_share, write

_OUTCOME = pytest.StashKey[str]()
LOOK_SECONDS = 2.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_OUTCOME] = report.outcome
    if report.failed and is_long():
        write({"failed": item.nodeid, "text": report.longreprtext})
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that fill the time share it; what one of them leaves over is for the next."""
    filling = [each for each in item.session.items if _fills_the_time(each)]
    if is_long() and item in filling:
        take_share(len(filling) - filling.index(item))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the long form: say what there is and what is going to be run; leave out tests of other claims.

    Who has little time sees most claims: files that took longer last time come later, and what fills it last. Tests
    that empty the database still come after those that need what a new one holds.
    """
    if not is_long():
        return
    counting = [item for item in items if "guarantee" in getattr(item, "fixturenames", ())]
    chosen = [item for item in counting if _is_asked_for(item)]
    for item in counting:
        write({"found": item.nodeid, "is_chosen": item in chosen})
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    took = _seconds_of_files()
    items[:] = sorted(
        chosen, key=lambda item: (_fills_the_time(item), _empties(item), took[item.nodeid.partition("::")[0]])
    )


def _empties(item: pytest.Item) -> bool:
    """Whether it leaves no new database behind, or needs none: pytest-django has these come later too."""
    if marker := item.get_closest_marker("django_db"):
        return bool(marker.kwargs.get("transaction"))
    return "db" not in getattr(item, "fixturenames", ())


def _seconds_of_files() -> Counter[str]:
    """What the tests of each file took last, on all databases."""
    took: Counter[str] = Counter()
    for figure in figures.read():
        took[figure.file] += round(figure.seconds)
    return took


def _fills_the_time(item: pytest.Item) -> bool:
    return item.get_closest_marker("fills_the_time") is not None


def _is_asked_for(item: pytest.Item) -> bool:
    """A test whose claims do not stand in its own lines is run: it may count those."""
    claims = set(re.findall(r"\bguarantee\(\s*\"(\w+)\"", inspect.getsource(item.function)))  # type: ignore[attr-defined]
    wanted = set(os.environ.get("DODAI_GUARANTEES_ONLY", "").split())
    return not wanted or not claims or bool(claims & wanted)


@pytest.fixture
def guarantee(request: pytest.FixtureRequest) -> Iterator[Callable[..., Tally]]:
    """`guarantee("T5", "No boot answer after the end destroys anything", seed=7)`: a tally for this test."""
    tallies: list[Tally] = []

    def begin(claim: str, says: str, *, seed: int | None = None) -> Tally:
        tallies.append(Tally(claim, says, seed))
        return tallies[-1]

    with _accelerators(is_looking=bool(is_long() and request.node.get_closest_marker("lab"))) as seen:
        yield begin
    outcome = request.node.stash.get(_OUTCOME, "interrupted")
    for tally in tallies:
        if outcome in ("passed", "failed"):  # one that was skipped or interrupted has shown nothing
            ran_under = " and ".join(sorted(seen))
            tally.close(test=request.node.nodeid, has_failed=outcome == "failed", accelerator=ran_under)


@pytest.fixture(scope="session")
def tgt(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """What exports disks; there is a qemu-img that writes them, too. Fetched once: Debian's lists take seconds."""
    from tests import iscsi_machines

    return iscsi_machines.fetch(tmp_path_factory.mktemp("tgt"))


@contextlib.contextmanager
def _accelerators(*, is_looking: bool) -> Iterator[set[str]]:
    """What virtual machines of this computer run under, as seen meanwhile."""
    known = {"tcg": "emulated processor", "kvm": "KVM"}
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while is_looking and not over.wait(LOOK_SECONDS):
            seen.update(known[name] for name in known for line in _qemus() if f"-accel\0{name}".encode() in line)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    yield seen
    over.set()
    looking.join(10)


def _qemus() -> list[bytes]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes())
    return [line for line in lines if b"qemu-system" in line.partition(b"\0")[0]]
