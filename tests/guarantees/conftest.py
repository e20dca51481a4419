from collections.abc import Callable, Generator, Iterator

import pytest

from tests.guarantees.tally import Tally

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture
def guarantee(request: pytest.FixtureRequest) -> Iterator[Callable[..., Tally]]:
    """`guarantee("T5", "No boot answer after the end destroys anything", seed=7)`: a tally for this test."""
    tallies: list[Tally] = []

    def begin(claim: str, says: str, *, seed: int | None = None) -> Tally:
        tallies.append(Tally(claim, says, seed))
        return tallies[-1]

    yield begin
    for tally in tallies:
        tally.close(test=request.node.nodeid, has_failed=request.node.stash.get(_FAILED, False))
