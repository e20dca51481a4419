"""A Dodai of its own with two practice servers in the lab's switch, both of them warm: installed, and of nobody yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.profiles import give_service_card
from tests.end_to_end.dodai import INSTALL_SECONDS, PREPARED_SECONDS, Dodai, make_key, wait_until

SERVERS = ("practice-1", "practice-2")
WEB, DB, QUARANTINE = 210, 211, 999

CLUSTERS = """
from machines.models import Cluster, Switch, Vlan
from installs.models import SshKey
web, db = (
    Cluster.objects.create(name=name, network="10.9.0.0/24", vlan=Vlan.objects.create(vid=vid, name=name))
    for name, vid in (("web", {web}), ("db", {db}))
)
Switch.objects.update(quarantine=Vlan.objects.create(vid={quarantine}, name="quarantine"))
key = SshKey.objects.create(name="owner", public_key={key!r})
key.clusters.add(web, db)
key.pk
"""
FILL = """
from installs import actions
tiny = Image.objects.get(name="tiny")
made = [actions.start_install(machine, tiny, by="test", for_pool=True) for machine in Machine.objects.order_by("name")]
[install.pk for install in made]
"""
HAND_OVER = """
import subprocess, time
from django.db import transaction
from installs import actions
from lab import control
from machines import addressing
from machines.models import Cluster
web, data, words = Cluster.objects.get(name="web"), {data!r}, {ssh!r}
began = time.monotonic()
with transaction.atomic():
    machine = Machine.objects.select_for_update(of=("self",)).get(name={name!r})
    addressing.join(machine, web)
    machine.owner = "ada"
    machine.save(update_fields=["cluster", "owner"])
    pool = machine.installs.filter(is_for_pool=True).latest("pk").pk
    install = actions.start_operation(machine, "hand-over", {{"install": pool, "cluster": web.pk}}, by="ada")
while Install.objects.live().filter(pk=install.pk).exists(): time.sleep(0.02)
handed = time.monotonic() - began
port = control.ask(__import__("pathlib").Path(data), "ssh", name=machine.name)["port"]
inside = subprocess.run([*words, "-p", str(port), "root@127.0.0.1", "hostname"], capture_output=True, text=True)
install.refresh_from_db()
steps = dict(install.events.filter(name__startswith="hand-over-").values_list("name", "data"))
found = {{"handed_over": handed, "seconds": time.monotonic() - began, "state": install.state, "error": install.error,
         "inside": inside.stdout + inside.stderr, "steps": steps}}
found
"""


@contextmanager
def running(folder: Path) -> Iterator[Dodai]:
    """`up` with both servers warm, the clusters `web` and `db`, and a key of the owner that no install has given."""
    dodai = Dodai(folder / "data", servers=len(SERVERS))
    dodai.data.mkdir(mode=0o700)
    for name in SERVERS:
        give_service_card(name, dodai.data)
    try:
        dodai.start()
        dodai.wait_for(rf"{len(SERVERS)} practice servers are ready\.", seconds=PREPARED_SECONDS)
        key = make_key(dodai.ssh_key).with_suffix(".pub").read_text().strip()
        dodai.database(CLUSTERS.format(web=WEB, db=DB, quarantine=QUARANTINE, key=key))
        dodai.database(FILL)
        wait_until(
            lambda: set(states(dodai).values()) == {"warm"}, seconds=INSTALL_SECONDS, what="two warm machines",
            story=lambda: str([dodai.last_install(name) for name in SERVERS]),
        )  # fmt: skip
        yield dodai
    finally:
        if dodai.process:
            dodai.stop()


def states(dodai: Dodai) -> dict[str, str]:
    return dict(dodai.database("[[m.name, m.state] for m in Machine.objects.all()]"))


def hand_over(dodai: Dodai, name: str) -> dict[str, Any]:
    """To the cluster `web`, and then in by the owner's key: `seconds` for both, from the click."""
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes",
               "IdentityAgent=none", "ConnectTimeout=60", "LogLevel=ERROR")  # fmt: skip
    ssh = ["ssh", "-F", "none", "-i", str(dodai.ssh_key), *(word for each in options for word in ("-o", each))]
    return dodai.database(HAND_OVER.format(name=name, data=str(dodai.data), ssh=ssh))


def ports(dodai: Dodai) -> dict[str, int | None]:
    """As the lab's switch says."""
    return dodai.database(
        "from machines import cabling\nfrom machines.models import Interface\n"
        "{c.machine.name: v for c, v in cabling.read_cards(Interface.objects.filter(switch__isnull=False)"
        ".select_related('machine__site', 'switch')).items()}"
    )
