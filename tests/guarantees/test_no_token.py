"""T22: who knows all that the database holds, but no token and no key, is told no token and moves nothing."""

import json
import random
import re
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.test import override_settings

from installs import flow, tokens
from installs.models import Boot, Event, Install
from tests import installing
from tests.guarantees.listener import Listener
from tests.guarantees.tally import is_long, rounds

SAYS = "Who knows all that the database holds, but no token and no key, is told no token and moves nothing"
SEED = 22
WORD = re.compile(r"[\w:.-]{4,}")
LONGEST_WORD = 300
ROUTES = ("/script/", "/first-boot/", "/event/install", "/event/installed", "/event/failed", "/event/log", "/grant")


@dataclass
class Armed:
    """Two machines in the middle of their installs, the tokens that they hold, and who asks instead of them."""

    machines: tuple[installing.Machine, installing.Machine]
    tokens: set[str]
    listener: Listener

    def try_word(self, route: str, word: str) -> tuple[int, str]:
        """A machine's call with this word in the place of the token."""
        if route.endswith("/"):
            path, bearer = route + quote(word, safe=""), ""
            form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
            body = f"boot_id={uuid.uuid4()}"
        else:
            path, bearer, form = route, word, {"CONTENT_TYPE": "application/json"}
            facts = installing.facts_of(self.machines[0], str(uuid.uuid4()))
            body = json.dumps(facts | {"disk": facts["disks"][0]})
        headers = form | ({"HTTP_AUTHORIZATION": f"Bearer {bearer}"} if bearer else {})
        status, content = self.listener.ask("POST", path.encode(), body=body.encode(), **headers)
        return status, content.decode()

    def rows(self) -> list[Any]:
        """All of their installs, whatever it is, and how much happened."""
        return [*Install.objects.order_by("pk").values(), *Boot.objects.order_by("pk").values(), Event.objects.count()]


@pytest.fixture
def armed(db, settings, monkeypatch: pytest.MonkeyPatch) -> Armed:
    settings.ROOT_URLCONF, settings.MIDDLEWARE, settings.ALLOWED_HOSTS = "dodaiweb.provision_urls", [], ["*"]
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)
    first, second = installing.make_machine(), installing.make_machine("node2", number=2)
    for machine in (first, second):
        installing.start(machine)
    flow.begin_next()
    while flow.run_due():
        pass
    copying, granted = installing.Server(first), installing.Server(second)
    assert copying.boot() and granted.boot()
    first_boot = granted.ask_grant().partition("/first-boot/")[2].split()[0].strip("'")
    unused = copying.ask_boot().partition("/script/")[2].split()[0]
    held = {copying.token, granted.token, first_boot, unused}
    assert all(map(tokens.is_well_formed, held)) and len(held) == 4
    return Armed((first, second), held, Listener())


def all_words() -> list[str]:
    """What stands in any table, whole and in parts, and what would follow from it without Dodai's key."""
    models = [model for model in apps.get_models() if model._meta.managed]
    texts = {str(value) for model in models for row in model._default_manager.values() for value in row.values()}
    with override_settings(SECRET_KEY="a guess"):
        texts |= {
            tokens.following(boot.token_hash, boot.boot_id, purpose=purpose)
            for boot in Boot.objects.all() for purpose in ("installer", "first-boot")
        }  # fmt: skip
    words = texts | {word for text in texts for word in WORD.findall(text)}
    return sorted(word for word in words if word.strip() and len(word) <= LONGEST_WORD)


@pytest.mark.django_db
def test_t22_nothing_that_is_known_stands_for_a_token(guarantee, armed: Armed) -> None:
    tally, chance = guarantee("T22", SAYS, seed=SEED), random.Random(SEED)
    words, before = all_words(), armed.rows()
    nearest = [word for word in words if re.fullmatch("[0-9a-f]{64}", word) or tokens.is_well_formed(word)]
    assert len(nearest) >= 9, "what is stored of the tokens, and what is guessed from it"
    asked = words if is_long() else nearest + chance.sample(words, 40)
    for word in asked:
        for route in ROUTES:
            with tally.trial():
                status, content = armed.try_word(route, word)
                assert status in (400, 404), (route, word, status)
                assert not [token for token in armed.tokens if token in content], (route, word)
                assert armed.rows() == before, (route, word)


@pytest.mark.django_db
def test_t22_a_boot_answer_holds_no_token_that_anybody_has(guarantee, armed: Armed) -> None:
    tally = guarantee("T22", "Who asks in a machine's name how to boot is told no token that the machine holds")
    given: set[str] = set()
    mac = armed.machines[0].interfaces.get().mac
    for _ in range(rounds(30, 2000)):
        with tally.trial():
            status, content = armed.listener.ask("GET", b"/boot.ipxe", f"mac={mac}".encode())
            (token,) = set(re.findall(r"/script/([\w-]+)", content.decode()))
            assert status == 200
            assert token not in armed.tokens | given
            given.add(token)
