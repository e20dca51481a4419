"""What is done to a machine beside an install has its words wherever attempts are named."""

import pytest
from django.utils.timezone import now

from installs.models import Install, Notice
from installs.notices.words import payload_of, subject_of, text_of
from installs.operation_words import OPERATIONS
from tests import installing
from tests.test_pages_content import text_of as said_of

pytestmark = pytest.mark.django_db

NAMES = {
    "hand-over": "Hand-over", "move": "Move to another cluster", "release": "Release",
    "undo-release": "Undo of a release", "erase": "Erasure", "inspect": "Inspection",
}  # fmt: skip


def attempt(slug: str, state: str = "failed", *, number: int = 1) -> Install:
    machine = installing.make_machine(f"node{number}", number=number)
    ended = {"ended_at": now(), "cause": "silent", "error": "It fell silent."} if state == "failed" else {}
    return Install.objects.create(
        machine=machine, method=slug, state=state, plan={"told": {}, "machine_was": "free"}, plan_digest="ab" * 32,
        requested_by="ada", **ended,
    )  # fmt: skip


@pytest.mark.parametrize("state", ["failed", "running", "installed", "queued"])
@pytest.mark.parametrize("slug", NAMES)
def test_every_page_names_it(admin, slug, state):
    install = attempt(slug, state)
    for path in ("/", "/installs/?inspections=1", "/machines/", "/machines/node1/", f"/installs/{install.pk}/"):
        answer = admin.get(path)
        assert answer.status_code == 200, path
        if path != "/machines/" and (path != "/" or state in ("failed", "running", "queued")):
            assert NAMES[slug] in said_of(answer), path
    assert admin.get("/installs/export.csv?inspections=1").status_code == 200
    assert admin.get(f"/installs/{install.pk}/log.txt").status_code == 200


@pytest.mark.parametrize(
    ("slug", "words"),
    [("hand-over", "asked for a hand-over"), ("erase", "asked to erase it"), ("release", "asked to release it")],
)
def test_the_activity_says_what_was_asked(admin, slug, words):
    attempt(slug)
    assert words in said_of(admin.get("/activity/"))


def test_unlike_failures_stand_apart(admin):
    """One cause, three kinds of work: a button that installs all again must not take in what only was to be erased."""
    for number, slug in enumerate(("hand-over", "erase", "erase"), start=1):
        attempt(slug, number=number)
    html = admin.get("/").content.decode()
    assert 'id="g-silent-erase"' in html
    assert 'id="g-silent-hand-over"' in html
    assert "image=again" not in html


@pytest.mark.parametrize("slug", NAMES)
def test_notices_name_it(slug):
    payload = payload_of(attempt(slug), Notice.Kind.FAILED)
    assert payload["data"]["operation"] == slug
    name = "inspection" if slug == "inspect" else slug
    assert subject_of(payload) == f"Dodai: {name} of node1 failed (silent)"
    assert "It fell silent." in text_of(payload)


def test_a_list_says_that_it_is_going_on(admin):
    from machines.models import Cluster

    install = attempt("hand-over", "running")
    web = Cluster.objects.create(name="web")
    install.machine.cluster = web
    install.machine.save()
    assert "node1 Being handed over" in said_of(admin.get(f"/clusters/{web.pk}/"))


def test_cancelling_says_what_stays(admin):
    asked = admin.get(f"/installs/{attempt('erase', 'running').pk}/").content.decode()
    assert "cancel “Erasure”?" in asked
    assert "nobody gets it before they are" in asked


def test_each_has_a_label_whether_its_method_is_there_or_not():
    assert {slug: OPERATIONS[slug].label for slug in NAMES} == NAMES
