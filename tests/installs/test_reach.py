"""Whether the URLs that machines are told lead to this Dodai."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.conf import settings
from django.test import Client, override_settings

from dodaiweb import hello, images_app
from installs import plan, reach
from machines.models import Site
from tests import installing, serving

pytestmark = pytest.mark.django_db
NONCE = "0123456789abcdef" * 2


@contextmanager
def another_program(body: bytes = b"hello", status: int = 200) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body * 1000)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def code(url: str, listener: str = "provision") -> str:
    return "".join(problem.code for problem in reach.look(listener, url))


@override_settings(ROOT_URLCONF="dodaiweb.provision_urls", MIDDLEWARE=[])
def test_the_provisioning_listener_proves_itself_and_tells_nothing_else():
    answer = Client().get(f"/hello/{NONCE}")
    assert answer.content.decode() == hello.proof(settings.DATA, NONCE, listener="provision")
    assert Client().get("/hello/abc").status_code == 404
    assert settings.SECRET_KEY not in answer.content.decode()


def test_the_image_listener_is_known_and_not_taken_for_the_other():
    with serving.served(images_app.application(settings.DATA)) as port:
        assert reach._greet("127.0.0.1", port, "images") == ""
        assert reach._greet("127.0.0.1", port, "provision") == "somebody-else"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_another_program_at_the_url_is_noticed(status):
    with another_program(status=status) as port:
        assert reach._greet("127.0.0.1", port, "provision") == "somebody-else"


def test_nobody_at_an_address_of_this_computer():
    assert reach._greet("127.0.0.1", 1, "provision") == "nobody"


def test_an_address_elsewhere_that_does_not_answer_is_no_certain_fault(monkeypatch):
    monkeypatch.setattr(reach, "_is_ours", lambda address: False)
    assert reach._greet("127.0.0.1", 1, "provision") == "not-from-here"
    assert not reach.Problem("not-from-here").is_certain


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8001", "loopback"),
        ("http://localhost:8001", "loopback"),
        ("http://[::1]:8001", "loopback"),
        ("http://no.such.name.invalid:8001", "no-name"),
        ("https://10.0.0.2:8001", "bad-url"),
        ("http://10.0.0.2:port", "bad-url"),
        ("http://:8001", "bad-url"),
    ],
)
def test_what_is_wrong_with_a_url(url, found):
    assert code(url) == found


def plan_problems(machine) -> str:
    machine.refresh_from_db()
    return " ".join(plan.for_inspection(type(machine).objects.select_related("site").get(pk=machine.pk)).problems)


def test_installs_are_refused_while_no_machine_can_reach_dodai():
    machine = installing.make_machine()
    Site.objects.update(provision_url="http://127.0.0.1:8001")
    assert "start it with --provision-host" in plan_problems(machine)
    Site.objects.update(provision_url="http://no.such.name.invalid:8001", image_url="http://no.such.name.invalid")
    assert "does not resolve" not in plan_problems(machine), "nobody has looked yet"
    reach.check()
    assert "does not resolve" in plan_problems(machine)
    Site.objects.update(provision_url="http://198.51.100.9:8001")
    assert "does not resolve" not in plan_problems(machine), "what was found holds for the URL it was found for"


def test_what_is_not_certain_refuses_nothing(monkeypatch):
    monkeypatch.setattr(reach, "_greet", lambda *where: "not-from-here")
    machine = installing.make_machine()
    Site.objects.update(provision_url="http://198.51.100.1:8001", image_url="http://198.51.100.1:8002")
    (problems,) = reach.check().values()
    assert {problem.code for problem in problems} == {"not-from-here"}
    assert "cannot be reached" not in plan_problems(machine)


def test_practice_servers_need_no_outside_address():
    machine = installing.make_machine()
    Site.objects.update(provision_url="", is_practice=True)
    assert reach.check() == {}
    assert "--provision-host" not in plan_problems(machine)


def test_a_look_is_rung_for_when_the_last_one_is_old(queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        reach.ring_if_old()
    assert queue.count == 0, "there are no real machines"
    installing.make_machine()
    Site.objects.update(provision_url="http://no.such.name.invalid", image_url="http://no.such.name.invalid")
    with django_capture_on_commit_callbacks(execute=True):
        reach.ring_if_old()
    assert queue.jobs[0].func_name == reach.JOB
    reach.check()
    with django_capture_on_commit_callbacks(execute=True):
        reach.ring_if_old()
    assert queue.count == 1


def test_every_problem_has_words_with_its_values():
    for name in reach.WORDS:
        assert "%(" not in reach.Problem(name, {"url": "http://x", "host": "x"}).words
