"""Will it boot here? The drivers in an image against what inspection found in a machine."""

import pytest

from installs.images.boot_match import match
from installs.images.intake import add_image
from machines.models import Disk, Machine, Site
from tests import image_files
from tests.image_files import RELEASE, initrd, tree

pytestmark = pytest.mark.django_db

MEGARAID = "pci:v00001000d0000005Dsv00001028sd00001F49bc01sc04i00"
AHCI = "pci:v00008086d0000A352sv00001028sd0000085Abc01sc06i01"
NVME = "pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02"
UNKNOWN = "pci:v0000DEADd0000BEEFsv00000000sd00000000bc01sc07i00"
BRIDGE = "pci:v00008086d00001901sv00000000sd00000000bc06sc04i00"
I40E = "pci:v00008086d00001572sv00008086sd00000000bc02sc00i00"
PRACTICE = {  # what leads to the disks of practice servers, as their inspections tell it
    "virtio": (
        ("virtio:d00000002v00001AF4", "virtio_blk"),
        ("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio-pci"),
    ),
    "nvme": (("pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", "nvme"),),
    "ahci": (("scsi:t-0x00", "sd"), ("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "ahci")),
}
IN_SMALL_INITRD = ("ahci", "ext4", "nvme", "sd_mod", "virtio_blk", "virtio_pci")
SMALL_INITRD_ALIASES = (
    "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\nalias virtio:d00000002v* virtio_blk\n"
    "alias pci:v*d*sv*sd*bc01sc08i02* nvme\nalias pci:v*d*sv*sd*bc01sc06i01* ahci\nalias scsi:t-0x00* sd_mod\n"
    "alias pci:v00001000d0000005Dsv*sd*bc*sc*i* megaraid_sas\n"
)
ODD_CARD = "pci:v00001425d00005401sv00000000sd00000000bc02sc00i00"


@pytest.fixture
def image(settings, tmp_path):
    settings.DATA = tmp_path / "data"

    def make(**changes):
        files = tree() | {name.replace("__", "/"): content for name, content in changes.items()}
        files = {name: content for name, content in files.items() if content is not None}
        return add_image(image_files.tar_zst(tmp_path / "image.tar.zst", files), name="image")

    return make


@pytest.fixture
def machine():
    def make(*path, others=(), in_disk=True):
        made = Machine.objects.create(name="r1", site=Site.objects.create(name="here"))
        Disk.objects.create(machine=made, serial="S1", is_root=True)
        Disk.objects.create(machine=made, serial="S2")
        drivers = [dict(zip(("modalias", "driver"), device, strict=True)) for device in path]
        other = {"serial": "S2", "wwn": "", "drivers": [{"modalias": UNKNOWN, "driver": "odd"}]}
        mine = {"serial": "S1", "wwn": "", "drivers": drivers if in_disk else []}
        made.facts = {"disks": [other, mine], "modaliases": [device[0] for device in path] + list(others)}
        made.save()
        return made

    return make


def test_a_controller_whose_driver_the_initrd_has_boots(image, machine):
    found = match(image(), machine(("scsi:t-0x00", "sd"), (AHCI, "ahci"), (BRIDGE, "pcieport")))
    assert (found.verdict, found.missing, found.warnings) == ("yes", [], [])


def test_a_driver_that_only_the_initrd_lacks_is_named(image, machine):
    found = match(image(), machine(("scsi:t-0x00", "sd"), (MEGARAID, "megaraid_sas")))
    assert (found.verdict, found.words) == ("no", "megaraid_sas is in this image, but not in its initramfs.")


def test_a_driver_that_the_image_lacks_is_named(image, machine):
    aliases = image_files.ALIASES.replace("megaraid_sas", "other").replace("d0000005D", "d0000FFFF").encode()
    found = match(
        image(**{f"usr__lib__modules__{RELEASE}__modules.alias": aliases}), machine((MEGARAID, "megaraid_sas"))
    )
    assert (found.verdict, found.words) == ("no", "No megaraid_sas in this image.")


def test_a_controller_that_nobody_names_is_told_by_its_numbers(image, machine):
    found = match(image(), machine((UNKNOWN, "")))
    assert (found.verdict, "dead:beef" in found.words) == ("no", True)


def test_a_driver_inside_the_kernel_needs_no_initrd(image, machine):
    found = match(image(**{f"boot__initrd.img-{RELEASE}": initrd("ext4")}), machine((NVME, "nvme")))
    assert found.verdict == "yes"


def test_other_disks_do_not_matter(image, machine):
    assert match(image(), machine((AHCI, "ahci"), others=[UNKNOWN])).verdict == "yes"


def test_of_an_older_inspection_every_controller_counts(image, machine):
    assert match(image(), machine((AHCI, "ahci"), others=[MEGARAID], in_disk=False)).verdict == "no"


def test_a_network_card_without_a_driver_is_a_warning(image, machine):
    found = match(image(), machine((AHCI, "ahci"), others=[I40E, ODD_CARD]))
    assert (found.verdict, found.warnings) == ("yes", ["No driver for the network card 1425:5401."])


def test_what_nobody_knows_is_said(image, machine):
    assert match(image(), machine(in_disk=False)).verdict == "unknown"


def test_an_initrd_that_cannot_be_read_is_no_verdict(image, machine):
    made = image(**{f"boot__initrd.img-{RELEASE}": b"\x02\x21\x4c\x18" + bytes(99)})
    assert match(made, machine((AHCI, "ahci"))).verdict == "unknown"


@pytest.mark.parametrize("facts", [[], {"disks": 7, "modaliases": "x"}, {"disks": [None, {"drivers": [1]}]}])
def test_odd_facts_do_no_harm(image, machine, facts):
    made = machine((AHCI, "ahci"))
    made.facts = facts
    assert match(image(), made).verdict == "unknown"


@pytest.fixture
def small_image(image):
    """Its root has modules of network cards alone; what finds the disk is in its initrd only, as in `tiny`."""
    top = f"usr__lib__modules__{RELEASE}"
    return image(**{
        f"boot__initrd.img-{RELEASE}": initrd(*IN_SMALL_INITRD, aliases=SMALL_INITRD_ALIASES),
        f"{top}__modules.alias": b"alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\n",
        f"{top}__modules.builtin": b"", f"{top}__modules.builtin.modinfo": None,
    })  # fmt: skip


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("bus", PRACTICE)
def test_drivers_that_only_the_initrd_has_count(small_image, machine, bus, named):
    path = PRACTICE[bus] if named else [(modalias, "") for modalias, _driver in PRACTICE[bus]]
    assert match(small_image, machine(*path)).verdict == "yes"


@pytest.mark.parametrize("driver", ["megaraid_sas", ""])
def test_what_neither_the_root_nor_the_initrd_has_is_missing(small_image, machine, driver):
    """Its initrd's table names it, but has no such module."""
    found = match(small_image, machine(("scsi:t-0x00", "sd"), (MEGARAID, driver)))
    assert (found.verdict, found.missing) == (
        "no",
        ["No megaraid_sas in this image." if driver else "No driver for the controller 1000:005d in this image."],
    )
