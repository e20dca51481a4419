"""Walks the routes of both listeners and asks each of them, as everybody, by every method.

`tests/permissions.csv` holds what must come out; test_permissions.py compares. CONTRIBUTING.md says how to add a row.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests import installing, manual, scenes

TABLE = Path(__file__).with_name("permissions.csv")
ROLES = ("anonymous", "no_group", "viewer", "operator", "admin")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LISTENERS = {"main": "dodaiweb.urls", "provision": "dodaiweb.provision_urls"}
CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
GROUP = re.compile(r"\(\?P<(\w+)>[^)]*\)")
FORGED = {
    "REMOTE_USER": "admin", "HTTP_REMOTE_USER": "admin", "HTTP_X_REMOTE_USER": "admin",
    "HTTP_X_FORWARDED_USER": "admin", "HTTP_X_FORWARDED_FOR": "127.0.0.1",
    "HTTP_X_REAL_IP": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "localhost",
    "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_HTTP_METHOD_OVERRIDE": "GET", "HTTP_X_ORIGINAL_URL": "/login/",
    "HTTP_X_REWRITE_URL": "/login/", "HTTP_AUTHORIZATION": "Basic YWRtaW46YWRtaW4=",
}  # fmt: skip
"""Headers by which some servers let proxies say who asks. Here they must change nothing."""


QUERIES = {"admin:autocomplete": "?app_label=machines&model_name=bmc&field_name=credentials"}
"""What some addresses cannot do without."""
TASKS = [f"{name}:number" for name in ("task", "task_take", "task_note", "task_done", "task_cannot")]
"""Addresses of installs that people do by hand: others have no such page."""


@dataclass(frozen=True)
class Route:
    listener: str
    route: str
    name: str

    def path(self, values: dict[str, Any]) -> str:
        """Its address, with the values of `Scene.values`: by name, or first word, and parameter, or by parameter."""
        kind = self.route.partition("/<" if self.route.startswith("admin/") else "/")[0]

        def value(match: re.Match[str]) -> str:
            of_kind = values.get(f"{kind}:{match[1]}", values.get(match[1]))
            found = values.get(f"{self.name}:{match[1]}", of_kind)
            assert found is not None, f"name a {match[1]!r} for {self.route} in tests/permissions.py: Scene.values"
            return str(found)

        text = CONVERTER.sub(value, GROUP.sub(value, self.route))
        return "/" + text.replace("^", "").replace("\\Z", "").rstrip("$") + QUERIES.get(self.name, "")


def routes(listener: str) -> list[Route]:
    """Every route of the URL conf of a listener, included ones and the admin's too."""
    return [Route(listener, *found) for found in _walk(get_resolver(LISTENERS[listener]).url_patterns)]


def _walk(patterns: list[Any], before: str = "", namespace: str = "") -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route, f"{namespace}{pattern.namespace or ''}".strip())
        elif isinstance(pattern, URLPattern):
            yield route, ":".join(filter(None, (namespace, pattern.name or "")))


