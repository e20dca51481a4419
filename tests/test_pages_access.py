"""Who may see and press what."""

import pytest
from django.urls import reverse

from installs.models import Install
from machines.models import PowerCommand
from tests import installing, scenes

pytestmark = pytest.mark.usefixtures("fake_power")

PAGES = ("fleet", "machines", "machine", "plan", "installs", "install", "images", "sightings")
GROUPS = ("viewer", "operator", "admin")


@pytest.fixture
def scene(db):
    machine, image = installing.make_machine(), installing.make_image()
    return scenes.failed(machine, image)


def address(page: str, install: Install) -> str:
    arguments = {"machine": [install.machine.name], "plan": [install.machine.name], "install": [install.pk]}
    return reverse(page, args=arguments.get(page, []))


def log_in(client, group: str | None):
    client.force_login(scenes.make_user(group, is_staff=group == "admin"))
    return client


@pytest.mark.parametrize("page", PAGES)
def test_without_a_login_there_is_only_the_login_page(client, scene, page):
    response = client.get(address(page, scene))
    assert response.status_code == 302
    assert response["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("page", PAGES)
def test_every_group_sees_every_page(client, scene, page, group):
    with scenes.named_ramdisk():
        response = log_in(client, group).get(address(page, scene))
    assert response.status_code == 200
    assert (
        "script-src" in response["Content-Security-Policy"]
        or "default-src 'self'" in response["Content-Security-Policy"]
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_user_of_no_group_sees_nothing_and_is_told_why(client, scene, page):
    response = log_in(client, None).get(address(page, scene))
    assert response.status_code == 403
    assert "groups viewer, operator or admin" in response.content.decode()


def posts(install: Install) -> list[tuple[str, dict[str, str]]]:
    name = install.machine.name
    return [
        (reverse("power", args=[name]), {"action": "on"}),
        (reverse("root_disk", args=[name]), {"disk": str(install.machine.disks.get().pk)}),
        (reverse("inspect", args=[name]), {}),
        (reverse("plan", args=[name]), {"image": str(install.image_id), "approved": "x"}),
        (reverse("cancel", args=[install.pk]), {}),
        (reverse("retry", args=[install.pk]), {}),
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_viewer_may_press_nothing(client, scene, number):
    where, what = posts(scene)[number]
    assert log_in(client, "viewer").post(where, what).status_code == 403
    assert Install.objects.count() == 1
    assert not PowerCommand.objects.exists()


@pytest.mark.parametrize("number", range(6))
def test_an_operator_may_press_everything(client, scene, number):
    where, what = posts(scene)[number]
    with scenes.named_ramdisk():
        assert log_in(client, "operator").post(where, what).status_code in (302, 409)


@pytest.mark.parametrize("number", [0, 1, 2, 4, 5])
def test_a_button_is_no_link(client, scene, number):
    where, _ = posts(scene)[number]
    assert log_in(client, "operator").get(where).status_code == 405


@pytest.mark.parametrize("number", range(6))
def test_a_post_from_another_site_is_refused(scene, number):
    from django.test import Client

    client = log_in(Client(enforce_csrf_checks=True), "operator")
    where, what = posts(scene)[number]
    assert client.post(where, what).status_code == 403


def test_a_viewer_sees_no_buttons(client, scene):
    client = log_in(client, "viewer")
    with scenes.named_ramdisk():
        texts = [client.get(address(page, scene)).content.decode() for page in PAGES]
    for text in texts:
        forms = [part for part in text.split("<form")[1:] if 'method="post"' in part.split(">")[0]]
        assert all(any(own in form.split(">")[0] for own in ("/logout/", "/language/")) for form in forms)
        assert "/admin/" not in text


def test_an_operator_is_not_shown_the_admin_who_may_not_use_it(client, scene):
    assert "/admin/" not in log_in(client, "operator").get("/").content.decode()


def test_logging_in_leads_back_to_the_page_that_was_wanted(client, scene):
    scenes.make_user("viewer", password="secret-for-tests")
    wanted = address("machine", scene)
    response = client.post(
        f"/login/?next={wanted}", {"username": "viewer", "password": "secret-for-tests", "next": wanted}
    )
    assert (response.status_code, response["Location"]) == (302, wanted)


def test_a_wrong_password_is_said_and_nothing_else(client, db):
    scenes.make_user("viewer")
    response = client.post("/login/", {"username": "viewer", "password": "no"})
    assert "do not match" in response.content.decode()


def test_logging_out_needs_a_post(client, scene):
    client = log_in(client, "viewer")
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_what_is_not_there_has_a_page_that_says_so(client, scene):
    response = log_in(client, "viewer").get("/machines/no-such-machine/")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()
