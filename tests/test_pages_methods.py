"""The pages of images and plans, for every way to install."""

import pytest
from django.urls import reverse

from installs.images.intake import add_image
from installs.models import Image
from tests import disk_files, installing
from tests.installs.test_live import squashfs
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power", "named_ramdisk")


@pytest.fixture
def store(settings, tmp_path, db):
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    return tmp_path


@pytest.fixture
def disk(store) -> Image:
    return add_image(disk_files.qcow2(store / "disk.qcow2", disk_files.gpt()), name="disk")


@pytest.fixture
def live(store) -> Image:
    (store / "live").write_bytes(squashfs())
    return add_image(store / "live", name="live")


def test_the_image_of_a_disk_says_what_it_was_made_of(operator, disk):
    said = text_of(operator.get(reverse("image", args=[disk.pk])))
    assert "Partition table GPT Partitions 1 Converted from qcow2" in said
    assert "Write a disk image" in said and "Starts by" not in said


def test_an_image_that_runs_from_memory_has_a_page(operator, live):
    assert "Run from memory" in text_of(operator.get(reverse("image", args=[live.pk])))


def test_all_of_them_stand_in_the_list(operator, disk, live):
    said = text_of(operator.get(reverse("images")))
    assert "Write a disk image" in said and "Run from memory" in said


def test_the_plan_names_the_steps_and_the_disk(operator, disk):
    installing.make_machine()
    said = text_of(operator.get(reverse("plan", args=["node1"]) + f"?image={disk.pk}"))
    assert "Clearing the disk → Writing the disk → Reading it back" in said and "DISK1" in said


def test_a_plan_that_writes_no_disk_names_none(operator, live):
    installing.make_machine()
    said = text_of(operator.get(reverse("plan", args=["node1"]) + f"?image={live.pk}"))
    assert "Run from memory" in said and "DISK1" not in said


def test_an_install_that_writes_no_disk_is_started_and_shown(operator, live):
    from installs import plan

    machine = installing.make_machine()
    approved = plan.for_install(machine, live).digest
    answer = operator.post(reverse("plan", args=["node1"]), {"image": live.pk, "approved": approved})
    assert answer.status_code == 302
    assert "Ramdisk running" in text_of(operator.get(answer.headers["Location"]))
    assert operator.get("/machines/node1/").status_code == 200
