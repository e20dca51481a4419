"""Logging in, and being slowed down at it."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.utils.timezone import now

from dodaiweb import access, forgetting
from dodaiweb.views import login
from installs.management.commands.watchdog import Command as Watchdog
from machines.models import InventoryUpload
from tests import scenes

PASSWORD = "secret-for-tests"
LIMIT = 5


@pytest.fixture
def ada(db):
    return scenes.make_user("viewer", name="ada", password=PASSWORD)


def attempt(client, *, password: str = "wrong", user: str = "ada", address: str = "192.0.2.1", **headers):
    return client.post("/login/", {"username": user, "password": password}, REMOTE_ADDR=address, **headers)


def lock(client, **who) -> None:
    for _ in range(LIMIT):
        attempt(client, **who)


def test_who_guesses_is_locked_out_and_told_for_how_long(client, ada):
    answers = [attempt(client).status_code for _ in range(LIMIT)]
    assert answers == [200] * (LIMIT - 1) + [429]
    locked = attempt(client, password=PASSWORD)
    assert locked.status_code == 429
    assert "locked for 15 minutes" in locked.content.decode()
    assert locked["Retry-After"] == "900"
    assert client.get("/").status_code == 302


def test_nobody_else_is_locked_out_with_them(client, ada):
    scenes.make_user("viewer", name="grace", password=PASSWORD)
    lock(client)
    assert attempt(client, user="grace", password=PASSWORD).status_code == 302, "the same address, as behind a proxy"
    client.logout()
    assert attempt(client, password=PASSWORD, address="192.0.2.2").status_code == 302, "the same user at home"


def test_a_good_login_forgets_the_bad_ones(client, ada):
    for _ in range(3):
        for _ in range(LIMIT - 1):
            attempt(client)
        assert attempt(client, password=PASSWORD).status_code == 302
        client.logout()


def test_the_lock_ends_by_itself_however_often_they_try_meanwhile(client, ada):
    lock(client)
    AccessAttempt.objects.update(attempt_time=now() - timedelta(minutes=14))
    assert attempt(client, password=PASSWORD).status_code == 429
    AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(minutes=2))
    assert attempt(client, password=PASSWORD).status_code == 302


def test_it_can_be_unlocked_by_a_command(client, ada, capsys):
    lock(client)
    call_command("unlock", "ada")
    assert attempt(client, password=PASSWORD).status_code == 302
    with pytest.raises(CommandError, match="nothing was locked"):
        call_command("unlock", "ada")


def test_no_password_is_kept_of_what_was_tried(client, ada):
    attempt(client, password="nearly-my-password")
    row = AccessAttempt.objects.get()
    assert "nearly-my-password" not in f"{row.post_data} {row.get_data} {row.username}"


@pytest.mark.parametrize("path", ["/admin/login/?next=/admin/machines/", "/admin/machines/"])
def test_the_admin_sends_to_the_one_login_page(client, db, path):
    answer = client.get(path, follow=True)
    assert answer.redirect_chain[-1][0] == "/login/?next=/admin/machines/" or answer.redirect_chain[-1][0].endswith(
        "next=%2Fadmin%2Fmachines%2F"
    )


def test_who_may_not_use_the_admin_is_told_so_instead_of_being_sent_round(client, ada):
    client.force_login(ada)
    assert client.get("/admin/", follow=True).status_code == 403


@pytest.mark.parametrize(
    ("trusted", "connection", "forwarded", "expected"),
    [
        ("", "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.0/24", "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.0/24", "10.0.0.5", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/24", "10.0.0.5", "198.51.100.1, 203.0.113.9, 10.0.0.6", "203.0.113.9"),
        ("10.0.0.0/24", "10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.0/24", "10.0.0.5", "nonsense", "10.0.0.5"),
        ("::1", "::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_whose_address_counts(settings, trusted, connection, forwarded, expected):
    settings.TRUSTED_PROXIES = access.settings_of({"DODAI_TRUSTED_PROXIES": trusted})["TRUSTED_PROXIES"]
    request = RequestFactory().post("/login/", REMOTE_ADDR=connection, HTTP_X_FORWARDED_FOR=forwarded)
    assert login.client_address(request) == expected


def test_a_forged_address_opens_no_lock(client, ada):
    lock(client)
    assert attempt(client, password=PASSWORD, HTTP_X_FORWARDED_FOR="203.0.113.9").status_code == 429


@pytest.mark.parametrize(("origins", "is_secure"), [("", False), ("https://dodai.example", True)])
def test_behind_tls_cookies_are_never_sent_without_it(origins, is_secure):
    made = access.settings_of({"DODAI_TRUSTED_ORIGINS": origins})
    assert (made["SESSION_COOKIE_SECURE"], made["CSRF_COOKIE_SECURE"]) == (is_secure, is_secure)


@pytest.mark.parametrize("name", ["DODAI_TRUSTED_PROXIES", "DODAI_LOGIN_FAILURES", "DODAI_LOGIN_LOCK_MINUTES"])
def test_a_setting_that_cannot_be_meant_so_is_named(name):
    with pytest.raises(access.AccessProblem, match=name):
        access.settings_of({name: "zero"})


def test_the_log_says_who_was_locked_and_from_where_and_no_password(client, ada, caplog):
    for _ in range(LIMIT):
        attempt(client, password="nearly-my-password")
    assert "ada" in caplog.text
    assert "192.0.2.1" in caplog.text
    assert "nearly-my-password" not in caplog.text


def test_logins_and_sessions_are_forgotten_after_a_while(client, ada, settings):
    attempt(client, user="bob")
    attempt(client, password=PASSWORD)
    for model in (AccessLog, AccessAttempt):
        model.objects.update(attempt_time=now() - timedelta(days=300))
    assert forgetting.forget_old() == 0
    settings.LOGINS_KEPT_DAYS = 200
    assert forgetting.forget_old() == 2
    assert not AccessLog.objects.exists() and not AccessAttempt.objects.exists()
    assert client.get("/").status_code == 200, "a session that goes on is none of the old ones"
    Session.objects.update(expire_date=now() - timedelta(seconds=1))
    assert forgetting.forget_old() == 1


def test_old_logins_are_forgotten_a_part_at_a_time(db, monkeypatch):
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    AccessLog.objects.bulk_create([AccessLog(username=f"u{number}") for number in range(3)])
    AccessLog.objects.update(attempt_time=now() - timedelta(days=400))
    assert [forgetting.forget_old() for _ in range(3)] == [2, 1, 0]


def test_the_watchdog_forgets_them(db):
    AccessLog.objects.create(username="ada")
    AccessLog.objects.update(attempt_time=now() - timedelta(days=400))
    InventoryUpload.objects.create(key="k", by="ada", file_name="m.csv", created_at=now() - timedelta(hours=1))
    watchdog = Watchdog()
    watchdog._seldom_at = 0
    watchdog._turn()
    assert not AccessLog.objects.exists() and not InventoryUpload.objects.exists()
