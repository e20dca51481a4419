"""Rounds in which machines are handed over, moved to another cluster, released, and that undone, under faults."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.utils.timezone import now

from installs import actions, lifecycle
from installs.handover import keypair
from installs.models import Image, Install, MachineKey
from installs.releasing import release
from machines.models import Cluster, Interface, Machine, PortMove, Switch, Vlan
from tests import ssh_machine
from tests.guarantees import killing, played
from tests.guarantees.killing import RECOVERY_SECONDS, ROUND_SECONDS, Round, patiently
from tests.guarantees.whole import Site, wait_until

HERE, THERE, BOOTING, QUARANTINE = 210, 211, 212, 999


@dataclass(frozen=True)
class Network:
    """A switch in a file, which all processes share, and two clusters."""

    file: Path
    here: Cluster
    there: Cluster

    @classmethod
    def of(cls, site: Site) -> "Network":
        vlans = [Vlan.objects.get_or_create(vid=vid)[0] for vid in (HERE, THERE, QUARANTINE)]
        file = site.home / "switch.json"
        Switch.objects.get_or_create(
            name="tor",
            defaults={"driver": "fake", "vlans": "210-212", "ports": "p1..99", "quarantine": vlans[2],
                      "settings": {"file": str(file)}},
        )  # fmt: skip
        here, there = (
            Cluster.objects.get_or_create(name=name, defaults={"vlan": vlan})[0]
            for name, vlan in zip(("here", "there"), vlans, strict=False)
        )
        return cls(file, here, there)

    def use(self, machine: Machine, number: int, bmcs: Path) -> Machine:
        """It is in use in the cluster `here` and on, with two ports in that VLAN."""
        Machine.objects.filter(pk=machine.pk).update(state="in_use", cluster=self.here, image_name="debian")
        for port in (f"p{2 * number}", f"p{2 * number + 1}"):
            place = {"switch": Switch.objects.get(name="tor"), "switch_port": port, "machine": machine}
            Interface.objects.get_or_create(mac=f"52:54:00:0f:{number:02x}:{port[1:].zfill(2)}", defaults=place)
        played._note(bmcs / machine.name, what="on", pid=0)
        self.put(HERE, f"p{2 * number}", f"p{2 * number + 1}")
        return Machine.objects.get(pk=machine.pk)

    def put(self, vlan: int, *ports: str) -> None:
        """As if they had always been there."""
        world = json.loads(self.file.read_text()) if self.file.exists() else {"vlans": {}, "faults": {}}
        world["vlans"] |= {f"tor port {port}": vlan for port in ports}
        self.file.write_text(json.dumps(world))

    def where(self, machine: Machine) -> set[int | None]:
        vlans = json.loads(self.file.read_text())["vlans"]
        ports = Interface.objects.filter(machine=machine, switch__isnull=False).values_list("switch_port", flat=True)
        return {vlans[f"tor port {port}"] for port in ports}


Ask = Callable[[Machine, Network], Install | None]
CHAIN: tuple[tuple[str, Ask, str, int], ...] = (
    ("move", lambda machine, net: release.move_to(machine, net.there, by="op"), "in_use", THERE),
    ("release", lambda machine, net: release.release(machine, by="op"), "releasing", QUARANTINE),
    ("undo-release", lambda machine, net: release.undo_release(machine, by="op"), "in_use", THERE),
    ("move", lambda machine, net: release.move_to(machine, net.here, by="op"), "in_use", HERE),
)
"""What is asked, and the machine's state and VLAN once it is done."""


