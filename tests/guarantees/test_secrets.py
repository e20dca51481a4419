"""T33, T34 and T36: known secrets are put through everything that Dodai does, and looked for everywhere."""

import base64
import logging
import re
import stat
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from unittest import mock

import django_rq
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from rq import Queue

from dodaiweb import keys
from installs.images import imports
from installs.models import NoticeTarget
from installs.notices import outbox
from machines import actions as machine_actions
from machines import bmc_test
from machines import jobs as machine_jobs
from machines.models import Bmc, Credentials, Machine
from tests import canaries, installing, permissions, real_up, receivers, scenes
from tests.guarantees.tally import is_long, rounds
from tests.machines.bmcs import running_bmc

SAYS = "Secrets come out nowhere"
CANARIES = {
    "a machine's BMC password": "c4n4ry-bmc-pass1'x",
    "shared BMC credentials": "c4n4ry-shared-pw2",
    "a password in an imported file": "c4n4ry-import-pw3",
    "a password in a refused file": "c4n4ry-refused-p4",
    "the key that notices are signed with": "whsec_" + base64.b64encode(b"c4n4ry-signing-key-0123456789abc").decode(),
    "the password of the mail server": "c4n4ry-mail-pass5",
    "a user's password": "c4n4ry-user-pass6",
    "a wrong password at the login": "c4n4ry-wrong-pass7",
    "the password in an image's URL": "c4n4ry-url-pass8",
    "a value in an exception": "c4n4ry-exception9",
}


@pytest.fixture
def scene(transactional_db) -> Iterator[permissions.Scene]:
    from machines.power import fake

    fake.forget()
    scenes.restore_groups()
    with scenes.named_ramdisk():
        yield permissions.Scene()
    fake.forget()


def put_through(scene: permissions.Scene, secrets: dict[str, str]) -> None:
    """Every flow that holds a secret, most of them failing, some in our own code."""
    secrets |= {"the secret key": settings.SECRET_KEY, "the field key": keys.read(settings.DATA, "field_key")}
    out = StringIO()
    call_command("metrics-token", "--new", stdout=out)
    secrets["the token of /metrics"] = out.getvalue().strip()
    with running_bmc() as (_, endpoint):
        _power(endpoint)
    _installs(secrets)
    _inventory(scene.clients["admin"])
    _notices()
    _logins(secrets)
    with mock.patch.object(imports, "_fetch", create=True):
        imports.ask_url("web", "https://img.example/x?key=" + CANARIES["the password in an image's URL"], by="ada")
    for job in ("no_such_job", "run_due", "look"):
        _queue().enqueue(f"installs.jobs.{job}")
    _work()


def _queue() -> Queue:
    queue = django_rq.get_queue("default")
    return Queue(queue.name, connection=queue.connection, serializer=queue.serializer)


def _work() -> None:
    from rq import SimpleWorker

    queue = _queue()
    SimpleWorker([queue], connection=queue.connection, serializer=queue.serializer).work(burst=True)


def _power(endpoint) -> None:
    """Power commands and tests of a BMC that refuses its password, through the queue; then faults of our own."""
    machine = installing.make_machine("secretive", number=77, driver="ipmi")
    bmc = machine.bmc
    bmc.host, bmc.port, bmc.username = "127.0.0.1", endpoint.port, "admin"
    for password in (CANARIES["a machine's BMC password"], CANARIES["shared BMC credentials"]):
        bmc.set_password(password)
        bmc.save()
        for ask in (lambda: machine_actions.request_power(machine, "on", by="ada"),
                    lambda: bmc_test.request_test(machine, by="ada")):  # fmt: skip
            ask()
            machine_jobs.run_power_commands()
    bmc.set_password(CANARIES["a machine's BMC password"])
    bmc.save()
    shared = Credentials.objects.create(name="shared", username="root")
    shared.set_password(CANARIES["shared BMC credentials"])
    shared.save()
    with mock.patch.object(machine_jobs, "driver_for", side_effect=lambda endpoint: 1 / 0):
        machine_actions.request_power(machine, "on", by="ada")
        machine_jobs.run_power_commands()


