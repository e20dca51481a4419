"""Pages of installs by hand, of fallbacks, and of how often methods work."""

import re
from html.parser import HTMLParser

import pytest
from django.urls import reverse
from django.utils.timezone import now

from installs import by_hand, checklist, success
from installs.models import Image, Install
from machines.models import Machine, MachineType
from tests import installing, manual, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power", "named_ramdisk")

HOSTILE = (
    scenes.HOSTILE,
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](vbscript:x) [y](data:text/html,<script>alert(1)</script>) [z](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "![x](http://example.org/pixel.png)",
    "![x](javascript:alert(1))",
    '[x](http://example.org/ "a\\" onmouseover=alert(1)")',
    "[x]: javascript:alert(1)\n\n[x]",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "```<script>\nalert(1)\n```",
    "```js\" onclick=\"alert(1)\n1\n```",
    "| <script> |\n|---|\n| <img src=x onerror=alert(1)> |",
    "1. <b onclick=alert(1)>x</b>\n   <script>alert(1)</script>",
    "`<script>alert(1)</script>`",
    "# <script>alert(1)</script>",
    "<!-- <script>alert(1)</script> -->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "]]><script>alert(1)</script>",
)  # fmt: skip
PLAIN = "p ul li em strong pre h1 h2 h3 hr br blockquote table thead tbody tr".split()
ALLOWED = {name: set() for name in PLAIN} | {
    "ol": {"start"}, "code": {"class"}, "a": {"href", "title"}, "th": {"style"}, "td": {"style"},
    "input": {"type", "id", "aria-label"},
}  # fmt: skip


class _Judge(HTMLParser):
    """Raises for what a checklist has no business to contain."""

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        assert {name for name, _value in attrs} <= ALLOWED[tag], (tag, attrs)
        href = dict(attrs).get("href") or ""
        assert re.match(r"(https?:|mailto:|[/#]|$)", href), href

    handle_startendtag = handle_starttag

    def handle_comment(self, data):
        raise AssertionError(data)

    def handle_decl(self, decl):
        raise AssertionError(decl)

    def handle_pi(self, data):
        raise AssertionError(data)

    def unknown_decl(self, data):
        raise AssertionError(data)


@pytest.mark.parametrize("with_ticks", [True, False])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_checklist_is_only_text(text, with_ticks):
    _Judge().feed(str(checklist.html(text, with_ticks=with_ticks)))


def test_the_judge_would_see_it():
    for bad in ("<script>", "<a href='javascript:x'>", "<p onclick='x'>", "<!-- x -->"):
        with pytest.raises(AssertionError):
            _Judge().feed(bad)


def test_a_checklist_is_what_it_says():
    said = str(checklist.html(manual.CHECKLIST, with_ticks=True))
    assert said.count('type="checkbox"') == 3 and "<em>kobe-7</em>" in said and "<td>25G</td>" in said
    assert 'aria-label="Step 2 done"' in said
    assert "checkbox" not in checklist.html(manual.CHECKLIST)


def test_deep_nesting_is_no_bomb():
    assert len(checklist.html(">" * 2000 + "x")) < 100_000
    assert len(checklist.html("[" * 5000)) < 100_000


@pytest.fixture
def install(db) -> Install:
    installing.make_machine()
    install = scenes.start(Machine.objects.get(), manual.make_image())
    scenes.work()
    return Install.objects.get(pk=install.pk)


def test_the_task_stands_where_people_look(operator, install):
    fleet = text_of(operator.get("/"))
    assert "node1 : waits for a person" in fleet or "node1: waits for a person" in fleet
    assert "1 waits for a person" in fleet
    assert reverse("task", args=[install.pk]) in operator.get(reverse("install", args=[install.pk])).content.decode()


def test_viewers_look_and_press_nothing(client, install):
    client.force_login(scenes.make_user("viewer"))
    said = client.get(reverse("task", args=[install.pk])).content.decode()
    assert "needs the group operator" in said and "task/done" not in said
    for verb in ("take", "note", "done", "cannot"):
        assert client.post(reverse(f"task_{verb}", args=[install.pk])).status_code == 403
    assert not install.events.exclude(by="").exclude(name="queue").exists()