class Scene:
    """One of everything that a route may name, and somebody of every group who has logged in."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group
        from django.contrib.contenttypes.models import ContentType

        from installs.models import Allocation, ImageImport, InstallCap, NoticeTarget, PoolLevel, Wave
        from machines import actions
        from machines.inventory import uploads
        from machines.models import Cluster, Credentials, MachineType, PortMove, Sighting, Switch, Vlan

        machine, image = installing.make_machine(), installing.make_image()
        install = scenes.failed(machine, image)
        by_hand = scenes.start(installing.make_machine("node2", number=2), manual.make_image())
        scenes.work()
        others = [
            Cluster.objects.create(name="web"), Vlan.objects.create(vid=30, name="storage"), machine.site,
            MachineType.objects.create(name="r640"), Switch.objects.create(name="tor"),
            Credentials.objects.create(name="rack", username="root"),
            InstallCap.objects.create(group=Group.objects.get(name="operator")),
        ]  # fmt: skip
        wave = Wave.objects.create(image=image, requested_by="admin")
        wave.machines.create(machine=machine, position=0, part=0)
        type_with_image = {"type": others[3], "image": image}
        mac = "3c:ec:ef:00:00:01"
        actions.record_sighting(mac, address="10.0.0.9")
        sighting = Sighting.objects.get(mac=mac)
        self.clients = {"anonymous": Client()}
        for role in ROLES[1:]:
            user = scenes.make_user(None if role == "no_group" else role, name=role, is_staff=role == "admin")
            self.clients[role] = Client()
            self.clients[role].force_login(user)
        asked_move = PortMove.objects.create(
            switch=Switch.objects.get(), port="1", vlan=30, interface=machine.interfaces.get(), asked_by="admin",
            state=PortMove.State.ASKED,
        )  # fmt: skip
        self.values: dict[str, Any] = {
            "name": machine.name, "number": install.pk, "mac": "52:54:00:00:00:01", "token": "A" * 43,
            "nonce": "0" * 32,
            "pxelinux.cfg:name": "01-52-54-00-00-00-01", "^event:name": "install", "images:number": image.pk,
            "imports:number": ImageImport.objects.create(name="x", source="url", requested_by="admin").pk,
            "waves:number": wave.pk, **dict.fromkeys(TASKS, by_hand.pk),
            "notices:number": NoticeTarget.objects.create(name="ops", address="https://example.org/").pk,
            "port_move:number": asked_move.pk, "cabling_move:number": asked_move.pk,
            "allocations:number": Allocation.objects.create(
                **type_with_image, cluster=others[0], requested_by="admin"
            ).pk,
            "pool:number": PoolLevel.objects.create(**type_with_image).pk,
            "clusters:number": others[0].pk, "vlans:number": others[1].pk,
            "sightings:number": sighting.pk, "connect:number": sighting.pk,
            "verb": "inspect", "form": "csv", "app_label": "machines", "url": "nowhere/", "object_id": machine.pk,
            "inventory:key": uploads.keep("name\n", "a.csv", by="admin").key,
            "content_type_id": ContentType.objects.get_for_model(machine).pk,
            "admin/auth/user:id": get_user_model().objects.get(username="viewer").pk,
            **dict.fromkeys(("queue_index", "connection_index", "scheduler_index"), 0),
            **dict.fromkeys(("job_id", "result_id", "scheduler_name", "cron_job_name", "worker_name", "key"), "none"),
        }  # fmt: skip
        people = [Group.objects.get(name="viewer"), get_user_model().objects.get(username="viewer")]
        for thing in [machine, image, *others, *people]:
            self.values[f"admin/{thing._meta.app_label}/{thing._meta.model_name}:object_id"] = thing.pk


def ask(client: Client, method: str, path: str, **headers: str) -> str:
    """The answer's kind. Whatever it does to the database is taken back."""
    cookies = client.cookies.copy()
    with transaction.atomic():
        response = client.generic(method, path, **headers)
        transaction.set_rollback(True)
    client.cookies = cookies
    if response.streaming:
        b"".join(response)  # the test client closes it once it is read
    return kind_of(response)


def kind_of(response: HttpResponse) -> str:
    """ok (also: leads on to another page), login, forbidden, not-allowed, or the status."""
    code = response.status_code
    if code in (301, 302, 303, 307, 308):
        return "login" if "login/" in response["Location"] else "ok"
    if code in (401, 403):
        return "forbidden"
    return "ok" if code < 300 else "not-allowed" if code == 405 else str(code)


def answers(scene: Scene, listener: str, roles: tuple[str, ...] = ROLES, **headers: str) -> dict[tuple[str, ...], Any]:
    """(listener, route, name) -> method -> what each of `roles` gets."""
    return {
        (listener, route.route, route.name): {
            method: tuple(ask(scene.clients[role], method, route.path(scene.values), **headers) for role in roles)
            for method in METHODS
        }
        for route in routes(listener)
    }


def lines_of(found: dict[tuple[str, ...], Any]) -> list[str]:
    """Lines of the table: methods of a route that answer alike stand in one."""
    sink = io.StringIO()
    for key, by_method in found.items():
        for answered in dict.fromkeys(by_method.values()):
            methods = " ".join(method for method in METHODS if by_method[method] == answered)
            csv.writer(sink, lineterminator="\n").writerow([*key, methods, *answered])
    return sink.getvalue().splitlines()


def table(listener: str) -> list[str]:
    """The lines of the checked-in table that are about this listener."""
    return [line for line in TABLE.read_text().splitlines() if line.startswith(f"{listener},")]
