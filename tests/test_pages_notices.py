"""The pages of notices: who is told is an admin's choice, and secrets only go in."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from installs.models import Notice, NoticeTarget
from installs.notices import outbox
from machines.models import Cluster
from tests import installing, receivers, scenes

pytestmark = pytest.mark.django_db
SECRET = "a-secret-that-nobody-may-read-again"
FILLED = {
    "name": "ops",
    "kind": "webhook",
    "address": "https://hooks.example.org/T0K3N",
    "on_failed": "on",
    "is_enabled": "on",
}


def add(client, **changes):
    return client.post("/notices/", FILLED | changes, follow=True)


def page(client, path="/notices/") -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("group", ["viewer", "operator"])
def test_it_is_for_admins_alone(client, group):
    target = NoticeTarget.objects.create(name="ops", address="https://example.org/")
    client.force_login(scenes.make_user(group))
    assert client.get("/notices/").status_code == 403
    assert client.post("/notices/", FILLED).status_code == 403
    for name in ("notice_test", "notice_remove"):
        assert client.post(reverse(name, args=[target.pk])).status_code == 403
    assert 'href="/notices/"' not in client.get("/").content.decode()
    assert NoticeTarget.objects.count() == 1


def test_an_empty_page_says_what_to_do(admin):
    assert "Nobody is told yet" in page(admin)
    assert 'href="/notices/"' in page(admin, "/")


def test_a_webhook_is_added_with_a_secret_that_is_never_shown(admin):
    add(admin, secret=SECRET)
    target = NoticeTarget.objects.get()
    assert target.secret == SECRET
    shown = page(admin) + page(admin, reverse("notice", args=[target.pk]))
    assert SECRET not in shown
    assert target.secret_sealed not in shown
    assert "signed" in shown


def test_the_list_does_not_show_the_path_of_a_url(admin):
    add(admin)
    assert "https://hooks.example.org/…" in page(admin)
    assert "T0K3N" not in page(admin)


def test_a_secret_stays_unless_it_is_replaced_or_removed(admin):
    add(admin, secret=SECRET)
    target = NoticeTarget.objects.get()
    where = reverse("notice", args=[target.pk])
    admin.post(where, FILLED | {"name": "renamed"})
    target.refresh_from_db()
    assert (target.name, target.secret) == ("renamed", SECRET)
    admin.post(where, FILLED | {"forget_secret": "on"})
    target.refresh_from_db()
    assert target.secret_sealed == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"address": "ftp://example.org/"}, "must begin with http"),
        ({"address": "https://u:p@example.org/"}, "must not carry a user"),
        ({"kind": "mail", "address": "nobody"}, "valid email"),
        ({"secret": "short"}, "at least 24 characters"),
        ({"on_failed": ""}, "Choose what it is told of"),
        ({"name": ""}, "required"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_stored(admin, changes, said):
    response = add(admin, **changes)
    assert response.status_code == 422
    text = response.content.decode()
    assert said in text
    assert 'aria-invalid="true"' in text
    assert not NoticeTarget.objects.exists()


def test_a_name_is_taken_once(admin):
    add(admin)
    assert "already exists" in add(admin).content.decode()
    assert NoticeTarget.objects.count() == 1


def test_a_target_of_a_cluster(admin):
    cluster = Cluster.objects.create(name="web")
    add(admin, cluster=str(cluster.pk))
    assert NoticeTarget.objects.get().cluster == cluster
    assert "Cluster web" in page(admin)


def test_a_test_notice_shows_its_result(admin):
    with receivers.http_receiver() as hook:
        add(admin, address=hook.url, is_private="on")
        target = NoticeTarget.objects.get()
        admin.post(reverse("notice_test", args=[target.pk]))
        assert "On its way" in page(admin, reverse("notice", args=[target.pk]))
        assert outbox.deliver_due()
    shown = page(admin, reverse("notice", args=[target.pk]))
    assert "Delivered" in shown
    assert "answered 200" in shown
    assert len(hook.requests) == 1


def test_who_is_switched_off_gets_no_test(admin):
    add(admin, is_enabled="")
    answer = admin.post(reverse("notice_test", args=[NoticeTarget.objects.get().pk]), follow=True)
    assert "switched off" in answer.content.decode()
    assert not Notice.objects.exists()


def test_deliveries_name_machine_result_and_next_try(admin):
    NoticeTarget.objects.create(name="gone", address="http://127.0.0.1:1/", is_private=True)
    scenes.failed(installing.make_machine(), installing.make_image())
    outbox.deliver_due()
    shown = page(admin)
    assert "node1" in shown
    assert "Tried again at" in shown
    assert "Connection refused" in shown


def test_removing_a_target_removes_what_waits(admin):
    target = NoticeTarget.objects.create(name="gone", address="http://127.0.0.1:1/", is_private=True)
    scenes.failed(installing.make_machine(), installing.make_image())
    admin.post(reverse("notice_remove", args=[target.pk]))
    assert not Notice.objects.exists()
    assert not outbox.deliver_due()


def test_hostile_answers_are_shown_and_never_run(admin):
    target = NoticeTarget.objects.create(name=scenes.HOSTILE[:63], address="http://127.0.0.1:1/")
    notice = outbox.send_test(target, by=scenes.HOSTILE)
    notice.tries.create(took=notice.created_at - notice.created_at, is_good=False, result=scenes.HOSTILE)
    Notice.objects.update(count=1)
    for path in ("/notices/", reverse("notice", args=[target.pk])):
        shown = page(admin, path)
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown
        assert ">49<" not in shown


def test_more_targets_need_no_more_queries(admin):
    def queries() -> int:
        for _ in range(5):
            number = NoticeTarget.objects.count()
            outbox.send_test(NoticeTarget.objects.create(name=f"t{number}", address="http://[::1]:1/"), by="ada")
            assert outbox.deliver_due()
        with CaptureQueriesContext(connection) as asked:
            page(admin)
        return len(asked)

    assert queries() == queries()
