"""The admin in Japanese holds no English of ours: lists, forms, histories, and what is refused."""

import re

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import reverse

from installs.models import SshKey
from machines.models import Credentials, MachineType, Sighting, Switch
from tests import installing, scenes
from tests.test_japanese_pages import english_in

pytestmark = pytest.mark.django_db
OURS = ("machines", "installs", "auth")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0YhVYq3iJxyxmMTq1H5rJ5yq3m6cB7Jx9o0aAbCd ada"
NOT_OURS = re.compile(
    r"(Django_Rq|Axes) \| .*|(Group-permission|User-group) relationships?: .*|ssh-ed25519 .*|Open vSwitch"
)
"""What Django and others say of their own rows, and names of programs."""


@pytest.fixture
def japanese(client):
    """A superuser, who sees everything, reading Japanese; and one of each thing."""
    client.force_login(get_user_model().objects.create_superuser("root", password=None))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "ja"
    installing.make_machine(driver="ipmi")
    scenes.make_user("viewer", name="grace")
    installing.make_image()
    MachineType.objects.create(name="x11")
    Credentials.objects.create(name="rack", username="ada")
    Switch.objects.create(name="leaf", driver="netmiko", read_report=[{"port": "1", "vlan": 210, "allowed": True}])
    Sighting.objects.create(mac="52:54:00:aa:bb:cc")
    SshKey.objects.create(name="ada", public_key=KEY)
    return client


def pages_of(model) -> list[str]:
    label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    found = [reverse(f"{label}_changelist"), reverse(f"{label}_add")]
    for row in model.objects.all()[:1]:
        found += [reverse(f"{label}_{page}", args=[row.pk]) for page in ("change", "history", "delete")]
    return found


def left_in(html: str) -> list[str]:
    return [text for text in english_in(html) if not NOT_OURS.fullmatch(text)]


def test_no_page_of_the_admin_speaks_english(japanese):
    models = [model for model in admin.site._registry if model._meta.app_label in OURS]
    left, seen = {}, 0
    for path in [reverse("admin:index"), *(page for model in models for page in pages_of(model))]:
        response = japanese.get(path)
        assert response.status_code in ((200, 403) if path.endswith("/add/") else (200,)), path
        if found := left_in(response.content.decode()):
            left[path] = found
        seen += response.status_code == 200
    assert "\n".join(f"{path}: {found}" for path, found in left.items()) == ""
    assert seen > 45, "the walk has reached the pages"


@pytest.mark.parametrize(
    ("page", "values"),
    [
        ("installs_sshkey", {"name": "x", "account": "root", "public_key": "鍵"}),
        ("installs_sshkey", {"name": "x", "account": "root", "public_key": f"{KEY}\n{KEY}"}),
        ("machines_cluster", {"name": "web", "colour": "red"}),
        ("machines_vlan", {"vid": "9999", "name": "x"}),
        ("machines_switch", {"name": "leaf", "driver": "telnet"}),
        ("machines_machinetype", {"name": "y", "boot_order": "disk", "local_boot": "auto", "kernel_args": "a;b"}),
        ("machines_machine", {"name": "Bad Name", "uuid": "none"}),
        (
            "machines_machine",
            {"interfaces-TOTAL_FORMS": "1", "interfaces-0-role": "service", "interfaces-0-mac": "01:00:5e:00:00:01"},
        ),
        (
            "machines_machine",
            {"interfaces-TOTAL_FORMS": "1", "interfaces-0-role": "service", "interfaces-0-mac": "mac"},
        ),
    ],
)
def test_what_the_admin_refuses_is_said_in_japanese(japanese, page, values):
    forms = {
        f"{part}-{count}_FORMS": "0"
        for part in ("bmc", "interfaces", "links", "disks")
        for count in ("TOTAL", "INITIAL")
    }
    answer = japanese.post(reverse(f"admin:{page}_add"), forms | values)
    assert answer.status_code == 200, "refused"
    assert "errorlist" in answer.content.decode()
    assert left_in(answer.content.decode()) == []


def test_actions_answer_in_japanese(japanese):
    users = get_user_model().objects.values_list("pk", flat=True)
    answer = japanese.post(
        reverse("admin:auth_user_changelist"), {"action": "unlock", "_selected_action": list(users)}, follow=True
    )
    assert "messagelist" in answer.content.decode()
    assert left_in(answer.content.decode()) == []
