"""What the script of the method erase does with drives: files that real programs and played ones work on.

What it reports is judged as the server does: a drive that lies must end as not erased whatever it says of itself.
"""

import pytest

from installs import scripts
from installs.erasing import planned, report
from tests.drives import (
    BLOCK,
    CRYPTO,
    EMPTY,
    FAILS,
    FORMAT,
    GOES,
    HALF,
    NOISE,
    NOTHING,
    ONES,
    SHRINKS,
    SIZE,
    Room,
    is_empty,
)  # fmt: skip
from tests.test_scripts import shellcheck


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch):
    """Each of them starts some programs."""
    monkeypatch.setattr(planned, "BETWEEN", 5)


@pytest.fixture
def room(tmp_path) -> Room:
    return Room(tmp_path)


def tried(judged: report.Judged) -> list[str]:
    return [entry["method"] for entry in judged.said["tried"]]


def test_the_rendered_script_is_clean(room):
    room.drive("sda")
    values = {"server": "http://10.0.0.2:8001", "token": "t" * 43, "sample_bytes": 4096}
    for disks in ("SN\t\t100\t0 4096", """it's "$(id)" `id`\t\t1\t0"""):
        shellcheck("--exclude=SC2016,SC2034", "-", script=scripts.render("erase/erase.sh", disks=disks, **values))


@pytest.mark.parametrize(
    ("offers", "method"),
    [
        ({"sanicap": BLOCK | CRYPTO, "oacs": FORMAT, "fna": 4}, "nvme-sanitize-block"),
        ({"sanicap": CRYPTO, "oacs": FORMAT}, "nvme-sanitize-crypto"),
        ({"oacs": FORMAT, "fna": 4}, "nvme-format"),
        ({"sanicap": 4}, "overwrite"),
        ({"fna": 4}, "overwrite"),
    ],
)
def test_a_drive_is_erased_by_the_best_that_it_offers(room, offers, method):
    path = room.drive("nvme0n1")
    room.nvme(**offers, sanitize=EMPTY, format=EMPTY)
    judged = room.one()
    assert (judged.problem, judged.said["method"], tried(judged)) == ("", method, [method])
    assert judged.said["non_zero_before"] == judged.said["marked"] == len(judged.places)
    assert is_empty(path)


@pytest.mark.parametrize(
    ("offers", "first", "rest"),
    [
        ({"sanicap": BLOCK | CRYPTO, "oacs": FORMAT, "fna": 4}, "nvme-sanitize-block", 4),
        ({"oacs": FORMAT, "fna": 4}, "nvme-format", 2),
    ],
)
def test_what_fails_is_followed_by_the_next_and_both_are_told(room, offers, first, rest):
    path = room.drive("nvme0n1")
    room.nvme(**offers, sanitize=FAILS, format=FAILS)
    judged = room.one()
    assert (judged.problem, judged.said["method"]) == ("", "overwrite")
    assert len(tried(judged)) == rest + 1 and tried(judged)[0] == first and tried(judged)[-1] == "overwrite"
    assert "it is broken" in judged.said["tried"][0]["words"]
    assert is_empty(path)


def test_a_sanitizing_that_fails_later_is_followed_by_the_next(room):
    room.drive("nvme0n1")
    room.nvme(sanicap=BLOCK, oacs=FORMAT, status=3, sanitize=EMPTY, format=EMPTY)
    assert tried(room.one()) == ["nvme-sanitize-block", "nvme-format"]


@pytest.mark.parametrize("does", [NOTHING, HALF])
@pytest.mark.parametrize(
    ("name", "offers"),
    [("nvme0n1", {"sanicap": BLOCK}), ("nvme0n1", {"oacs": FORMAT}), ("sda", None), ("vda", None)],
)
def test_a_drive_that_lies_is_caught_and_nothing_is_glossed_over(room, name, offers, does):
    """It says that all is erased. Nothing else is tried then: what it says of the next method is worth as little."""
    path = room.drive(name)
    if offers:
        room.nvme(**offers, sanitize=does, format=does)
    elif name == "sda":
        room.ata(does)
    else:
        room.program("blkdiscard", does.replace('"$2"', '"${!#}"'))
    judged = room.one(discards=name == "vda")
    assert f"of {len(judged.places)} marks" in judged.problem, judged
    assert len(tried(judged)) == 1 and judged.said["kept"] > 0
    assert not is_empty(path)
    assert report.why_not(room.plan, room.told, [judged])


def test_an_empty_drive_that_lies_is_caught_as_well(room):
    path = room.drive("nvme0n1")
    path.write_bytes(b"\0" * SIZE)
    room.nvme(oacs=FORMAT, format=NOTHING)
    judged = room.one()
    assert judged.said["non_zero_before"] == 0
    assert "still holds" in judged.problem


