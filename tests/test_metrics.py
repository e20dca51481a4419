"""/metrics: who may read it, that Prometheus can, and that what is stuck shows there and on the page System."""

import re
import stat
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils.timezone import now
from rq import Queue

from dodaiweb import keys, metrics, system
from installs.models import Install
from machines.models import Beat
from tests import installing, scenes

pytestmark = pytest.mark.django_db
# A line of the text format 0.0.4: name, labels in braces, a number.
LINE = re.compile(r"([a-z_]+)(?:\{([a-z_]+=\"[a-z]+\")\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)")


@pytest.fixture
def token():
    out = StringIO()
    call_command("metrics-token", "--new", stdout=out)
    yield out.getvalue().strip()
    (settings.DATA / "keys" / keys.METRICS).unlink()


def scraped() -> dict[str, float]:
    """By name, with its labels."""
    found = {}
    for line in metrics.text().splitlines():
        if not line.startswith("#"):
            name, labels, value = LINE.fullmatch(line).groups()
            found[name + (f"{{{labels}}}" if labels else "")] = float(value)
    return found


@pytest.fixture
def install() -> Install:
    with scenes.named_ramdisk():
        install = installing.start(installing.make_machine())
    scenes.work()
    install.refresh_from_db()
    assert install.state == "waiting"
    return install


def test_who_shows_the_token_reads_it(token):
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "dodai_installs_overdue 0\n" in answer.content.decode()


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer ", "Bearer x", "Basic {token}", "Bearer {token}x", "Bearer \xe9"]
)
def test_nobody_reads_it_without(token, shown):
    answer = Client().get("/metrics", headers={"Authorization": shown.format(token=token)})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def test_an_empty_token_opens_nothing_while_none_was_made():
    assert Client().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_viewers_read_it_with_their_session_and_others_do_not(client):
    scenes.restore_groups()
    client.force_login(scenes.make_user("viewer"))
    assert client.get("/metrics").status_code == 200
    client.force_login(scenes.make_user(None))
    assert client.get("/metrics").status_code == 403


def test_the_token_is_private_stays_and_is_replaced_when_asked(token):
    path = settings.DATA / "keys" / keys.METRICS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    out = StringIO()
    call_command("metrics-token", stdout=out)
    assert out.getvalue().strip() == token
    call_command("metrics-token", "--new", stdout=out)
    assert Client().get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_each_figure_has_its_help_and_type_once():
    lines = metrics.text().splitlines()
    told = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(told) == len(set(told))
    assert {LINE.fullmatch(line)[1] for line in lines if not line.startswith("#")} == set(told)


def test_an_install_past_its_deadline_is_counted_and_said(install):
    assert scraped()["dodai_installs_overdue"] == 0
    assert (overdue().value, overdue().level) == ("0", "ok")
    Install.objects.update(quiet_until=now() - timedelta(minutes=5))
    assert scraped()["dodai_installs_overdue"] == 1
    assert scraped()["dodai_installs_overdue_seconds"] == pytest.approx(300, abs=20)
    assert (overdue().value, overdue().level) == ("1, the longest by 5 min", "bad")
    assert scraped()['dodai_installs_live{state="waiting"}'] == 1


def test_one_that_is_being_stopped_counts_too(install):
    Install.objects.update(state="stopping", quiet_until=None, give_up_at=now() - timedelta(seconds=20))
    assert scraped()["dodai_installs_overdue"] == 1
    assert overdue().level == "ok", "seconds are usual"


def test_a_queued_one_shows_its_place_instead(install):
    Install.objects.update(state="queued", give_up_at=now() - timedelta(hours=1))
    assert scraped()["dodai_installs_overdue"] == 0


def test_the_watchdogs_silence_is_a_figure():
    assert "dodai_watchdog_beat_age_seconds" not in scraped(), "never seen: left out, for an alert on absence"
    Beat.objects.create(name="watchdog", at=now() - timedelta(seconds=90))
    assert scraped()["dodai_watchdog_beat_age_seconds"] == pytest.approx(90, abs=20)


def test_the_age_of_the_queue_is_a_figure(queue):
    queue = Queue(queue.name, connection=queue.connection, serializer=queue.serializer)
    job = queue.enqueue("installs.jobs.look")
    job.enqueued_at = now() - timedelta(minutes=2)
    job.save()
    assert scraped()['dodai_queue_jobs{queue="default"}'] == 1
    assert scraped()['dodai_queue_age_seconds{queue="default"}'] == pytest.approx(120, abs=20)


def test_without_valkey_the_rest_is_there():
    with override_settings(REDIS_URL="unix:///nowhere/valkey.sock"):
        found = scraped()
    assert found["dodai_valkey_up"] == 0
    assert not any(name.startswith("dodai_queue") for name in found)
    assert found["dodai_installs_overdue"] == 0


def overdue() -> system.Part:
    parts = {part.name: part for section in system.sections() for part in section.parts}
    return parts["Installs past their deadline"]