@dataclass
class Operated(Round):
    """Each machine goes through CHAIN, and ends where it began."""

    network: Network = field(kw_only=True)

    def _play(self) -> None:
        for slug, ask, state, vlan in CHAIN:
            made = [self._ask(machine, slug, ask) for machine in self.machines]
            self.installs += made
            wait_until(lambda made=made: self._ended(made), seconds=ROUND_SECONDS, what=f"{slug} to end")
            for install in made:
                self._check_one(install, state, vlan)
        wait_until(self._is_over, seconds=ROUND_SECONDS, what="all faults to be over")

    def _ask(self, machine: Machine, slug: str, ask: Ask) -> Install:
        made = patiently(lambda: ask(Machine.objects.get(pk=machine.pk), self.network))
        assert made is not None and made.method == slug
        return made

    def _ended(self, made: list[Install]) -> bool:
        numbers = [install.pk for install in made]
        return not patiently(lambda: Install.objects.live().filter(pk__in=numbers).exists())

    def _check_one(self, install: Install, state: str, vlan: int) -> None:
        install.refresh_from_db()
        assert install.state == lifecycle.State.INSTALLED, (
            f"{install} {install.method}: {install.cause} {install.error}"
        )
        machine = Machine.objects.get(pk=install.machine_id)
        assert (machine.state, machine.handled_by, self.network.where(machine)) == (state, "", {vlan})
        assert (machine.erase_at is not None) is (state == "releasing")
        power = played._power_of(self.site.bmcs / machine.name)
        assert power == ("off" if state == "releasing" else "on"), f"{install}: {power}"
        killing._check_story(install)

    def _check(self) -> None:
        self._check_ports()
        first = min(install.pk for install in self.installs)
        for machine in self.machines:
            assert Install.objects.filter(machine=machine, pk__gte=first).count() == len(CHAIN), "something came twice"
        self._check_recoveries()

    def _check_ports(self) -> None:
        left = PortMove.objects.filter(interface__machine__in=self.machines, state__in=("reading", "moving", "asked"))
        assert not left.exists(), "a port is half-moved"
        held = Switch.objects.exclude(held_by="").count()
        assert held == 0, "a switch is still held"

    def _check_recoveries(self) -> None:
        ends = sorted(install.ended_at.timestamp() for install in self.installs if install.ended_at)
        for name in self.struck:
            struck = self._struck_at(name)
            self.recoveries.append(min(end for end in [*ends, time.time()] if end >= struck) - struck)
            assert self.recoveries[-1] < RECOVERY_SECONDS, f"it took {self.recoveries[-1]:.1f} s"


@dataclass
class HandedOver(Operated):
    """Warm machines, each with an OS that a real SSH server lets into. Who was cut off after it had taken its own key
    away cannot know that: such a machine is free, its ports are where they were, and it is installed anew."""

    oses: dict[int, ssh_machine.SshMachine] = field(kw_only=True)

    def _play(self) -> None:
        doors = {machine.name: [["127.0.0.1", self.oses[machine.pk].port]] for machine in self.machines}
        (self.site.faults / "doors.json").write_text(json.dumps(doors))
        made = [self._ask(machine, "hand-over", self._hand_over) for machine in self.machines]
        self.installs += made
        wait_until(lambda: self._ended(made) and self._is_over(), seconds=ROUND_SECONDS, what="hand-overs to end")
        for install in made:
            self._check_hand_over(install)

    def _hand_over(self, machine: Machine, network: Network) -> Install:
        pool = _warm(machine, self.oses[machine.pk])
        Machine.objects.filter(pk=machine.pk).update(cluster=network.there)  # as an allocation does before it asks
        told = {"install": pool.pk, "cluster": network.there.pk}
        return actions.start_operation(Machine.objects.get(pk=machine.pk), "hand-over", told, by="op")

    def _check_hand_over(self, install: Install) -> None:
        install.refresh_from_db()
        if install.state == lifecycle.State.INSTALLED:
            self._check_one_port(install, "in_use", THERE)
            return
        assert self.struck and "does not take the machine's own key" in install.error, install.error
        self._check_one_port(install, "free", HERE)

    def _check_one_port(self, install: Install, state: str, vlan: int) -> None:
        machine = Machine.objects.get(pk=install.machine_id)
        assert (machine.state, machine.handled_by, self.network.where(machine)) == (state, "", {vlan}), install.error
        assert not MachineKey.objects.filter(install__machine=machine).exclude(private_sealed="").exists()
        killing._check_story(install)

    def _check(self) -> None:
        self._check_ports()
        self._check_recoveries()


def _warm(machine: Machine, os: ssh_machine.SshMachine) -> Install:
    """As an install into the pool left it."""
    image = Image.objects.filter(method="file-tree").first()
    plan = {"kernel_args": "", "image_kernel_args": ""}
    pool = Install.objects.create(
        machine=machine, image=image, method="file-tree", plan=plan, plan_digest="0" * 64, requested_by="pool",
        is_for_pool=True, state="installed", ended_at=now(),
    )  # fmt: skip
    kept = keypair.make(pool)
    kept.host_keys = [os.host_key]
    kept.save()
    os.let_in(kept.public_key)
    os.path("/etc/dodai").mkdir(exist_ok=True)
    Machine.objects.filter(pk=machine.pk).update(state="warm")
    return pool
