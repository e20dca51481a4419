"""docs/states.md, out of the tables in the code: `python3 -m tests.guarantees.state_graph > docs/states.md`."""

from collections.abc import Mapping

from installs import lifecycle as installs
from machines import lifecycle as machines

HEAD = """\
# The states of installs and machines

Made from the tables in `installs/lifecycle.py` and `machines/lifecycle.py`, and compared with them by a test;
`python3 -m tests.guarantees.state_graph` writes it anew. What is not in a table cannot happen: it is refused, and
changes nothing.
"""
Table = Mapping[str, tuple[frozenset[str], str]]


def document() -> str:
    parts = [
        HEAD,
        *_part("An install", installs.TRANSITIONS, "queued"),
        *_part("A machine", machines.TRANSITIONS, "new"),
    ]
    return "\n".join(parts) + "\n"


def _part(what: str, table: Table, first: str) -> list[str]:
    arrows = [
        f"    {source} --> {target}: {event}"
        for event, (sources, target) in table.items()
        for source in sorted(sources)
    ]
    return [f"## {what}", "", "```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *arrows, "```", ""]


if __name__ == "__main__":
    print(document(), end="")