def test_what_is_refused_is_said_and_nothing_is_lost(operator, install):
    answer = operator.post(reverse("task_cannot", args=[install.pk]), {"reason": " "}, follow=True)
    assert "Write some words first." in text_of(answer)
    install.refresh_from_db()
    assert install.state == "waiting"


def test_other_installs_have_no_such_page(operator, db):
    failed = scenes.failed(installing.make_machine(), installing.make_image())
    assert operator.get(reverse("task", args=[failed.pk])).status_code == 404
    assert operator.post(reverse("task_done", args=[failed.pk])).status_code == 404


def test_notes_are_shown_as_they_are(operator, install):
    operator.post(reverse("task_note", args=[install.pk]), {"text": scenes.HOSTILE})
    page = operator.get(reverse("task", args=[install.pk])).content.decode()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page


def test_activity_tells_who_said_what(operator, install):
    by_hand.take(install, by="ann")
    by_hand.cannot(install, "No stick.", is_untouched=True, by="ann")
    said = text_of(operator.get("/activity/"))
    assert f"taken #{install.pk}" in said and f"#{install.pk} cannot be done" in said
    assert "cancelled" not in said


def ended(machine: Machine, image: Image | None, state: str, *, method: str = "file-tree", **fields) -> Install:
    moment = now()
    return Install.objects.create(
        machine=machine, image=image, method=method, state=state, plan_digest="x", requested_by="x", queued_at=moment,
        ended_at=moment, **fields,
    )  # fmt: skip


@pytest.fixture
def records(db) -> Image:
    """Two types and none; a practice server; a fallback; what is cancelled or under way tells nothing."""
    image = installing.make_image()
    kinds = [MachineType.objects.create(name=name) for name in ("r640", "x11")]
    machines = [
        installing.make_machine(f"n{at}", number=at, type=kind) for at, kind in enumerate([*kinds, None], start=1)
    ]
    for state in ("installed", "installed", "failed", "cancelled"):
        ended(machines[0], image, state)
    failed = ended(machines[1], image, "failed")
    ended(machines[1], image, "installed", method="manual", retry_of=failed, fallback=1)
    ended(machines[1], image, "failed", retry_of=failed)
    ended(machines[2], None, "installed", method="inspect")
    ended(machines[2], installing.make_image("other", sha256="cd" * 32), "installed")
    return image


def test_success_is_counted_by_method_and_type(records):
    found = {(of.slug, rate.where): rate for of in success.rates(Install.objects.all()) for rate in of.rates}
    assert {key: (rate.tried, rate.worked, rate.went_on) for key, rate in found.items()} == {
        ("file-tree", "r640"): (3, 2, 0), ("file-tree", "x11"): (2, 0, 1), ("file-tree", "without a type"): (1, 1, 0),
        ("manual", "x11"): (1, 1, 0),
    }  # fmt: skip
    assert found["file-tree", "r640"].percent == 67


def test_success_is_one_query_however_many_there_are(records, django_assert_num_queries):
    with django_assert_num_queries(1):
        success.rates(Install.objects.all())


def test_the_page_of_methods(operator, records):
    said = text_of(operator.get("/methods/"))
    assert "By an operator" in said and "r640 2 of 3 (67 %)" in said and "Inspection" not in said
    old = now().replace(year=2020)
    Install.objects.update(queued_at=old)
    assert "No install has ended in this time." in text_of(operator.get("/methods/?days=30"))
    assert "2 of 3" in text_of(operator.get("/methods/?days=all"))
    assert operator.get("/methods/?days=<x>").status_code == 200


def test_the_page_of_an_image_counts_its_own(operator, records):
    said = text_of(operator.get(reverse("image", args=[records.pk])))
    assert "r640 2 of 3 (67 %)" in said and "without a type" not in said


def test_the_page_of_an_image_by_hand_shows_its_checklist(operator, db):
    said = operator.get(reverse("image", args=[manual.make_image().pk])).content.decode()
    assert "<em>kobe-7</em>" in said and "SHA-256" not in said and "Will it boot here" not in said


def test_the_plan_shows_the_chain_that_is_approved(operator, db):
    installing.make_machine()
    said = text_of(operator.get(f"/machines/node1/install/?image={manual.with_fallbacks().pk}"))
    assert "If that fails: By an operator" in said and "without asking again, on the same machine and disk" in said
