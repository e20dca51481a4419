"""How an install ended reaches those who want to know: at least once, signed, and with patience."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import override_settings
from django.urls import reverse
from django.utils.timezone import now

from installs import actions, ending
from installs.models import Notice, NoticeTarget, NoticeTry
from installs.notices import outbox
from installs.notices.delivery import signature
from installs.notices.words import address_of
from machines.models import Cluster, Machine
from tests import installing, receivers, scenes

pytestmark = pytest.mark.django_db
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def hook():
    with receivers.http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox():
    with receivers.smtp_receiver() as box:
        server = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": box.port, "EMAIL_USE_TLS": False, "EMAIL_TIMEOUT": 5}
        backend = "django.core.mail.backends.smtp.EmailBackend"  # pytest-django would keep mails to itself
        with override_settings(**server, EMAIL_BACKEND=backend, DEFAULT_FROM_EMAIL="Dodai <dodai@example.org>"):
            yield box


@pytest.fixture
def machine():
    return installing.make_machine()


@pytest.fixture
def image():
    return installing.make_image()


def test_delivered_notices_are_forgotten_after_a_while_and_others_are_not(settings):
    target = NoticeTarget.objects.create(name="ops", address="https://hooks.example/x")
    ages = {"old": (100, True), "new": (80, True), "not delivered": (100, False)}
    for uid, (days, is_delivered) in ages.items():
        ended_at = now() - timedelta(days=days)
        notice = Notice.objects.create(
            target=target, uid=uid, kind="test", payload={}, ended_at=ended_at, is_delivered=is_delivered
        )
        NoticeTry.objects.create(notice=notice, took=timedelta(), is_good=is_delivered, result="x")
    assert outbox.forget_old() == 1
    assert set(Notice.objects.values_list("uid", flat=True)) == {"new", "not delivered"}
    assert NoticeTry.objects.count() == 2
    settings.NOTICES_KEPT_DAYS = 70
    assert (outbox.forget_old(), outbox.forget_old()) == (1, 0)


def target_of(hook, **fields) -> NoticeTarget:
    target = NoticeTarget(name=fields.pop("name", "ops"), address=hook.url, is_private=True, **fields)
    target.set_secret(SECRET)
    target.save()
    return target


def mail_target(**fields) -> NoticeTarget:
    return NoticeTarget.objects.create(name="mail", kind="mail", address="ops@example.org", **fields)


def deliver_all() -> None:
    while outbox.deliver_due():
        pass


def results() -> list[tuple[bool, str]]:
    return list(NoticeTry.objects.order_by("pk").values_list("is_good", "result"))


def make_due() -> None:
    Notice.objects.update(again_at=now() - timedelta(seconds=1))


def test_a_failure_is_told_with_its_cause_step_and_link(hook, machine, image):
    target_of(hook)
    install = scenes.failed(machine, image)
    deliver_all()
    (request,) = hook.requests
    told = json.loads(request.body)
    assert (told["version"], told["type"]) == (1, "install.failed")
    data = told["data"]
    assert (data["install"], data["machine"], data["image"], data["cause"]) == (install.pk, "node1", "debian", "digest")
    assert data["url"].endswith(f"/installs/{install.pk}/")
    assert data["step_label"] == "Copying files"
    assert "SHA-256" in data["error"]
    assert Notice.objects.get().is_delivered


def test_the_signature_is_that_of_the_standard(hook, machine, image):
    target_of(hook)
    scenes.failed(machine, image)
    deliver_all()
    (request,) = hook.requests
    uid, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    expected = hmac.digest(b"k" * 32, f"{uid}.{timestamp}.".encode() + request.body, hashlib.sha256)
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert abs(int(timestamp) - time.time()) < 10


def test_the_signature_of_the_published_example():
    """The vector in the standard's own tests (standard-webhooks, libraries)."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", uid="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )  # fmt: skip
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_a_secret_nothing_is_signed(hook, machine, image):
    NoticeTarget.objects.create(name="plain", address=hook.url, is_private=True)
    scenes.failed(machine, image)
    deliver_all()
    assert "webhook-signature" not in hook.requests[0].headers


def test_a_success_is_told_only_to_who_asked_for_it(hook, machine, image):
    target_of(hook, name="failures")
    target_of(hook, name="all", on_installed=True)
    scenes.installed(machine, image)
    deliver_all()
    assert [json.loads(request.body)["type"] for request in hook.requests] == ["install.installed"]


