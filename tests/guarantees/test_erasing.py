"""T32: what is not erased is never taken for erased, whatever its drives do and say."""

import os
import random

from installs.erasing import planned, report
from tests.drives import BLOCK, CRYPTO, EMPTY, FAILS, FORMAT, GOES, HALF, NOISE, NOTHING, ONES, SHRINKS, Room
from tests.guarantees.tally import rounds

SEED = int(os.environ.get("DODAI_SEED") or random.randrange(1 << 30))
LIES, DROPS_OUT, HONEST = (NOTHING, HALF), (GOES, SHRINKS), (EMPTY, ONES, NOISE, FAILS)
DRIVES = ("nvme0n1", "nvme1n1", "sda", "vda")


def test_no_drive_that_lies_or_drops_out_counts_as_erased(guarantee, tmp_path, monkeypatch):
    monkeypatch.setattr(planned, "BETWEEN", 4)  # each of them starts some programs
    tally = guarantee(
        "T32", "A machine of which any drive lies, fails or drops out is never taken for erased", seed=SEED
    )
    chance = random.Random(SEED)
    print(f"replay with DODAI_SEED={SEED}")
    for number in range(rounds(4, 300)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with tally.trial():
            _check(Room(folder), chance)


def _check(room: Room, chance: random.Random) -> None:
    """Each kind of drive does something of its own; what is then on them decides what may be believed."""
    names = chance.sample(DRIVES, chance.randrange(1, 4))
    paths = [room.drive(name, seed=chance.randrange(1 << 30)) for name in names]
    does = chance.choice([LIES, DROPS_OUT, HONEST])
    room.nvme(oacs=chance.choice([0, FORMAT]), sanicap=chance.choice([0, BLOCK, CRYPTO]), fna=chance.choice([0, 4]),
              sanitize=chance.choice(does), format=chance.choice(does))  # fmt: skip
    room.ata(chance.choice([*LIES, *HONEST]), frozen=chance.choice(["frozen", "not\tfrozen"]))
    room.program("blkdiscard", chance.choice([*LIES, *HONEST]).replace('"$2"', '"${!#}"'))
    judged = room.run(discards=chance.random() < 0.5)
    for path, each in zip(paths, judged, strict=True):
        is_gone = path.exists() and path.stat().st_size == each.disk["size_bytes"] and _is_uniform(path.read_bytes())
        assert is_gone or each.problem, (path.name, each)
    assert bool(report.why_not(room.plan, room.told, judged)) == any(each.problem for each in judged)


def _is_uniform(content: bytes) -> bool:
    return content in (b"\0" * len(content), b"\xff" * len(content))
