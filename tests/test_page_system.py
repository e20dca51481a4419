"""System: each part as it is, against the real Valkey and database, and what to do when it is not well."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils.timezone import now
from rq import Queue

from dodaiweb import system
from installs.models import ImageImport, Notice, NoticeTarget
from machines import actions as machine_actions
from machines.models import Beat, Machine, Site
from machines.power.base import Power
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(queue) -> Queue:
    """The default queue, without waiting for the transaction that a test is in."""
    return Queue(queue.name, connection=queue.connection, serializer=queue.serializer)


def part(section: str, name: str) -> system.Part:
    (found,) = [part for made in system.sections() if made.key == section for part in made.parts if part.name == name]
    return found


def beat(name: str = "watchdog", *, ago: timedelta = timedelta()) -> None:
    Beat.objects.create(name=name, at=now() - ago)


def test_the_queue_says_how_much_waits_and_since_when(queue):
    assert (part("work", "Queue default").value, part("work", "Queue default").level) == ("0 waiting", "ok")
    queue.enqueue("installs.jobs.look")
    waiting = part("work", "Queue default")
    assert (waiting.value, waiting.level) == ("1 waiting", "ok")
    assert now() - waiting.since < timedelta(minutes=5)


def test_a_queue_that_nobody_works_off_says_to_start_workers(queue):
    job = queue.enqueue("installs.jobs.look")
    job.enqueued_at = now() - timedelta(minutes=2)
    job.save()
    late = part("work", "Queue default")
    assert late.level == "hold"
    assert "Start more workers" in late.todo


def test_failed_jobs_are_counted(queue, work):
    queue.enqueue("installs.jobs.no_such_job")
    work(may_fail=True)
    assert (part("work", "Failed jobs").value, part("work", "Failed jobs").level) == (1, "hold")


def test_without_a_worker_that_is_said_and_with_one_it_is_named(queue):
    from rq import SimpleWorker

    assert (part("work", "Workers").value, part("work", "Workers").level) == ("none", "bad")
    worker = SimpleWorker([queue], connection=queue.connection, serializer=queue.serializer)
    worker.register_birth()
    try:
        named = part("work", f"Worker {worker.hostname}:{worker.pid}")
        assert (named.value, named.level) == ("idle", "ok")
        assert now() - named.since < timedelta(minutes=5)
    finally:
        worker.register_death()


def test_the_watchdog_and_other_beats():
    assert part("clockwork", "Watchdog").level == "bad"
    beat()
    beat("importer", ago=timedelta(hours=1))
    assert part("clockwork", "Watchdog").level == "ok"
    assert part("clockwork", "importer").since is not None
    Beat.objects.update(at=now() - timedelta(minutes=1))
    late = part("clockwork", "Watchdog")
    assert late.level == "bad"
    assert "No deadline is kept" in late.todo


def test_the_oldest_power_reading():
    assert "no machine has a BMC" in part("clockwork", "Oldest power reading").value
    one = installing.make_machine(driver="ipmi")
    installing.make_machine("node2", number=2, driver="ipmi")
    installing.make_machine("by-hand", number=3, driver="manual")
    machine_actions.record_power(one, Power.ON, next_in=timedelta())
    found = part("clockwork", "Oldest power reading")
    assert found.value == "2 of 2 BMCs answer, 1 were never read"
    assert found.level == "ok"
    Machine.objects.filter(pk=one.pk).update(power_seen_at=now() - timedelta(hours=1))
    assert "poll_power" in part("clockwork", "Oldest power reading").todo


def test_valkey_is_told_and_its_password_is_not(settings):
    assert part("valkey", "Server").level == "ok"
    assert part("valkey", "Where").value == "our own, on a unix socket"
    settings.REDIS_URL = "redis://user:hunter2@127.0.0.1:1/0"
    assert part("valkey", "Server").level == "bad"
    assert part("valkey", "Where").value == "127.0.0.1:1"
    assert "hunter2" not in str(system.sections())
    assert part("work", "Queue").level == "bad"


def test_the_page_comes_while_valkey_is_away(client, settings):
    client.force_login(scenes.make_user("viewer"))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    said = text_of(client.get("/system/"))
    assert "Pages fall back to asking every 10 s" in said
    assert "Queue : cannot be asked" in said


def test_the_database_says_its_kind_size_and_migrations():
    assert part("database", "Kind").value.split()[0] in ("SQLite", "PostgreSQL")
    assert "MB" in part("database", "Size").value or "kB" in part("database", "Size").value
    assert (part("database", "Migrations").value, part("database", "Migrations").level) == ("all applied", "ok")


def test_a_migration_that_is_missing_is_named():
    from django.db import connection
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder(connection).record_unapplied("machines", "0002_groups_and_sites")
    missing = part("database", "Migrations")
    assert (missing.value, missing.level) == ("1 not applied: machines.0002_groups_and_sites", "bad")


def test_a_full_disk_says_what_to_do(monkeypatch):
    assert "free of" in part("disk", "Disk").value
    for free, level in ((500 << 20, "bad"), (5 << 30, "hold"), (900 << 30, "ok")):
        usage = SimpleNamespace(free=free, total=1 << 40)
        monkeypatch.setattr("shutil.disk_usage", lambda path, usage=usage: usage)
        assert part("disk", "Disk").level == level


def test_the_lock_names_its_process(settings, tmp_path):
    settings.DATA = tmp_path
    assert "were not started by" in part("disk", "Lock").value
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").write_text(
        json.dumps({"pid": 4711, "started_at": now().isoformat(), "url": "http://x"})
    )
    assert part("disk", "Lock").value == "held by process 4711"


def test_imports_and_notices_that_wait():
    ImageImport.objects.create(name="debian", source="url", requested_by="ada")
    assert part("work", "Image imports").value == "1 under way or waiting"
    target = NoticeTarget.objects.create(name="ops", address="https://example.net/hook")
    Notice.objects.create(target=target, kind="test", payload={}, created_at=now() - timedelta(hours=1))
    late = part("work", "Notices")
    assert (late.value, late.level) == ("1 waiting", "hold")


def test_the_page_names_urls_and_versions(client):
    installing.main_site()
    client.force_login(scenes.make_user("viewer"))
    said = text_of(client.get("/system/"))
    assert "main · provision http://10.0.0.2:8001" in said
    assert f"Dodai {system.version()}" in said
    assert "/admin/" not in client.get("/system/").content.decode()


def test_a_url_that_no_machine_can_use_matters_once_there_is_a_real_machine():
    installing.main_site()
    Site.objects.update(provision_url="http://127.0.0.1:8001")
    assert part("urls", "main · provision").level == "ok"
    installing.make_machine()
    Site.objects.update(provision_url="http://127.0.0.1:8001")
    bad = part("urls", "main · provision")
    assert bad.level == "bad"
    assert "--provision-host" in bad.todo


def test_only_superusers_are_led_to_the_dashboard_of_the_queues(client):
    from django.contrib.auth import get_user_model

    client.force_login(get_user_model().objects.create_superuser("root", password=None))
    assert "/admin/django_rq/" in client.get("/system/").content.decode()
    assert client.get("/admin/django_rq/dashboard/").status_code == 200
    client.force_login(scenes.make_user("admin", is_staff=True))
    assert "/admin/django_rq/" not in client.get("/system/").content.decode()
    assert client.get("/admin/django_rq/dashboard/").status_code == 403


def test_more_rows_need_no_more_queries(client, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.force_login(scenes.make_user("viewer"))
    installing.make_machine()
    client.get("/system/")
    with CaptureQueriesContext(connection) as few:
        client.get("/system/")
    for number in range(2, 12):
        installing.make_machine(f"node{number}", number=number)
    with django_assert_max_num_queries(len(few)):
        client.get("/system/")
