"""T4: what the tables of states do not have cannot happen; and the graph in the docs is the one in the code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guarantees.tally import Tally

ROOT = Path(__file__).parents[2]


def test_the_graph_in_the_docs_is_the_one_in_the_code() -> None:
    from tests.guarantees import state_graph

    words = (ROOT / "docs" / "states.md").read_text()
    assert words == state_graph.document(), "python3 -m tests.guarantees.state_graph > docs/states.md"


@pytest.mark.django_db
def test_what_the_table_does_not_have_changes_nothing(guarantee: Callable[..., Tally]) -> None:
    from installs import lifecycle, rows
    from installs.models import Install
    from tests import installing

    tally = guarantee("T4", "An event that an install's state does not allow is refused, and changes nothing")
    for number, state in enumerate(lifecycle.State):
        row = Install.objects.create(
            machine=installing.make_machine(f"node{number}", number=number),
            method="file-tree",
            state=state,
            plan_digest="x",
        )
        before = Install.objects.filter(pk=row.pk).values().get()
        for event, (sources, _target) in lifecycle.TRANSITIONS.items():
            if state in sources:
                continue
            with tally.trial():
                with pytest.raises(lifecycle.NotAllowed):
                    rows.change(rows.lock(row.pk), event, error="never stored", step=5)
                assert Install.objects.filter(pk=row.pk).values().get() == before
                assert not row.events.exists()
