"""Every test runs with a data folder of its own run, a real Valkey, and SQLite or what DODAI_DATABASE_URL names.

Useful fixtures: `queue` (the default queue, empty), `work` (runs what is queued, in this process), `operator` and
`admin` (clients of the pages), `fake_power`, `named_ramdisk`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

if "dodaiweb.settings" in sys.modules:
    pytest.exit(
        "The settings were loaded before tests/conftest.py could name a data folder: unset DJANGO_SETTINGS_MODULE."
    )
# Before pytest-django loads the settings, which happens in its pytest_configure, after this file.
DATA = Path(tempfile.mkdtemp(prefix="dodai-test-"))
os.environ["DODAI_DATA"] = str(DATA)
os.environ["DODAI_TEST_SQLITE"] = str(DATA / "test.sqlite3")  # a file: threads and processes of a test share it
os.environ["DODAI_HOUR_INSTALLS"] = "100000"  # one person begins more in a test than anybody does in an hour
os.environ["DJANGO_SETTINGS_MODULE"] = "dodaiweb.settings"
for name in ("DODAI_REDIS_URL", "DODAI_PROVISION_URL", "DODAI_IMAGE_URL", "DODAI_ALLOWED_HOSTS", "DODAI_DEBUG"):
    os.environ.pop(name, None)

TESTS = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    import hypothesis
    from django.conf import settings

    from tests.leaks import Leaks

    patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}  # the computer is busy
    hypothesis.settings.register_profile("dodai", derandomize=True, **patient)
    hypothesis.settings.load_profile("dodai")
    _ = settings.DATABASES  # pytest-django sets Django up only where the settings are loaded
    config.pluginmanager.register(Leaks(DATA))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="only tests that use the database, no lab, no pages")
    parser.addoption("--print-permissions", action="store_true", help="lines for tests/permissions.csv")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if mark := {"end_to_end": "lab", "browser": "browser"}.get(folder):
            item.add_marker(mark)
    if config.getoption("--only-database"):
        chosen = [item for item in items if _uses_database(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_unconfigure() -> None:
    shutil.rmtree(DATA, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Valkey where the settings look for it."""
    from dodaiweb import valkey

    socket = DATA / "run" / "valkey.sock"
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    # setpriv: it dies with us even where we are killed.
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *valkey.command(socket)], stdout=subprocess.DEVNULL)
    try:
        valkey.wait(f"unix://{socket}", seconds=60)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(autouse=True)
def _nothing_is_queued(valkey_server: None) -> None:
    import django_rq

    django_rq.get_connection("default").flushall()


@pytest.fixture(autouse=True)
def _next_in_english() -> Iterator[None]:
    """A request leaves its language behind in the thread; the next test may make none."""
    yield
    from django.utils import translation

    translation.deactivate()


@pytest.fixture
def queue():
    """The default queue, empty at the start of each test."""
    import django_rq

    return django_rq.get_queue("default")


@pytest.fixture
def work(queue) -> Callable[..., int]:
    """Call it to run all queued jobs here and now; it returns their number and raises if one of them failed."""
    from rq import SimpleWorker
    from rq.job import Job

    def run(*, may_fail: bool = False) -> int:
        done = 0
        worker = SimpleWorker([queue], connection=queue.connection, serializer=queue.serializer)
        while waiting := queue.count:
            worker.work(burst=True, logging_level="WARNING")
            done += waiting - queue.count
        failed = queue.failed_job_registry.get_job_ids()
        if failed and not may_fail:
            job = Job.fetch(failed[0], connection=queue.connection, serializer=queue.serializer)
            raise AssertionError(f"{len(failed)} queued jobs failed; the first: {job.latest_result().exc_string}")
        return done

    return run


@pytest.fixture
def fake_power() -> Iterator[None]:
    """The machines in memory that the driver `fake` switches: all off and unknown before a test and after it."""
    from machines.power import fake

    fake.forget()
    yield
    fake.forget()


@pytest.fixture
def named_ramdisk() -> Iterator[None]:
    """As if a ramdisk were built."""
    from tests import scenes

    with scenes.named_ramdisk():
        yield


@pytest.fixture
def operator(client: "Client", db: None) -> "Client":
    """The pages as somebody of the group operator has them."""
    return _logged_in(client, "operator")


@pytest.fixture
def admin(client: "Client", db: None) -> "Client":
    """The pages and the admin as somebody of the group admin has them."""
    return _logged_in(client, "admin", is_staff=True)


def _logged_in(client: "Client", group: str, *, is_staff: bool = False) -> "Client":
    from tests import scenes

    client.force_login(scenes.make_user(group, is_staff=is_staff))
    return client


def _uses_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    uses = item.get_closest_marker("django_db") or fixtures & {"db", "transactional_db"}
    return bool(uses) and not any(item.get_closest_marker(name) for name in ("lab", "browser"))
