"""Installs that must not happen: each ends by itself, names its reason, and leaves every byte of the disk alone."""

from collections.abc import Iterator

import pytest

from tests.end_to_end import images
from tests.end_to_end.dodai import Dodai, Following, KeptDisk, switch_off

WRONG_DISK, WRONG_SERIAL = "LABDISK-OF-ANOTHER", "LAB-ANOTHER-MACHINE"
SPOILT, OTHER_DISK, OTHER_MACHINE = "practice-1", "practice-2", "practice-3"


@pytest.fixture(scope="module")
def spoilt_image(dodai: Dodai) -> str:
    """An image whose stored file has gone bad since it was taken in."""
    path = dodai.data.with_name("spoilt.tar.zst")
    images.with_other_bytes(images.tiny(dodai.data), path)
    dodai.must("image", "add", str(path), "--name", "spoilt", "--unpacked-mib", "90")
    digest = dodai.database("Image.objects.get(name='spoilt').sha256")
    images.spoil(dodai.data / "images" / digest)
    return "spoilt"


@pytest.fixture(scope="module")
def wrong_inventory(dodai: Dodai) -> Iterator[None]:
    """One machine whose disk was replaced since its inspection, and one that stands where another should."""
    disk = f"Disk.objects.filter(machine__name={OTHER_DISK!r}, is_root=True)"
    right_disk = dodai.database(f"{disk}.get().serial")
    other = f"Machine.objects.filter(name={OTHER_MACHINE!r})"
    right_serial = dodai.lab(OTHER_MACHINE)["serial"]
    dodai.database(f"{disk}.update(serial={WRONG_DISK!r})")
    dodai.database(f"{other}.update(serial={WRONG_SERIAL!r})")
    yield
    dodai.database(f"{disk}.update(serial={right_disk!r})")
    dodai.database(f"{other}.update(serial={right_serial!r})")


@pytest.fixture(scope="module")
def kept(dodai: Dodai) -> dict[str, KeptDisk]:
    return {name: KeptDisk.of(dodai, name) for name in (SPOILT, OTHER_DISK, OTHER_MACHINE)}


@pytest.fixture(scope="module")
def refused(dodai: Dodai, kept, spoilt_image: str, wrong_inventory) -> dict[str, Following]:
    """All three tried at the same time; ended, and the machines off."""
    chosen = {SPOILT: spoilt_image, OTHER_DISK: "tiny", OTHER_MACHINE: "tiny"}
    installs = {name: dodai.install(name, image) for name, image in chosen.items()}
    for install in installs.values():
        install.wait()
    for name in chosen:
        switch_off(dodai, name)
    return installs


@pytest.mark.parametrize(
    ("name", "cause", "words"),
    [
        (SPOILT, "digest", ["SHA-256", "the catalogue says"]),
        (OTHER_DISK, "disk", [WRONG_DISK, "This machine has"]),
        (OTHER_MACHINE, "identity", ["serial number is LAB-3-", f"the inventory says {WRONG_SERIAL}"]),
    ],
)
def test_a_refused_install_names_what_differs(dodai, refused, name, cause, words) -> None:
    ended = dodai.last_install(name)
    assert (ended["state"], ended["cause"], ended["granted_at"]) == ("failed", cause, None), ended["error"]
    assert refused[name].process.returncode == 1
    told = refused[name].errors.read_text()
    assert [word for word in [name, *words] if word not in told] == [], told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", [SPOILT, OTHER_DISK, OTHER_MACHINE])
def test_a_refused_install_touches_no_byte_of_the_disk(kept, refused, name) -> None:
    assert kept[name].is_untouched()


def test_the_machines_are_what_they_were(dodai, installed, refused) -> None:
    found = dodai.database("[[m.name, m.state, m.image_name, m.handled_by] for m in Machine.objects.order_by('name')]")
    assert found == [
        [SPOILT, "in_use", "tiny", ""], [OTHER_DISK, "in_use", "tiny-ext4", ""], [OTHER_MACHINE, "in_use", "tiny", ""],
    ]  # fmt: skip
