"""Who gets what from every address of both listeners, as tests/permissions.csv says, and nothing else."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.test import override_settings

from tests import permissions, scenes


@pytest.fixture(autouse=True)
def _quiet():
    """Thousands of refusals are logged as they should."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def scene(db) -> permissions.Scene:
    from machines.power import fake

    fake.forget()
    with scenes.named_ramdisk():
        yield permissions.Scene()
    fake.forget()


def assert_as_written(listener: str, found: list[str], capsys, config) -> None:
    written = permissions.table(listener)
    if config.getoption("--print-permissions"):
        with capsys.disabled():
            print("", *found, sep="\n")
    differs = [f"- {line}" for line in written if line not in found] + [
        f"+ {line}" for line in found if line not in written
    ]
    assert not differs, "\n".join(["tests/permissions.csv says -, the program does +:", *differs])


def test_the_pages_answer_as_the_table_says(scene, capsys, pytestconfig):
    found = permissions.answers(scene, "main")
    assert_as_written("main", permissions.lines_of(found), capsys, pytestconfig)
    unseen = [key[1] for key, by_method in found.items() if all(answer[-1] == "404" for answer in by_method.values())]
    assert set(unseen) <= {"admin/(?P<url>.*)$", "admin/r/<path:content_type_id>/<path:object_id>/"}, (
        "nobody sees these: name something there in Scene.values"
    )


def test_the_provisioning_listener_answers_as_the_table_says_whoever_asks(scene, capsys, pytestconfig):
    with override_settings(ROOT_URLCONF=permissions.LISTENERS["provision"], MIDDLEWARE=settings.PROVISION_MIDDLEWARE):
        found = permissions.answers(scene, "provision")
    assert_as_written("provision", permissions.lines_of(found), capsys, pytestconfig)
    for by_method in found.values():
        assert all(len(set(answered)) == 1 for answered in by_method.values()), "a session counts for nothing there"


@pytest.mark.parametrize("listener", ["main", "provision"])
def test_forged_headers_change_nothing(scene, listener):
    middleware = settings.MIDDLEWARE if listener == "main" else settings.PROVISION_MIDDLEWARE
    with override_settings(ROOT_URLCONF=permissions.LISTENERS[listener], MIDDLEWARE=middleware):
        plain = permissions.answers(scene, listener, ("anonymous", "no_group"))
        assert permissions.answers(scene, listener, ("anonymous", "no_group"), **permissions.FORGED) == plain


def test_every_address_of_the_pages_wants_a_csrf_token(scene):
    """But the login page's own refusal, which comes as 403 as well."""
    client = scene.clients["admin"]
    client.handler.enforce_csrf_checks = True
    for route in permissions.routes("main"):
        answered = permissions.ask(client, "POST", route.path(scene.values))
        assert answered in ("forbidden", "not-allowed", "404"), f"{route.route} takes any POST: {answered}"


def test_the_table_has_no_line_twice():
    lines = [line for listener in ("main", "provision", "events") for line in permissions.table(listener)]
    assert len(lines) == len(set(lines)) == len(permissions.TABLE.read_text().splitlines()) - 1


@pytest.mark.django_db(transaction=True)
def test_the_event_stream_answers_as_the_table_says(capsys, pytestconfig):
    from dodaiweb import asgi

    scenes.restore_groups()
    cookies = {"anonymous": ""}
    for role in permissions.ROLES[1:]:
        user = scenes.make_user(None if role == "no_group" else role, name=role)
        cookies[role] = f"{settings.SESSION_COOKIE_NAME}={scenes.session_of(user)}"
    plain, forged = (
        {
            method: tuple(_status_of_stream(asgi, method, cookies[role], headers) for role in permissions.ROLES)
            for method in permissions.METHODS
        }
        for headers in ({}, permissions.FORGED)
    )
    assert forged == plain
    found = permissions.lines_of({("events", asgi.PATH.strip("/") + "/", "events"): plain})
    assert_as_written("events", found, capsys, pytestconfig)


def _status_of_stream(asgi, method: str, cookie: str, forged: dict[str, str]) -> str:
    """How the stream begins; the browser leaves at once."""
    names = {name.removeprefix("HTTP_").lower().replace("_", "-"): value for name, value in forged.items()}
    headers = [
        (name.encode(), value.encode()) for name, value in ({"cookie": cookie, "host": "localhost"} | names).items()
    ]
    sent = []

    async def scenario() -> None:
        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": asgi.PATH, "headers": headers, "query_string": b""}
        await asgi.Pages(asgi.application._django)(scope, receive, send)

    with ThreadPoolExecutor(1) as pool:  # Playwright leaves a running loop in this thread
        pool.submit(asyncio.run, scenario()).result(timeout=120)
    status = sent[0]["status"]
    return {200: "ok", 401: "forbidden", 403: "forbidden", 405: "not-allowed"}.get(status, str(status))
