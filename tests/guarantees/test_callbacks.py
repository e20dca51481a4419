"""What machines and strangers say on the provisioning listener: taken once, or refused, and never a fault."""

import json
import logging
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from installs import actions, flow, lifecycle, tokens
from installs.models import Event, Install
from tests import installing
from tests.guarantees.listener import Listener
from tests.guarantees.tally import is_long, is_time_left, rounds
from tests.installs.test_races import at_once

FIRST_BOOT = "other's first boot"
LONGEST_LOG_LINE = 8 << 10
NAMES = ("install", "install_reboot", "installed", "progress", "log", "failed", "inspected", "nonsense", "x" * 31)
KEYS = ("phase", "done_bytes", "total_bytes", "message", "cause", "line", "command", "output", "boot_id", "serial",
        "uuid", "disk", "disks", "interfaces", "size_bytes", "seconds", "state", "fence", "token")  # fmt: skip
NUMBERS = (0, -1, 1, 1 << 62, 1 << 63, 1 << 64, -(1 << 70), 10**400, 1.5, 1e308, True, None)
TEXTS = ("", "fetch", "copy", "\0", "\ud800", "é", "'; DROP TABLE installs_install; --", "{{7*7}}", "${x}", "\x1b[2J",
         "../../etc/passwd", "%s%n", "\r\nX: y", "a" * 5000, "cancelled", "identity", "NaN")  # fmt: skip


@pytest.fixture(autouse=True)
def _listener(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF, settings.MIDDLEWARE, settings.ALLOWED_HOSTS = "dodaiweb.provision_urls", [], ["*"]
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)


def work() -> None:
    flow.begin_next()
    while flow.run_due():
        pass


@dataclass
class Scene:
    """Two machines at work, and an attempt of the first one that has ended."""

    server: installing.Server
    other: installing.Server
    tokens: dict[str, str]
    listener: Listener

    def ask(self, method: str, path: bytes, query: bytes = b"", body: bytes = b"", **headers: str) -> int:
        return self.listener.ask(method, path, query, body, **headers)[0]

    def event(self, name: str, data: object = None, token: str = "") -> int:
        bearer = f"Bearer {token or self.server.token}"
        body = data if isinstance(data, bytes) else json.dumps(data or {}).encode()
        return self.ask("POST", f"/event/{name}".encode(), body=body, HTTP_AUTHORIZATION=bearer)

    def rows(self) -> list[Any]:
        """All of what moves in both installs."""
        return [*Install.objects.order_by("pk").values_list(
            "pk", "state", "step", "granted_at", "granted_boot_id", "first_boot_hash", "done_bytes", "phase", "error",
        ), Event.objects.count()]  # fmt: skip


@pytest.fixture
def scene(db) -> Scene:
    first, second = installing.make_machine(), installing.make_machine("node2", number=2)
    old = installing.Server(first)
    earlier = installing.start(first)
    work()
    assert old.boot()
    actions.cancel(earlier, by="tester")
    Install.objects.update(power_off_to_stop=False)
    work()
    installing.start(first)
    installing.start(second)
    work()
    server, other = installing.Server(first), installing.Server(second)
    boot_token = server.ask_boot().partition("/script/")[2].split()[0]
    assert server.fetch_script(boot_token, str(uuid.uuid4()))
    assert other.boot()
    first_boot_token = other.ask_grant().partition("/first-boot/")[2].split()[0].strip("'")
    unused = other.ask_boot().partition("/script/")[2].split()[0]
    known = {
        "installer": server.token, "boot": boot_token, "other's boot": unused, FIRST_BOOT: first_boot_token,
        "ended": old.token, "unknown": tokens.new(), "empty": "", "odd": "é" * 43,
    }  # fmt: skip
    return Scene(server, other, known, Listener())


# Tokens


@pytest.mark.django_db
def test_a_token_opens_its_own_route_and_no_other(guarantee, scene) -> None:
    tally = guarantee("T20", "A token of another route, machine or attempt is as unknown as one that was made up")
    right = {"installer": ("event", "grant"), "boot": ("script",), "other's boot": ("script",),
             FIRST_BOOT: ("first-boot",), "ended": ()}  # fmt: skip
    for name, token in scene.tokens.items():
        for route in ("event", "grant", "script", "first-boot"):
            if route in right.get(name, ()):
                continue
            with tally.trial():
                before = scene.rows()
                status = ask_with(scene, route, token)
                wanted = 410 if name == "ended" and route in ("event", "grant") else 404
                assert status in (wanted, 400 if route == "grant" and wanted == 410 else wanted), (name, route, status)
                assert scene.rows() == before, (name, route)


def ask_with(scene: Scene, route: str, token: str) -> int:
    if route in ("script", "first-boot"):
        return scene.ask("POST", f"/{route}/{token}".encode(), b"boot_id=" + str(uuid.uuid4()).encode())
    path = b"/grant" if route == "grant" else b"/event/install_reboot"
    facts = installing.facts_of(scene.server.machine, scene.server.boot_id)
    body = json.dumps(facts | {"disk": facts["disks"][0]}).encode()
    return scene.ask("POST", path, body=body, HTTP_AUTHORIZATION=f"Bearer {token}")