def test_a_cancelled_install_is_no_failure(hook, machine, image):
    target_of(hook, name="failures")
    target_of(hook, name="cancelled", on_cancelled=True)
    install = scenes.start(machine, image)
    scenes.work()
    actions.cancel(install, by="ada")
    scenes.settle(install)
    assert [notice.target.name for notice in Notice.objects.all()] == ["cancelled"]


def test_a_target_of_a_cluster_hears_of_its_machines_only(hook, image):
    mine, other = Cluster.objects.create(name="mine"), Cluster.objects.create(name="other")
    target_of(hook, name="mine", cluster=mine)
    target_of(hook, name="all")
    scenes.failed(installing.make_machine("a", number=1, cluster=mine), image)
    scenes.failed(installing.make_machine("b", number=2, cluster=other), image)
    scenes.failed(installing.make_machine("c", number=3), image)
    told = sorted((n.target.name, n.payload["data"]["machine"]) for n in Notice.objects.all())
    assert told == [("all", "a"), ("all", "b"), ("all", "c"), ("mine", "a")]


def test_a_target_that_is_switched_off_hears_nothing(hook, machine, image):
    target_of(hook, is_enabled=False)
    scenes.failed(machine, image)
    assert not Notice.objects.exists()


def test_the_notice_and_the_end_are_one_transaction(hook, machine, image, monkeypatch):
    target_of(hook)
    install = scenes.start(machine, image)
    scenes.work()
    ending.stop(install.pk, cause="silent", error="x")
    monkeypatch.setattr(ending, "_release", lambda install: 1 / 0)
    for _ in range(3):
        type(install).objects.update(look_again_at=None, lease_until=None)
        with pytest.raises(ZeroDivisionError):
            scenes.work()
    assert not Notice.objects.exists()


def test_what_is_not_taken_is_sent_again_under_the_same_id(hook, machine, image):
    target_of(hook)
    hook.answers = [503, 429]
    scenes.failed(machine, image)
    for count in (1, 2, 3):
        deliver_all()
        assert len(hook.requests) == count
        make_due()
    deliver_all()
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert results() == [(False, "answered 503"), (False, "answered 429"), (True, "answered 200")]


def test_pauses_grow_and_end_after_a_day(hook, machine, image):
    target_of(hook)
    hook.answers = [500] * 50
    scenes.failed(machine, image)
    pauses = []
    for _ in range(40):
        deliver_all()
        notice = Notice.objects.get()
        if notice.ended_at:
            break
        pauses.append((notice.again_at - now()).total_seconds())
        passed = now() - notice.again_at  # instead of waiting for it, its past moves back
        Notice.objects.update(again_at=now(), created_at=notice.created_at + passed)
    assert [round(pause / 30) for pause in pauses[:4]] == [1, 2, 4, 8]
    assert max(pauses) <= 4 * 3600
    assert 20 * 3600 < sum(pauses) < 24 * 3600
    assert (notice.is_delivered, notice.count) == (False, len(pauses) + 1)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_what_can_never_be_taken_is_given_up(hook, machine, image, status):
    target_of(hook)
    hook.answers = [status]
    scenes.failed(machine, image)
    deliver_all()
    assert Notice.objects.get().ended_at
    assert results() == [(False, f"answered {status}")]


def test_a_redirect_is_not_followed(hook, machine, image):
    target_of(hook)
    hook.answers = [302]
    scenes.failed(machine, image)
    deliver_all()
    assert len(hook.requests) == 1
    assert "redirect" in results()[0][1]


def test_private_addresses_need_the_admins_word(hook, machine, image):
    target = target_of(hook)
    target.is_private = False
    target.save()
    scenes.failed(machine, image)
    deliver_all()
    assert not hook.requests
    assert "allow private addresses" in results()[0][1]
    assert Notice.objects.get().ended_at


def test_nobody_listening_is_tried_again_and_names_no_path(machine, image):
    NoticeTarget.objects.create(name="gone", address="http://127.0.0.1:1/T0K3N", is_private=True)
    scenes.failed(machine, image)
    deliver_all()
    ((is_good, result),) = results()
    assert not is_good
    assert "127.0.0.1, port 1" in result
    assert "T0K3N" not in result
    assert Notice.objects.get().ended_at is None


def test_a_worker_that_dies_after_sending_sends_again_under_the_same_id(hook, machine, image, monkeypatch):
    target_of(hook)
    scenes.failed(machine, image)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "_store", lambda *a, **k: None)  # as if killed right after the send
        assert outbox.deliver_due()
    assert not outbox.deliver_due()  # its lease still runs
    Notice.objects.update(lease_until=now() - timedelta(seconds=1))
    deliver_all()
    assert len(hook.requests) == 2
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert Notice.objects.get().is_delivered


