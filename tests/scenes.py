"""Machines and installs in all their states, made through the models, the engine and the provisioning listener."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest import mock

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import override_settings
from django.test.client import ClientHandler
from django.utils.timezone import now

from dodaiweb import keys
from installs import actions, flow
from installs.models import Event, Image, Install
from machines import actions as machine_actions
from machines.models import Cluster, Disk, Interface, Machine, Site, Vlan
from machines.power.base import Power
from tests import installing

HOSTILE = "<script>alert(1)</script>\" onmouseover='x' & {{ 7 * 7 }}"
HARDWARE = {
    "memory_bytes": 8 << 30, "manufacturer": "Supermicro", "product": "X11SPL-F",
    "cpu": {"model": "Intel Xeon Silver 4210", "sockets": 1, "cores": 10, "threads": 20},
}  # fmt: skip
PHASES = ("partition", "fetch", "verify", "copy", "configure", "bootloader")


def make_user(group: str | None, *, name: str = "", is_staff: bool = False, password: str | None = None):
    """Without a password, which takes half a second to hash, nobody can log in as them by hand."""
    user = get_user_model().objects.create_user(name or group or "nobody", password=password, is_staff=is_staff)
    user.groups.set(Group.objects.filter(name=group))
    return user


class _ListenerHandler(ClientHandler):
    """Answers as the provisioning listener does, while the pages are served beside it by the same process."""

    def get_response(self, request):
        request.urlconf = "dodaiweb.provision_urls"
        return super().get_response(request)


def server_of(machine: Machine) -> installing.Server:
    """The machine as the provisioning listener sees it."""
    server = installing.Server(machine)
    handler = _ListenerHandler(enforce_csrf_checks=False)
    with override_settings(MIDDLEWARE=[]):
        handler.load_middleware()
    server.client.handler = handler
    return server


def other_keys(data: Path) -> Path:
    """`data`, as a data folder with keys of its own."""
    keys.ensure(data, database_exists=False)
    return data


def named_ramdisk():
    return mock.patch("installs.ramdisk.latest", return_value=installing.RAMDISK)


def work() -> None:
    """What workers would do."""
    flow.begin_next()
    while flow.run_due():
        pass


def start(machine: Machine, image: Image) -> Install:
    with named_ramdisk():
        return actions.start_install(machine, image, by="ada")


def until_installer(machine: Machine, image: Image) -> tuple[Install, installing.Server]:
    """An install whose installer has said its first word."""
    install = start(machine, image)
    server = server_of(machine)
    work()
    assert server.boot()
    server.say("install")
    work()
    return install, server


def until_copy(
    machine: Machine, image: Image, *, done: int = 41_000_000, total: int = 62_000_000
) -> tuple[Install, str]:
    """An install in the middle of copying files; with it the answer to the write grant."""
    install, server = until_installer(machine, image)
    granted = server.ask_grant()
    for phase in PHASES[:4]:
        server.say("progress", {"phase": phase, "done_bytes": 0, "total_bytes": total if phase == "copy" else 0})
    server.say("progress", {"phase": "copy", "done_bytes": done, "total_bytes": total})
    server.client.post(
        "/event/log",
        "phase copy\nunpacking etc/hosts\nwarning: clock was 3 s behind\n",
        "text/plain",
        headers=server._headers(),
    )
    install.refresh_from_db()
    return install, granted


def installed(machine: Machine, image: Image) -> Install:
    install, server = until_installer(machine, image)
    granted = server.ask_grant()
    for phase in PHASES:
        server.say("progress", {"phase": phase, "done_bytes": 1, "total_bytes": 2})
    server.say("install_reboot", {"boot_order": "ok"})
    work()
    server.finish_first_boot(granted)
    work()
    install.refresh_from_db()
    assert install.state == "installed", (install.state, install.error)
    return install


def failed(
    machine: Machine, image: Image, *, message: str = "The image has the SHA-256 12ab, the catalogue says cd34."
) -> Install:
    install, server = until_installer(machine, image)
    server.ask_grant()
    server.say("progress", {"phase": "verify", "done_bytes": 0, "total_bytes": 0})
    server.say(
        "failed",
        {
            "cause": "digest",
            "message": message,
            "phase": "verify",
            "line": 80,
            "command": "sha256sum",
            "output": "sha256sum image\nFAILED in phase verify, cause digest",
        },
    )
    settle(install)
    return install


def settle(install: Install) -> None:
    """Until it has ended: it looks again after a second, which is not waited for here."""
    for _ in range(10):
        Install.objects.filter(pk=install.pk).update(look_again_at=None)
        work()
        install.refresh_from_db()
        if not install.is_live:
            return


def spread(install: Install, seconds: float, *, ended_ago: timedelta = timedelta()) -> None:
    """Move its past back, so that each of its events is `seconds` after the one before."""
    events = list(install.events.order_by("pk"))
    end = (install.ended_at or now()) - ended_ago
    for number, event in enumerate(reversed(events)):
        Event.objects.filter(pk=event.pk).update(at=end - timedelta(seconds=seconds * number))
    begin = end - timedelta(seconds=seconds * len(events))
    changes = {"queued_at": begin, "started_at": begin + timedelta(seconds=seconds)}
    if install.ended_at:
        changes |= {"ended_at": end}
    Install.objects.filter(pk=install.pk).update(**changes)


def whole_fleet(say: Callable[[str], None] = lambda text: None) -> dict[str, Install]:
    """Real machines in racks and clusters, practice servers, and installs in every state."""
    site = Site.objects.get_or_create(name="main")[0]
    practice = Site.objects.get_or_create(name="practice", defaults={"is_practice": True})[0]
    vlan = Vlan.objects.create(vid=30, name="storage")
    clusters = [
        Cluster.objects.create(name=name, colour=colour, vlan=vlan)
        for name, colour in (("kobe-ceph", "#14b8a6"), ("kyoto-web", "#3b82f6"))
    ]
    debian, tiny = (
        installing.make_image("debian-12"),
        installing.make_image("tiny", kind="tar.zst", size_bytes=62 << 20, unpacked_bytes=180 << 20),
    )
    machines = []
    for number in range(1, 25):
        home = practice if number > 22 else site
        machines.append(installing.make_machine(
            f"node-{number:02}", number=number, rack="Practice" if home is practice else f"R{(number - 1) // 8 + 1:02}",
            unit=(number - 1) % 8 + 1, cluster=clusters[number % 2] if number % 5 else None,
            facts=HARDWARE | {"firmware": "uefi" if number % 2 else "bios"},
        ))  # fmt: skip
        Machine.objects.filter(pk=machines[-1].pk).update(site=home)
    say("machines made")
    made = {}
    for machine in machines[:6]:
        made["installed"] = installed(machine, debian)
        spread(made["installed"], 6)
    made["copying"], _ = until_copy(machines[6], debian)
    spread(made["copying"], 5)
    made["booting"] = start(machines[7], tiny)
    work()
    made["failed"] = failed(machines[8], debian)
    spread(made["failed"], 4)
    made["cancelled"] = start(machines[9], debian)
    work()
    actions.cancel(made["cancelled"], by="grace")
    settle(made["cancelled"])
    machines[10].bmc.driver = "manual"
    machines[10].bmc.save()
    made["by hand"] = start(machines[10], debian)
    work()
    machine_actions.set_aside(machines[11], by="grace", why="fan 3 rattles", until=None)
    Machine.objects.filter(pk=machines[12].pk).update(protected=True)
    Machine.objects.filter(pk=machines[13].pk).update(state="new", inspected_at=None)
    Disk.objects.create(
        machine=machines[14],
        serial="S3CRET7",
        size_bytes=960_197_124_096,
        model="Micron 5300",
        path="/dev/sdb",
        transport="sata",
        seen_at=now(),
        signatures=[{"path": "/dev/sdb1", "type": "ext4", "label": "old-data"}],
    )
    Interface.objects.create(
        machine=machines[14], mac="52:54:00:99:00:01", name="eth1", speed_mbps=10000, has_link=True
    )
    with named_ramdisk():
        made["inspection"] = actions.start_inspection(machines[15], by="ada")
    for number, machine in enumerate(machines):
        machine.refresh_from_db()
        bmc = f"{machine.name}: the BMC at 10.0.0.{number}:623"
        error = f"{bmc} does not answer: is its address right, is it plugged in?" if number == 17 else ""
        machine_actions.record_power(
            machine,
            Power.UNKNOWN if error else (Power.OFF if number % 4 == 3 else Power.ON),
            error=error,
            next_in=timedelta(seconds=30),
        )
    for number in range(3):
        machine_actions.record_sighting(
            f"3c:ec:ef:00:00:0{number}", address="10.0.0.9", platform="efi", serial=f"X{number}"
        )
    made = {name: Install.objects.get(pk=install.pk) for name, install in made.items()}
    return made


def restore_groups() -> None:
    """Tests with real transactions empty all tables, also what migrations had put there."""
    from django.contrib.auth.models import Permission

    views = Permission.objects.filter(
        codename__startswith="view_", content_type__app_label__in=["machines", "installs"]
    )
    operating = [f"{verb}_machine" for verb in ("operate", "install", "add", "change")]
    presses = Permission.objects.filter(codename__in=operating)
    every = Permission.objects.filter(content_type__app_label__in=["machines", "installs"])
    for name, permissions in {"viewer": views, "operator": views | presses, "admin": every}.items():
        group, is_new = Group.objects.get_or_create(name=name)
        if is_new:
            group.permissions.set(permissions)


def session_of(user) -> str:
    """The key of a fresh session of this user, as logging in makes it."""
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value
