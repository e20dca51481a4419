"""Rounds of installs under faults, and what has to be true of each of them afterwards."""

import http.client
import json
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.test import Client

from dodaiweb.keys import NAMES
from installs import lifecycle
from installs.methods import METHODS
from installs.models import Event, Image, Install
from machines.models import Machine
from machines.models import Site as Place
from tests import installing
from tests.guarantees import faults, played
from tests.guarantees.faults import Fault
from tests.guarantees.players import PLAYERS
from tests.guarantees.tally import rounds
from tests.guarantees.whole import Player, Site, signal_to, using, wait_until

RECOVERY_SECONDS = rounds(120, 30)  # the short form runs on computers that do much else meanwhile
ROUND_SECONDS = 300
FROZEN_SECONDS = 17.0  # longer than a lease
AWAKE_SECONDS = 1.5  # what a process does at once when it wakes
ORDER_SECONDS = 60.0
STAGES = ("off", "boot from network", "on", "boot from disk", "reset")


@contextmanager
def running(home: Path, database_url: str = "") -> Iterator[Site]:
    """A Dodai on a database of its own, of the kind that the tests run on unless a URL is given."""
    assert all((settings.DATA / "keys" / name).exists() for name in NAMES)
    with _database(home, database_url) as url, Site(home, "" if url.startswith("sqlite") else url) as site, using(url):
        yield site


@contextmanager
def _database(home: Path, given: str) -> Iterator[str]:
    if given or connection.vendor == "sqlite":
        yield given or f"sqlite://{home / 'data' / 'dodai.sqlite3'}"
        return
    import psycopg

    of_tests = connection.settings_dict
    name = f"kill_{secrets.token_hex(4)}"
    server = {"host": of_tests["HOST"], "user": of_tests["USER"], "dbname": "postgres", "autocommit": True}
    with psycopg.connect(**server) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        yield f"postgresql://{of_tests['USER']}@/{name}?host={of_tests['HOST']}"
    finally:
        with psycopg.connect(**server) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Operator:
    """Orders installs by the pages, and looks whether an order arrived before it is given again."""

    def __init__(self, site: Site) -> None:
        from django.contrib.auth import get_user_model

        browser = Client()
        browser.force_login(get_user_model().objects.create_superuser(f"op{secrets.token_hex(4)}"))
        token = secrets.token_hex(16)
        session = browser.cookies[settings.SESSION_COOKIE_NAME].value
        self._headers = {
            "Cookie": f"{settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={token}",
            "X-CSRFToken": token,
        }
        installing.main_site()
        Place.objects.update(is_practice=True)  # nobody has to answer at the URLs that its machines are told
        self._caller = played.Caller(site.ports[0])
        self.image = Image.objects.filter(method="file-tree", fallbacks=[]).first() or installing.make_image()

    def page(self, path: str) -> int:
        """The status of a page."""
        return self._caller.get(path, {}, headers=self._headers).status_code

    def press(self, path: str, words: dict[str, str] | None = None) -> int:
        """The status of the answer to a button."""
        return self._caller.post(path, words or "", headers=self._headers).status_code

    def order(self, machine: Machine, image: Image) -> None:
        """Raises as `ask` does."""
        self.ask(f"/machines/{machine.name}/install/", {"image": str(image.pk)}, typed=machine.name)

    def ask(self, path: str, words: dict[str, str], **confirmed: str) -> None:
        """Say yes to the plan that a page shows for `words`.

        Raises AssertionError where it shows none, OSError or HTTPException where no answer came.
        """
        plan = self._caller.get(path, words, headers=self._headers).content.decode()
        approved = re.search(r'name="approved" value="(\w+)"', plan)
        assert approved, f"no plan at {path} for {words}: {re.sub('<[^>]*>', ' ', plan)[-2500:]}"
        self._caller.post_once(path, words | {"approved": approved[1]} | confirmed, headers=self._headers)