def test_a_worker_whose_lease_ran_out_stores_nothing(hook, machine, image):
    target_of(hook)
    scenes.failed(machine, image)
    stale = outbox._claim()
    Notice.objects.update(lease_until=now() - timedelta(seconds=1))
    deliver_all()
    late = NoticeTry(notice=stale, at=now(), took=timedelta(), is_good=False, result="late")
    outbox._store(stale, late, may_retry=False)
    assert Notice.objects.get().is_delivered
    assert results() == [(True, "answered 200")]


@pytest.mark.django_db(transaction=True)
def test_the_queue_and_the_watchdog_deliver(hook, machine, image, work):
    target_of(hook)
    scenes.failed(machine, image)
    work()
    assert len(hook.requests) == 1
    Notice.objects.update(ended_at=None, again_at=now())
    outbox.ring_for_due()
    work()
    assert len(hook.requests) == 2


def test_a_mail_says_what_failed_and_where_to_look(mailbox, machine, image):
    mail_target()
    install = scenes.failed(machine, image)
    deliver_all()
    ((receiver, mail),) = mailbox.mails
    assert receiver == "ops@example.org"
    assert mail["Subject"] == "Dodai: install of node1 failed (digest)"
    text = mail.get_payload(decode=True).decode()
    assert "Cause: digest" in text
    assert f"/installs/{install.pk}/" in text
    assert mail["Message-ID"] == f"<{Notice.objects.get().uid}@example.org>"
    assert results() == [(True, "taken by the mail server")]


def test_a_mail_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(mailbox, machine, image):
    mail_target()
    scenes.failed(machine, image)
    mailbox.refusal = "451 later"
    deliver_all()
    assert Notice.objects.get().ended_at is None
    mailbox.refusal = "550 no such user"
    make_due()
    deliver_all()
    assert Notice.objects.get().ended_at
    said = "the mail server refused the receiver"
    assert results() == [(False, f"{said} (451)"), (False, f"{said} (550)")]


def test_without_a_mail_server_the_result_says_what_to_set(machine, image):
    mail_target()
    scenes.failed(machine, image)
    with override_settings(EMAIL_HOST=""):
        deliver_all()
    assert "DODAI_MAIL_URL" in results()[0][1]


def test_a_machines_words_cannot_add_headers_to_a_mail(mailbox, machine, image):
    mail_target()
    scenes.failed(machine, image, message="x\r\nBcc: all@example.org\r\n\r\nhello")
    deliver_all()
    ((_, mail),) = mailbox.mails
    assert mail["Bcc"] is None
    assert not any("all@example.org" in line for line in mailbox.said if line.startswith("RCPT"))


def test_a_test_notice_is_tried_once(hook):
    target = target_of(hook)
    hook.answers = [503]
    outbox.send_test(target, by="ada")
    deliver_all()
    notice = Notice.objects.get()
    assert (notice.ended_at is not None, notice.is_delivered) == (True, False)
    assert json.loads(hook.requests[0].body)["type"] == "test"


def test_secrets_are_sealed_and_stay_out_of_logs(hook, machine, image, caplog):
    target = target_of(hook)
    assert SECRET not in target.secret_sealed
    hook.answers = [500]
    scenes.failed(machine, image)
    with caplog.at_level("DEBUG"):
        deliver_all()
    assert SECRET not in caplog.text
    assert "T0K3N" not in caplog.text


def test_an_address_that_is_none_is_given_up(machine, image):
    NoticeTarget.objects.create(name="bad", address="http://[", is_private=True)
    scenes.failed(machine, image)
    deliver_all()
    assert Notice.objects.get().ended_at
    assert "no URL" in results()[0][1]


@pytest.mark.parametrize("fault", [lambda *a: 1 / 0, lambda *a: Notice.objects.create(payload=None)])
def test_a_fault_in_notices_keeps_no_install_from_ending(hook, machine, image, monkeypatch, fault):
    target_of(hook)
    monkeypatch.setattr(outbox, "payload_of", fault)
    assert scenes.failed(machine, image).state == "failed"
    assert not Notice.objects.exists()


def test_the_link_is_that_of_the_page(machine, image):
    install = installing.start(machine, image)
    assert address_of(install).endswith(reverse("install", args=[install.pk], urlconf="dodaiweb.urls"))


def test_two_ends_of_one_install_are_told_once(hook, machine, image):
    target = target_of(hook)
    install = scenes.failed(machine, image)
    from django.db import IntegrityError

    with pytest.raises(IntegrityError), transaction.atomic():
        Notice.objects.create(target=target, install=install, kind="install.failed", payload={})
    assert Machine.objects.get().state == "free"
