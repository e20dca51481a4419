"""Images that need no file are entered in the admin, by the form of their method."""

import pytest
from django.urls import reverse

from installs.models import Image

NUMBERS = dict.fromkeys(("root_mib", "swap_mib", "ephemeral_mib", "kdump_mib", "min_memory_mib"), "0")


@pytest.fixture
def address(settings) -> str:
    """Where an image of a method is entered that is no part of Dodai."""
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, "tests.third_party.erasing.Erase"]
    return f"{reverse('admin:installs_image_add')}?method=shred"


def test_first_the_method_is_chosen(admin, address):
    bare = address.partition("?")[0]
    assert "Erase the disk" in admin.get(bare).content.decode()
    assert admin.post(bare, {"method": "shred"}).headers["Location"] == address


def test_what_the_form_refuses_is_not_stored(admin, address):
    bad = admin.post(address, {"name": "nothing", "metadata-passes": "9", **NUMBERS})
    assert bad.status_code == 200 and not Image.objects.exists()
    assert "less than or equal to 3" in bad.content.decode()


def test_what_it_takes_is_there_to_be_changed(admin, address):
    assert admin.post(address, {"name": "nothing", "metadata-passes": "3", **NUMBERS}).status_code == 302
    image = Image.objects.get()
    assert (image.method, image.metadata, image.sha256) == ("shred", {"passes": 3, "reason": ""}, "")
    change = reverse("admin:installs_image_change", args=[image.pk])
    assert 'name="metadata-passes" value="3"' in admin.get(change).content.decode()
    assert admin.post(change, {"name": "nothing", "metadata-passes": "1", **NUMBERS}).status_code == 302
    assert Image.objects.get().metadata["passes"] == 1


def test_who_may_not_add_images_adds_none(operator, address):
    operator.post(address, {"name": "nothing", "metadata-passes": "1", **NUMBERS})
    assert not Image.objects.exists()


def test_commands_for_first_boot_are_kept_as_they_are(admin, address):
    admin.post(address, {"name": "nothing", "metadata-passes": "3", **NUMBERS})
    change = reverse("admin:installs_image_change", args=[Image.objects.get().pk])
    commands = "touch /a\r\ntouch '/b'"
    sent = {"name": "nothing", "metadata-passes": "3", **NUMBERS, "first_boot_commands": commands}
    assert admin.post(change, sent).status_code == 302
    assert Image.objects.get().first_boot_commands == commands