def _installs(secrets: dict[str, str]) -> None:
    """One that fails and one that is left live, with all of their tokens as secrets."""
    machine, live = installing.make_machine("wiped", number=78), installing.make_machine("live", number=79)
    image = installing.make_image("canary")
    for number, target in enumerate((machine, live)):
        install, server = scenes.until_installer(target, image)
        boot_token = re.search(r"/script/([\w-]{43})", server.ask_boot()) if number else None
        granted = server.ask_grant()
        secrets[f"installer token {number}"] = server.token
        secrets[f"first-boot token {number}"] = re.search(r"/first-boot/([\w-]{43})", granted)[1]
        if boot_token:
            secrets["boot token"] = boot_token[1]
        server.client.post(f"/first-boot/{server.token}")  # another's token there: 404, in the log
        server.client.get(f"/script/{secrets[f'first-boot token {number}']}")
        if not number:
            server.say("failed", {"cause": "script", "message": "it broke", "phase": "copy"})
            scenes.settle(install)


def _inventory(admin: Client) -> None:
    """A good file and one with a problem beside a password, uploaded, looked at and confirmed."""
    good = f"name,bmc_host,bmc_password\nnode91,10.0.0.91,{CANARIES['a password in an imported file']}\n"
    bad = f"name,bmc_host,bmc_password,bmc_port\nnode92,10.0.0.92,{CANARIES['a password in a refused file']},x\n"
    for text in (bad, good):
        where = admin.post(reverse("inventory_import"), {"file": SimpleUploadedFile("m.csv", text.encode())})[
            "Location"
        ]
        html = admin.get(where).content.decode()
        admin.post(where, {"approved": html.partition('name="approved" value="')[2].partition('"')[0]})
    assert Machine.objects.filter(name="node91").exists()


def _notices() -> None:
    with receivers.http_receiver() as hook:
        target = NoticeTarget(name="hook", address=hook.url, is_private=True)
        target.set_secret(CANARIES["the key that notices are signed with"])
        target.save()
        mail = NoticeTarget.objects.create(name="mail", address="ops@example.org", is_private=True)
        hook.answers = [500, 500]
        server = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": 9, "EMAIL_HOST_USER": "dodai"}
        with override_settings(**server, EMAIL_HOST_PASSWORD=CANARIES["the password of the mail server"]):
            for each in (target, mail):
                outbox.send_test(each, by="ada")
            while outbox.deliver_due():
                pass
        assert hook.requests, "the signed notice was sent"
        assert CANARIES["the key that notices are signed with"].encode() not in hook.requests[0].body


def _logins(secrets: dict[str, str]) -> None:
    """A right and a wrong login, and a page that breaks in our own code while it holds a secret."""
    scenes.make_user("operator", name="canary", password=CANARIES["a user's password"])
    client = Client(raise_request_exception=False)
    for password in (CANARIES["a wrong password at the login"], CANARIES["a user's password"]):
        client.post("/login/", {"username": "canary", "password": password})
    secrets["a session"] = client.cookies[settings.SESSION_COOKIE_NAME].value
    held = CANARIES["a value in an exception"]

    def broken(*_: object) -> None:
        password = held
        raise RuntimeError("a page that breaks") if password else None

    with mock.patch("dodaiweb.views.fleet.render", side_effect=broken):
        assert client.get("/").status_code == 500


ALLOWED = {"a session in table django_session"}  # where sessions are kept


def test_t33_no_secret_comes_out_of_anything_that_dodai_does(guarantee, scene):
    tally = guarantee("T33", f"{SAYS}: logs at DEBUG with SQL, tracebacks, Valkey, tables, pages, JSON, CSV, exports")
    secrets = dict(CANARIES)
    logging.disable(logging.NOTSET)
    with canaries.logged() as lines, mock.patch.object(connection, "force_debug_cursor", True):
        put_through(scene, secrets)
        pages = dict(_pages(scene))
    places = {"the log": "\n".join(lines).encode()} | canaries.in_valkey(_queue().connection) | canaries.in_tables()
    places |= {f"file {path.name}": path.read_bytes() for path in _exports()} | pages
    assert len(lines) > 100 and any("Traceback" in line for line in lines)
    assert len(pages) > 300
    out = sorted(set(canaries.found(secrets, places)) - ALLOWED)
    with tally.trial(len(secrets) * len(places)):
        assert out == []