@pytest.mark.django_db
def test_the_script_of_an_attempt_is_there_until_it_ends(guarantee, scene) -> None:
    tally = guarantee("T21", "What a machine runs is given to its one boot until its attempt ends, then to nobody")
    token, boot_id = scene.tokens["boot"], scene.server.boot_id
    for _ in range(rounds(20, 500)):
        with tally.trial(2):
            assert scene.server.fetch_script(token, boot_id)
            assert not scene.server.fetch_script(token, str(uuid.uuid4()))
    actions.cancel(scene.server.machine.installs.first(), by="tester")
    with tally.trial():
        assert not scene.server.fetch_script(token, boot_id)


# The same thing again, in another order, late, at once


@pytest.mark.django_db
def test_each_event_is_applied_once_however_often_and_in_whatever_order_it_comes(guarantee, scene) -> None:
    start = random.SystemRandom().randrange(1 << 32) if is_long() else 1
    tally = guarantee("T23", "Repeated, reordered and late events are each applied once; nothing goes back", seed=start)
    install, times = scene.server.machine.installs.first(), rounds(60, 1000)
    for number in range(rounds(1, 20)):
        chance = random.Random(start + number)
        sid = transaction.savepoint()
        says: list[tuple[str, dict[str, object]]] = [("install", {})] * times + [("install_reboot", {})] * (times // 5)
        says += [("progress", {"phase": p, "done_bytes": chance.randrange(99), "total_bytes": 99})
                 for p in ("fetch", "copy") for _ in range(times // 2)]  # fmt: skip
        chance.shuffle(says)
        before = (0, "", 0)
        for name, data in says:
            with tally.trial():
                assert scene.event(name, data) in (200, 404), start + number
                now = Install.objects.values_list("step", "phase", "done_bytes").get(pk=install.pk)
                assert now[0] >= before[0], "a step never goes back"
                assert now[1] != before[1] or now[2] >= before[2], "nor does progress within its phase"
                before = now
        told = list(install.events.filter(kind__in=["machine", "phase"]).values_list("kind", "name"))
        assert len(told) == len(set(told)), told
        assert install.events.get(kind="machine", name="install").repeated == times - 1
        transaction.savepoint_rollback(sid)


@pytest.mark.django_db
def test_late_events_move_no_ended_attempt(guarantee, scene) -> None:
    tally = guarantee("T23", "Nothing that comes after the end of an attempt changes it")
    ended = Install.objects.get(state="cancelled")
    for _ in range(rounds(3, 1000)):
        for name in NAMES:
            with tally.trial():
                before = scene.rows()
                assert scene.event(name, {"phase": "copy", "done_bytes": 5}, scene.tokens["ended"]) in (404, 410)
                assert scene.rows() == before
    ended.refresh_from_db()
    assert ended.state == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_the_same_event_from_many_at_once_is_applied_once(guarantee, scene) -> None:
    tally = guarantee("T23", "Of the same event from many connections at once, one is applied")
    for number in range(rounds(3, 40)):
        install = scene.server.machine.installs.first()
        name = ("install", "progress")[number % 2]
        say = partial(scene.event, name, {"phase": "fetch", "done_bytes": number})
        with tally.trial(16):
            results = at_once(*[say] * 16)
            assert set(results) == {200}, results
            told = list(install.events.filter(kind__in=["machine", "phase"]).values_list("kind", "name"))
            assert len(told) == len(set(told)), told


# Hostile bytes


def hostile_value(chance: random.Random, depth: int = 0) -> object:
    kind = chance.randrange(10)
    if kind < 3:
        return chance.choice(NUMBERS)
    if kind < 7 or depth > 3:
        return chance.choice(TEXTS)
    if kind == 7:
        return [hostile_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    return {chance.choice(KEYS): hostile_value(chance, depth + 1) for _ in range(chance.randrange(8))}


def hostile_body(chance: random.Random) -> bytes:
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return chance.choice(
            (b"", b"[" * 50_000, b'{"a":' * 20_000, b"1" * 6000, b"NaN", b"\xff\xfe{}", b"null", b"0x")
        )
    fields = {chance.choice(KEYS): hostile_value(chance) for _ in range(chance.randrange(10))}
    text = json.dumps(fields).encode()
    if kind == 2:
        at = chance.randrange(len(text) + 1)
        return text[:at] + chance.randbytes(chance.randrange(4)) + text[at:]
    return text


def hostile_request(chance: random.Random, scene: Scene) -> tuple[str, bytes, bytes, bytes, dict[str, str]]:
    token = chance.choice(list(scene.tokens.values()))
    word = chance.choice((token.encode(), scene.server.mac.encode(), chance.choice(TEXTS).encode(errors="replace"),
                          chance.randbytes(chance.randrange(60))))  # fmt: skip
    name = chance.choice(NAMES).encode()
    path = chance.choice((
        b"/event/" + name, b"/event/" + name, b"/grant", b"/script/" + word, b"/first-boot/" + word, b"/boot.ipxe",
        b"/pxelinux.cfg/01-" + word, b"/grub/" + word, b"/grub.cfg", b"/hello/" + word, b"/" + word,
        b"/event/" + word,
    ))  # fmt: skip
    pairs = [chance.choice((b"mac", b"uuid", b"serial", b"platform", b"boot_id", b"x")) + b"=" + word for _ in range(3)]
    headers = {
        "HTTP_AUTHORIZATION": chance.choice((f"Bearer {token}", f"bearer {token}", f"Basic {token}", token, "Bearer",
                                             "Bearer " + "a" * 8000)),
        "CONTENT_TYPE": chance.choice(("application/json", "application/x-www-form-urlencoded", "multipart/form-data",
                                       "multipart/form-data; boundary=x", "text/plain; charset=nonsense", "é", "")),
        "HTTP_HOST": chance.choice(("dodai", "a b", "", "x" * 3000, "[::1", "${x}")),
    }  # fmt: skip
    if chance.random() < 0.1:
        headers["CONTENT_LENGTH"] = chance.choice(("", "-1", "x", "99999999999999", "1e3", "٣"))
    method = chance.choice(("POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "X"))
    return method, path, b"&".join(pairs), hostile_body(chance), headers


class Lines(logging.Handler):
    """What the log would hold, in the form that the settings give it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[Lines]:
    """As the settings have it, with its filter, on the root of all loggers."""
    kept, written = logging.getLogger().handlers[0], Lines()
    written.setFormatter(kept.formatter)
    for each in kept.filters:
        written.addFilter(each)
    logging.getLogger().addHandler(written)
    yield written
    logging.getLogger().removeHandler(written)


def check(scene: Scene, log: Lines, request: tuple[str, bytes, bytes, bytes, dict[str, str]]) -> None:
    method, path, query, body, headers = request
    before = {pk: state for pk, state, *_ in scene.rows()[:-1]}
    log.lines.clear()
    status = scene.ask(method, path, query, body, **headers)
    assert 200 <= status < 300 or 400 <= status < 500, (status, request, log.lines[-1:])
    assert all(len(line) <= LONGEST_LOG_LINE for line in log.lines), request
    secrets = [token for token in scene.tokens.values() if len(token) == 43]
    assert not [line for line in log.lines if any(token in line for token in secrets)], request
    rows = scene.rows()[:-1]
    speaks = scene.tokens["installer"] in headers.get("HTTP_AUTHORIZATION", "")
    own = scene.server.machine.installs.first().pk
    calls = method == "POST" and path == f"/first-boot/{scene.tokens[FIRST_BOOT]}".encode()
    for pk, state, _step, granted_at, *_ in rows:
        if calls and pk == scene.other.machine.installs.first().pk:
            continue  # the installed OS itself calls
        assert state not in (lifecycle.State.INSTALLED, lifecycle.State.FAILED), request
        assert state == before[pk] or (pk == own and speaks), request
        assert pk != own or granted_at is None, request


@pytest.mark.fills_the_time
@pytest.mark.django_db
def test_hostile_bytes_get_2xx_or_4xx_and_move_nothing_wrongly(guarantee, scene, log) -> None:
    start = random.SystemRandom().randrange(1 << 32) if is_long() else 1
    tally = guarantee(
        "T19", "Any bytes on any route: only 2xx and 4xx, no wrong move, no long line in the log", seed=start
    )
    for number in range(rounds(800, 400_000)):
        if not is_time_left():
            break
        sid = transaction.savepoint()
        with tally.trial():
            check(scene, log, hostile_request(random.Random(start + number), scene))
        transaction.savepoint_rollback(sid)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5),
    max_leaves=15,
)


@pytest.mark.django_db
def test_what_hypothesis_thinks_of_gets_2xx_or_4xx_too(guarantee, scene, log) -> None:
    start = random.SystemRandom().randrange(1 << 32) if is_long() else 1
    tally = guarantee("T19", "Bodies and paths of any shape: only 2xx and 4xx, no wrong move", seed=start)
    routes = st.sampled_from([b"/grant", *(f"/event/{name}".encode() for name in NAMES)])
    paths = routes | st.binary(max_size=80).map(lambda word: b"/" + word)
    bodies = st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode())

    @seed(start)
    @settings(
        max_examples=rounds(80, 20_000), deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )  # fmt: skip
    @given(st.sampled_from(["POST", "GET", "PUT"]), paths, st.binary(max_size=80), bodies)
    def ask(method: str, path: bytes, query: bytes, body: bytes) -> None:
        sid = transaction.savepoint()
        with tally.trial():
            check(scene, log, (method, path, query, body, {"HTTP_AUTHORIZATION": f"Bearer {scene.server.token}"}))
        transaction.savepoint_rollback(sid)

    ask()
