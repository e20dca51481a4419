"""Odd numbers, days and texts in addresses and forms: an answer with words, never a fault."""

from urllib.parse import quote

import pytest
from django.utils.timezone import now

from machines.models import Machine, Sighting
from tests import installing, scenes

pytestmark = pytest.mark.django_db
MANY_DIGITS = "9" * 5000  # Python makes no number of so many
ODD = ("", "0", "-1", MANY_DIGITS, "9" * 19, "٣", "a\0b", "%", "'\"<>", "9999-12-31", "0001-01-01")
PAGES = (
    "/machines/{machine}/install/?image={odd}",
    "/many/install/?machines={number}&image={odd}",
    "/many/power/?machines={number},{odd}",
    "/machines/?q={odd}&page={odd}&size={odd}&sort={odd}&rack={odd}",
    "/machines/ids.json?q={odd}",
    "/installs/?q=%23{odd}&page={odd}&by={odd}",
    "/installs/?since={odd}",
    "/installs/export.csv?until={odd}",
    "/activity/?since={odd}",
    "/activity/?until={odd}",
    "/activity/?before={odd}T00:00:00%2B14:00&who={odd}",
    "/connect/?network={odd}",
    "/sightings/?page={odd}",
    "/inventory/import/{odd}/",
    "/imports/{odd}/",
    "/admin/machines/machine/{odd}/history/",
    "/admin/auth/user/{odd}/change/",
)
FORMS = (
    ("/machines/{machine}/install/", "image"),
    ("/machines/{machine}/root-disk/", "disk"),
    ("/machines/{machine}/cluster/", "cluster"),
    ("/machines/{machine}/power/", "action"),
    ("/machines/{machine}/notes/", "notes"),
    ("/machines/{machine}/set-aside/", "until"),
    ("/many/cluster/", "cluster"),
    ("/many/install/", "image"),
    ("/many/power/", "action"),
    ("/imports/new/", "url"),
    ("/imports/new/", "path"),
    ("/imports/new/", "size"),
    ("/notices/", "address"),
    ("/notices/", "cluster"),
    ("/connect/1/add/", "name"),
    ("/sightings/1/card/", "machine"),
    ("/language/", "next"),
)


@pytest.fixture
def machine() -> Machine:
    Sighting.objects.create(pk=1, mac="02:00:00:00:99:99", last_seen_at=now())
    return installing.make_machine()


@pytest.fixture
def admin(client):
    client.force_login(scenes.make_user("admin", is_staff=True))
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("page", PAGES)
def test_an_address_may_say_anything(admin, machine, page):
    answers = {odd: admin.get(page.format(odd=quote(odd), machine=machine.name, number=machine.pk)) for odd in ODD}
    assert not [(odd[:20], answer.exc_info) for odd, answer in answers.items() if answer.status_code >= 500]


@pytest.mark.parametrize(("page", "field"), FORMS)
def test_a_form_may_say_anything(admin, machine, page, field):
    source = field if field in ("url", "path") else "upload"
    form = {"machines": machine.pk, "why": "x", "name": "x", "source": source, "size": 5, "language": "ja"}
    answers = {odd: admin.post(page.format(machine=machine.name), form | {field: odd}) for odd in ODD}
    assert not [(odd[:20], answer.exc_info) for odd, answer in answers.items() if answer.status_code >= 500]