@dataclass
class Round:
    """Some installs at the same time, and the faults that strike meanwhile."""

    site: Site
    operator: Operator
    machines: Sequence[Machine]
    faults: Sequence[Fault] = ()
    images: Sequence[Image] = ()  # of each machine; where it is left out all get the operator's
    is_calm: Callable[[], bool] = lambda: True  # whether what else disturbs it is over
    installs: list[Install] = field(default_factory=list)
    players: list[Player] = field(default_factory=list)
    struck: dict[str, float] = field(default_factory=dict)
    recoveries: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Raises AssertionError, with what happened, unless all is as it has to be afterwards."""
        self.began = time.time()
        for number, fault in enumerate(self.faults):
            faults.arm(self.site.faults, fault, f"{number}-{secrets.token_hex(4)}")
        over = threading.Event()
        tending = threading.Thread(target=self._tend, args=(over,), daemon=True)
        tending.start()
        try:
            self._play()
            self._check()
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self._words()}\n{self.site.tail()}") from exc
        finally:
            over.set()
            tending.join(70)
            for player in self.players:
                player.over.set()
            for armed in (self.site.faults / "armed").iterdir():
                armed.unlink()

    def _play(self) -> None:
        images = self.images or [self.operator.image] * len(self.machines)
        chosen = list(zip(self.machines, images, strict=True))
        self.players = [self._player(machine, image) for machine, image in chosen]
        for player, image in zip(self.players, images, strict=True):
            player.start()
            self.installs.append(self._order(player.machine, image))
        wait_until(self._is_over, seconds=ROUND_SECONDS, what="the installs to end and all faults to be over")
        for player in self.players:
            player.join(60)

    def _player(self, machine: Machine, image: Image) -> Player:
        return PLAYERS[image.method](self.site, machine)

    def _order(self, machine: Machine, image: Image) -> Install:
        before = patiently(lambda: set(machine.installs.values_list("pk", flat=True)))
        made = ordered(
            lambda: list(machine.installs.exclude(pk__in=before)), lambda: self.operator.order(machine, image)
        )  # fmt: skip
        made.sort(key=lambda install: install.pk)
        assert len([each for each in made if not each.fallback]) == 1, f"{machine} was ordered once and got {made}"
        return made[0]

    def _is_over(self) -> bool:
        broken = [f"{player.name}: {player.story.error!r}" for player in self.players if player.story.error]
        assert not broken, f"gave up: {broken}"
        was_calm = self.is_calm()
        numbers = [install.pk for install in self.installs]
        live = patiently(lambda: Install.objects.live().filter(pk__in=numbers).exists())
        asleep = any(time.time() < until + AWAKE_SECONDS for until in list(self.struck.values()))
        return was_calm and not asleep and not live

    def _tend(self, over: threading.Event) -> None:
        """Wake what slept long enough, and start again what was ended as a whole."""
        while not over.wait(0.1):
            self.site.revive()
            self._note_struck()

    def _note_struck(self) -> None:
        for path in (self.site.faults / "fired").iterdir():
            fired = json.loads(path.read_text())
            fault = self._fault(path.name)
            if fault and path.name not in self.struck:
                self.struck[path.name] = fired["at"] + (FROZEN_SECONDS if fault.number == signal.SIGSTOP else 0)
            if fault and fault.number == signal.SIGSTOP and time.time() > self.struck[path.name]:
                for pid in fired["struck"]:
                    signal_to(pid, signal.SIGCONT)

    def _fault(self, name: str) -> Fault | None:
        fired = json.loads((self.site.faults / "fired" / name).read_text())
        return self.faults[int(name.partition("-")[0])] if fired["at"] >= self.began else None

    # What has to be true

    def _check(self) -> None:
        for install, player in zip(self.installs, self.players, strict=True):
            install.refresh_from_db()
            self._check_end(install, player)
            _check_power(player)
            _check_story(install)
            assert Install.objects.filter(machine=install.machine, queued_at__gte=install.queued_at).count() == 1
            self._check_recovery(install)

    def _check_end(self, install: Install, player: Player) -> None:
        story = player.story
        assert story.error is None, f"{player.name}: {story.error!r}"
        assert install.state == lifecycle.State.INSTALLED, f"{player.name}: {install.cause} {install.error}"
        assert story.is_up and install.confirmed_at, f"{player.name} is said to be installed and is not up"
        assert story.granted == ({install.granted_boot_id} - {""}), f"{player.name} was granted to {story.granted}"
        assert bool(story.granted) is METHODS[install.method].writes_disks
        machine = Machine.objects.get(pk=player.machine.pk)
        assert (machine.image_name, machine.handled_by) == (install.image.name, "")

    def _check_recovery(self, install: Install) -> None:
        """It ended soon after each fault; where a freeze followed, it had gone on until that one."""
        assert install.ended_at
        ended = install.ended_at.timestamp()
        struck = {name: self._struck_at(name) for name in self.struck}
        freezes = [at for name, at in struck.items() if self.struck[name] > at]
        for at in struck.values():
            self.recoveries.append(min([ended, *(each for each in freezes if each > at)]) - at)
            assert self.recoveries[-1] < RECOVERY_SECONDS, f"{install.machine.name} took {self.recoveries[-1]:.1f} s"

    def _struck_at(self, name: str) -> float:
        return float(json.loads((self.site.faults / "fired" / name).read_text())["at"])

    def _words(self) -> str:
        lines = [f"faults: {'; '.join(map(str, self.faults))}; struck {len(self.struck)}"]
        for player in self.players:
            told = [f"{each.at - self.began:.2f} {each.what}" for each in player.told()]
            lines.append(f"{player.name}: power {told}, {player.story}")
        for install in self.installs:
            events = install.events.order_by("pk").values_list("at", "kind", "name", "text")
            lines += [
                f"  {install} {at.timestamp() - self.began:.2f} {kind} {name} {text}" for at, kind, name, text in events
            ]
        return "\n".join(lines)


def ordered(look: Callable[[], list[Any]], order: Callable[[], None]) -> list[Any]:
    """Orders again until `look` finds something: the answer may be lost, and the database away."""
    end = time.monotonic() + ORDER_SECONDS
    while not (made := patiently(look)):
        try:
            order()
        except (AssertionError, OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
    return made


def patiently(look: Callable[[], Any]) -> Any:
    """What `look` finds in the database, which may be away for a while."""
    for _ in range(60):
        try:
            return look()
        except DatabaseError:
            connection.close()
            time.sleep(0.5)
    return look()


def _check_power(player: Player) -> None:
    """The BMC was told things in the order of the steps, maybe twice each, and nothing where it would do harm."""
    told, story = player.told(), player.story
    stages = [STAGES.index(each.what) for each in told]
    assert stages == sorted(stages), f"{player.name}: a step was done again after a later one: {told}"
    assert {each.what for each in told} - {"off"} == set(player.stages), f"{player.name}: a step was not done: {told}"
    writing = [each for each in told if story.granted_at < each.at < story.rebooted_at]
    assert not writing, f"{player.name}: while it wrote: {writing}"
    late = [each for each in told if each.at > story.up_at]
    assert not late, f"{player.name}: after its OS was up: {late}"


def _check_story(install: Install) -> None:
    """Its events, replayed, lead to its state; each of its steps is told of once."""
    state: str = lifecycle.State.QUEUED
    names = {kind: [] for kind in Event.Kind.values}
    for event in install.events.order_by("pk"):
        names[event.kind].append(event.name)
        if event.kind == Event.Kind.STATE and event.name != "queue":
            state = lifecycle.after(state, event.name)
    assert state == install.state
    steps = METHODS[install.method].steps
    told = names[Event.Kind.STEP]
    assert told == [step for step in steps if step in told], f"{install}: steps {told}"
    if state == lifecycle.State.INSTALLED:
        method = METHODS[install.method]
        done = {step for step in steps if method.needs(step, install)} - set(method.waits)
        assert done <= set(told), f"{install}: steps {told}"
    assert len(names[Event.Kind.MACHINE]) == len(set(names[Event.Kind.MACHINE])), "an event was applied twice"