def _pages(scene: permissions.Scene) -> Iterator[tuple[str, bytes]]:
    """Every page, fragment, JSON, CSV and form, as everybody."""
    numbers = {"admin/machines/machine:object_id": Machine.objects.get(name="secretive").pk}
    machines = [None, {"name": "secretive", **numbers}, {"name": "wiped"}, {"name": "live"}]
    for changes in machines:
        values = scene.values | (changes or {})
        for route in permissions.routes("main"):
            if changes and "<" not in route.route and "(?P" not in route.route:
                continue  # no parameter: the same page
            path = route.path(values)
            for role, client in scene.clients.items():
                if "logout" not in path and (role == "admin" or not changes or is_long()):
                    answer = client.get(path)
                    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
                    yield f"{path} as {role}", body + str(answer.headers).encode()


def _exports() -> Iterator[Path]:
    for ending in ("csv", "yaml"):
        path = settings.DATA / f"export.{ending}"
        call_command("machines", "export", str(path), stdout=StringIO())
        yield path


def test_t34_forms_and_previews_never_send_a_secret_back(guarantee, scene):
    tally = guarantee("T34", "What was typed into a secret field is never in the answer, not even when it is refused")
    bmc, admin = Bmc.objects.first(), scene.clients["admin"]
    admin.force_login(scenes.make_user("admin", name="root", is_staff=True))
    for number in range(rounds(2, 50)):
        secret = f"typed-c4n4ry-{number}"
        for path in (f"/admin/machines/machine/{bmc.machine_id}/change/", "/admin/machines/credentials/add/"):
            for data in ({"password": secret}, {"bmc-0-password": secret, "bmc-0-port": "x"}, {"secret": secret}):
                with tally.trial():
                    assert secret.encode() not in admin.post(path, {"name": "", **data}).content


def test_t36_files_of_secrets_are_private_and_valkey_is_on_no_network(guarantee, scene):
    tally = guarantee(
        "T36", "Keys are files of mode 0600 in a folder of 0700, passwords are sealed, Valkey has no port"
    )
    for path in (settings.DATA / "keys", *(settings.DATA / "keys").iterdir()):
        with tally.trial():
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    with tally.trial():
        assert _queue().connection.config_get("port")["port"] == "0"
        assert keys.encrypt("x", purpose="a") != keys.encrypt("x", purpose="a"), "a nonce of its own each"
        with pytest.raises(keys.KeyProblem):
            keys.decrypt(keys.encrypt("x", purpose="a"), purpose="b")


@pytest.mark.real_up
def test_t33_no_process_of_a_real_dodai_shows_a_secret(guarantee, tmp_path):
    """`up`, with a BMC whose password is used again and again by its poll and by power commands."""
    tally = guarantee("T33", f"{SAYS}: command lines, environments, output and Valkey of all processes of a real `up`")
    with real_up.Up(tmp_path / "data") as up:
        ready = up.wait_ready()
        secrets = {"the first password": ready["password"]} | {
            name: (tmp_path / "data" / "keys" / name).read_text().strip() for name in keys.NAMES
        }
        _use(ready, secrets)
        for _ in range(rounds(20, 400)):
            with tally.trial(len(secrets)):
                pids = real_up.descendants(up.process.pid)
                assert len(pids) > 4
                assert canaries.found(secrets, canaries.in_processes(pids)) == []
        import redis

        with redis.Redis.from_url(f"unix://{tmp_path}/data/run/valkey.sock") as client, tally.trial(len(secrets)):
            assert canaries.found(secrets, canaries.in_valkey(client)) == []
        up.stop()
        with tally.trial(len(secrets)):
            words = up.output.replace(ready[0], "")  # the one line that is to say it, once
            assert canaries.found(secrets, {"what `up` said": words.encode()}) == []


def _use(ready: re.Match[str], secrets: dict[str, str]) -> None:
    """Log in, import a machine with a BMC password, and switch it on: nobody answers at its BMC."""
    pages = real_up.Pages(ready)
    secrets["the session"] = pages.session.cookies[settings.SESSION_COOKIE_NAME]
    secrets["the BMC password"] = CANARIES["a machine's BMC password"]
    columns = "name,bmc_driver,bmc_host,bmc_username,bmc_password"
    pages.import_machines(columns, f"n1,ipmi,127.0.0.1,root,{secrets['the BMC password']}")
    assert pages.post("/machines/n1/power/", data={"action": "on"}).status_code in (200, 404)