def test_a_drive_that_is_left_with_noise_is_written_over(room):
    path = room.drive("nvme0n1")
    room.nvme(sanicap=CRYPTO, sanitize=NOISE)
    judged = room.one()
    assert (judged.problem, tried(judged)) == ("", ["nvme-sanitize-crypto", "overwrite"])
    assert is_empty(path)


def test_a_drive_may_be_left_with_ones(room):
    room.drive("nvme0n1")
    room.nvme(oacs=FORMAT, format=ONES)
    judged = room.one()
    assert (judged.problem, judged.said["pattern"], judged.said["method"]) == ("", "ff", "nvme-format")


@pytest.mark.parametrize("does", [GOES, SHRINKS, f'{EMPTY}; mv "$2" "$2".other'])
def test_a_drive_that_drops_out_is_not_erased(room, does):
    room.drive("nvme0n1")
    room.nvme(oacs=FORMAT, format=does)
    judged = room.one()
    assert judged.problem and "overwrite" not in judged.said["method"]
    assert judged.said["tried"][-1]["words"] == "not tried: the drive is not there any more"


@pytest.mark.parametrize(
    ("security", "method"),
    [
        ({}, "ata-enhanced"),
        ({"frozen": "\tfrozen"}, "overwrite"),
        ({"enabled": "enabled"}, "ata-enhanced"),  # by an attempt of before, whose word it is
    ],
)
def test_a_drive_with_ata_security_is_erased_by_it(room, security, method):
    path = room.drive("sda")
    room.ata(EMPTY, **security)
    judged = room.one()
    assert (judged.problem, judged.said["method"]) == ("", method)
    assert judged.said["drive"].startswith("ATA security is")
    assert ("--security-set-pass" in room.called) == (method == "ata-enhanced")
    assert is_empty(path)


def test_a_secure_erase_that_fails_takes_its_word_off_again(room):
    room.drive("sda")
    room.ata(FAILS)
    judged = room.one()
    assert tried(judged) == ["ata-enhanced", "ata-secure", "overwrite"]
    assert room.called.count("--security-disable") == 2


def test_a_machine_without_drives_reports_none(room):
    assert room.run() == []
    assert room.told == {"disks": []}


def test_every_byte_is_written_over_to_the_last_one(room):
    path = room.drive("vda")
    assert room.one().said["method"] == "overwrite"
    assert path.stat().st_size == SIZE and is_empty(path)


def test_samples_lie_beyond_what_32_bits_can_name(room):
    size = 9 << 30
    path = room.drive("nvme0n1", size)
    room.plan["samples"] = [[0, 1 << 31, (1 << 32) + 4096, 5 << 30, size - 4096]]
    with path.open("r+b") as file:
        for at in room.plan["samples"][0]:
            file.seek(at)
            file.write(b"secret")
    room.nvme(oacs=FORMAT, format=EMPTY)
    judged = room.one()
    assert (judged.problem, judged.said["non_zero_before"], judged.said["marked"]) == ("", 5, 5)


def test_a_lie_beyond_32_bits_is_caught(room):
    room.drive("nvme0n1", 9 << 30)
    room.nvme(oacs=FORMAT, format='dd if=/dev/zero of="$2" bs=4096 count=1 conv=notrunc status=none')
    room.plan["samples"] = [[0, (1 << 32), 8 << 30]]
    judged = room.one()
    assert judged.said["kept"] == 2 and judged.problem


def test_each_of_many_drives_is_judged_by_itself(room):
    paths = [room.drive("nvme0n1", seed=1), room.drive("sda", seed=2), room.drive("vda", seed=3)]
    room.nvme(oacs=FORMAT, format=NOTHING)
    room.ata(EMPTY)
    judged = room.run()
    assert [bool(each.problem) for each in judged] == [True, False, False]
    assert [is_empty(path) for path in paths] == [False, True, True]
    assert "SN nvme0n1" in report.why_not(room.plan, room.told, judged)


def test_namespaces_of_one_controller_are_erased_one_after_the_other(room):
    room.drive("nvme0n1")
    room.drive("nvme0n2")
    busy = room.folder / "busy"
    room.nvme(oacs=FORMAT, format=f"mkdir {busy} || exit 1; sleep 0.3; {EMPTY}; rmdir {busy}")
    assert [each.said["method"] for each in room.run()] == ["nvme-format"] * 2


def test_discarding_counts_where_the_kernel_vouches_for_zeros(room):
    room.drive("vda")
    room.program("blkdiscard", EMPTY.replace('"$2"', '"${!#}"'))
    judged = room.one(discards=True)
    assert (judged.problem, judged.said["method"]) == ("", "discard")
    assert "--zeroout" in room.called
