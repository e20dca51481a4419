"""The preview of answers: for a real machine, with its secrets left out."""

import pytest
from django.urls import reverse

from tests import installer_answers, installing, scenes


@pytest.fixture(autouse=True)
def _listener(settings) -> None:
    """The pages here, not the provisioning listener."""


@pytest.fixture
def someone(client, machine):
    client.force_login(scenes.make_user("admin"))
    return client


@pytest.mark.parametrize("kind", installer_answers.TEMPLATES)
def test_it_shows_a_real_machine_and_no_secret(someone, kind) -> None:
    installing.make_machine("node2", number=2)
    image = installer_answers.make_image(kind)
    page = someone.get(reverse("image_answers", args=[image.pk]), {"machine": "node2"}).content.decode()
    assert "node2" in page and "/tmp/dodai late" in page and "Nothing wrong was found" in page
    assert "canaryhash" not in page and "$6$hidden$secrets.root_hash" in page


def test_it_says_what_is_wrong(someone) -> None:
    image = installer_answers.make_image("preseed", answers="d-i a/b boolean perhaps\n")
    page = someone.get(reverse("image_answers", args=[image.pk])).content.decode()
    assert "Line 1: a/b must be true or false." in page


def test_a_place_that_cannot_be_read_is_said(someone, settings, tmp_path) -> None:
    settings.IMAGE_FOLDERS = [tmp_path]
    image = installer_answers.make_image("preseed", answers="", place="/etc/passwd")
    page = someone.get(reverse("image_answers", args=[image.pk])).content.decode()
    assert "There is no such file below" in page


def test_other_images_have_no_answers(someone) -> None:
    assert someone.get(reverse("image_answers", args=[installing.make_image().pk])).status_code == 404


def test_the_page_of_the_image_leads_there(someone) -> None:
    image = installer_answers.make_image("preseed")
    page = someone.get(reverse("image", args=[image.pk])).content.decode()
    assert reverse("image_answers", args=[image.pk]) in page
