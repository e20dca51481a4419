"""Protected machines and Dodai's own hosts (T31, INV9): refused by every entrance, at every moment of an install."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import CommandError, call_command, get_commands
from django.utils.translation import override

from installs import actions, boot, flow, jobs, many
from installs.allocation import asking as wanting
from installs.allocation import refill
from installs.claim import ClaimLost
from installs.models import Allocation, Event, Image, Install
from installs.waves import asking, turns
from installs.waves.asking import Rules
from machines import actions as machine_actions
from machines import jobs as machine_jobs
from machines import own_hosts
from machines.models import Cluster, Disk, Machine, MachineType, PortMove, PowerCommand, Switch, Vlan
from machines.power import fake
from tests import installer_answers, installing, manual, permissions, scenes
from tests.guarantees.tally import Tally, rounds
from tests.test_pages_content import text_of

SAYS = "Nothing destructive is done to a protected machine or to a host of Dodai's own, by any entrance"
OWN_UUID = "5f0f3fd4-0000-4000-8000-00000000000a"


def protect(machine: Machine, settings: Any) -> None:
    Machine.objects.filter(pk=machine.pk).update(protected=True)


def own_by_mac(machine: Machine, settings: Any) -> None:
    """The MAC of a card that this computer has."""
    machine.interfaces.update(mac=next(own_hosts._macs()))


def own_by_address(machine: Machine, settings: Any) -> None:
    machine.interfaces.update(address=f"{next(own_hosts._addresses())}/24")


def own_by_name(machine: Machine, settings: Any) -> None:
    settings.OWN_HOSTS = [machine.name]


def own_by_serial(machine: Machine, settings: Any) -> None:
    settings.OWN_HOSTS = [machine.serial]


def own_by_uuid(machine: Machine, settings: Any) -> None:
    settings.OWN_HOSTS = [str(uuid.UUID(bytes_le=uuid.UUID(machine.uuid).bytes)).upper()]


def own_by_bmc(machine: Machine, settings: Any) -> None:
    type(machine.bmc).objects.filter(machine=machine).update(host="10.9.9.9")
    settings.OWN_HOSTS = ["10.9.9.9"]


KINDS = {
    "protected": protect, "own MAC": own_by_mac, "own address": own_by_address, "named": own_by_name,
    "own serial number": own_by_serial, "own UUID": own_by_uuid, "own BMC": own_by_bmc,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _ready(settings, monkeypatch):
    settings.OWN_HOSTS = []
    for module in (jobs, machine_jobs):  # the connection is the one that this test's transaction is in
        monkeypatch.setattr(module, "close_old_connections", lambda: None)
    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture(params=KINDS)
def untouchable(request, settings) -> Callable[[Machine], None]:
    """Call it to make a machine one that nobody may touch."""
    return lambda machine: KINDS[request.param](machine, settings)


@pytest.fixture
def machine(db) -> Machine:
    return installing.make_machine()


@pytest.fixture
def image(db) -> Image:
    return installing.make_image()


@pytest.fixture
def tally(guarantee) -> Tally:
    return guarantee("T31", SAYS)


@pytest.fixture
def boss(client, db):
    client.force_login(scenes.make_user("admin", is_staff=True))
    return client


# Entrances that begin or go on with something destructive. Each gets (client, machine, image, make untouchable).


def page_plan(client, machine, image, make):
    digest = plan_digest(machine, image)
    make(machine)
    answer = client.post(f"/machines/{machine.name}/install/", {"image": image.pk, "approved": digest})
    assert answer.status_code == 409


def page_inspect(client, machine, image, make):
    make(machine)
    client.post(f"/machines/{machine.name}/inspect/")


def page_retry(client, machine, image, make):
    failed = scenes.failed(machine, image)
    fake.calls.clear()
    make(machine)
    client.post(f"/installs/{failed.pk}/retry/")


def page_many(client, machine, image, make):
    make(machine)
    client.post("/many/install/", {"machines": machine.pk, "image": image.pk, "approved": digest_of([machine], image)})


def page_retry_all(client, machine, image, make):
    scenes.failed(machine, image)
    fake.calls.clear()
    make(machine)
    digest = many.plans([Machine.objects.get(pk=machine.pk)], None, again=True).digest
    client.post("/many/install/", {"machines": machine.pk, "image": "again", "approved": digest})


def page_many_verbs(client, machine, image, make):
    make(machine)
    typed = {"typed_count": "1", "typed_names": machine.name}
    client.post("/many/inspect/", {"machines": machine.pk} | typed)
    for action in ("off", "reset", "soft", "on"):
        client.post("/many/power/", {"machines": machine.pk, "action": action} | typed)


def page_power(client, machine, image, make):
    make(machine)
    for action in ("off", "reset", "soft", "on"):
        client.post(f"/machines/{machine.name}/power/", {"action": action})


def page_task(client, machine, image, make):
    """By hand: who takes it, or says that it is done, is told not to touch it."""
    install = scenes.start(machine, manual.make_image())
    scenes.work()
    make(machine)
    for verb in ("take", "done"):
        client.post(f"/installs/{install.pk}/task/{verb}/")
    end(install)


def page_wave(client, machine, image, make):
    """Untouchable when it is proposed, when it is approved, and when its turn comes."""
    other = installing.make_machine("other", number=9)
    wave = asking.propose([machine, other], image, Rules(), by="ann")
    make(machine)
    client.post(f"/waves/{wave.pk}/approve/", {"approved": asking.plans(wave).digest})
    turns.take_all()
    assert wave.machines.get(machine=machine).skipped_at
    assert Install.objects.get().machine == other
    Install.objects.all().update(state="failed")
    wave.machines.all().delete()
    Install.objects.all().delete()
    fake.calls.clear()


def page_wave_resume(client, machine, image, make):
    wave = asking.propose([machine], image, Rules(), by="ann")
    asking.approve(wave, approved=asking.plans(wave).digest, by="bea")
    asking.pause(wave, by="ann")
    make(machine)
    client.post(f"/waves/{wave.pk}/resume/")
    turns.take_all()
    assert wave.machines.get().skipped_at


def page_wave_new(client, machine, image, make):
    make(machine)
    rules = {"canary_count": 1, "part_size": 1, "stop_at": 1}
    assert client.post("/waves/new/", {"machines": machine.pk, "image": image.pk} | rules).status_code == 422


def command_install(client, machine, image, make):
    make(machine)
    for sure in ({"yes": True}, {"confirm": machine.name}):
        with pytest.raises(CommandError):
            call_command("install", machine.name, image.name, **sure)


def command_inspect(client, machine, image, make):
    make(machine)
    with pytest.raises(CommandError):
        call_command("inspect", machine.name, no_wait=True)


def command_power(client, machine, image, make):
    make(machine)
    for action in ("off", "reset", "soft", "on"):
        with pytest.raises(CommandError):
            call_command("power", machine.name, action)


def command_wave(client, machine, image, make):
    make(machine)
    digest = digest_of([machine], image)
    with pytest.raises(CommandError):
        call_command("wave", "start", image.name, machine.name, confirm=digest)


def command_allocate(client, machine, image, make):
    kind, cluster = MachineType.objects.create(name="m1"), Cluster.objects.create(name="web")
    Machine.objects.update(type=kind)
    digest = wanting.propose(wanting.Asked(kind, image, cluster)).digest
    make(machine)
    with pytest.raises(CommandError):
        call_command("allocate", "m1", image.name, "web", confirm=digest)


def command_pool(client, machine, image, make):
    Machine.objects.update(type=MachineType.objects.create(name="m1"))
    make(machine)
    call_command("pool", "set", "m1", image.name, "1")
    refill.take_all()


def command_release(client, machine, image, make):
    Machine.objects.update(state="in_use")
    make(machine)
    with pytest.raises(CommandError):
        call_command("release", machine.name, yes=True)
    Machine.objects.update(state="releasing")
    for options in ({"undo": True}, {"erase": True, "yes": True}):
        with pytest.raises(CommandError):
            call_command("release", machine.name, **options)


def command_worker(client, machine, image, make):
    """An install that was asked for before: no step of it is done."""
    actions.start_install(machine, image, by="ann")
    make(machine)
    for _ in range(10):
        jobs.look()
    assert Install.objects.get().state == "failed"


def command_watchdog(client, machine, image, make):
    actions.start_install(machine, image, by="ann")
    make(machine)
    for _ in range(3):
        call_watchdog()


def job_between_two_steps(client, machine, image, make):
    """It was begun: the next step, whichever it is, does nothing more to it."""
    actions.start_install(machine, image, by="ann")
    flow.begin_next()
    flow.run_due()
    fake.calls.clear()
    make(machine)
    for _ in range(10):
        jobs.look()
    ended = Install.objects.get()
    assert (ended.state, ended.left_behind) == ("failed", "The machine was left as it is. No disk was written.")


def job_of_a_power_command(client, machine, image, make):
    for action in ("off", "reset", "on", "soft"):
        command = PowerCommand.objects.create(machine=machine, action=action, asked_by="ann")
        make(machine)
        machine_jobs.run_power_commands()
        command.refresh_from_db()
        assert command.state == PowerCommand.State.FAILED, action


def answer_to_a_network_boot(client, machine, image, make):
    install, server = booting(machine, image)
    fake.calls.clear()
    make(machine)
    server.machine = Machine.objects.get(pk=machine.pk)
    assert isinstance(boot.answer(boot.Question(server.mac)), boot.BootDisk)
    assert not install.boots.exists()
    end(install)


def answer_to_the_grant(client, machine, image, make):
    install, server = scenes.until_installer(machine, image)
    refuses(install, server, server.ask_grant, make)


def answer_to_an_installer(client, machine, image, make):
    """Who is told the answers goes on to the disk."""
    install, server = booting(machine, installer_answers.make_image("preseed"))
    installer = installer_answers.Installing(server.machine)
    installer.client = server.client
    installer.boot_installer("preseed")
    refuses(install, installer, installer.ask_answers, make)


def answer_to_a_system_in_memory(client, machine, image, make):
    install, server = booting(machine, installing.make_image("live", kind="squashfs", method="live"))
    assert server.boot()
    refuses(install, server, server.ask_settings, make)


def refuses(install: Install, server: installing.Server, ask: Callable[[], str], make) -> None:
    fake.calls.clear()
    make(server.machine)
    server.machine = Machine.objects.get(pk=server.machine.pk)
    assert "DODAI_GRANTED=no" in ask()
    end(install)


def admin_action(client, machine, image, make):
    """Actions of the admin lead to the pages; they do nothing themselves."""
    make(machine)
    for action in ("install", "inspect", "power"):
        sent = {"action": action, "_selected_action": [machine.pk]}
        assert client.post("/admin/machines/machine/", sent).status_code == 302


def page_allocation(client, machine, image, make):
    """What was shown before it became one that nobody may touch."""
    kind, web = MachineType.objects.create(name="m1"), Cluster.objects.create(name="web")
    Machine.objects.filter(pk=machine.pk).update(type=kind)
    digest = wanting.propose(wanting.Asked(kind, image, web)).digest
    make(Machine.objects.get(pk=machine.pk))
    given = {"type": kind.pk, "image": image.pk, "cluster": web.pk, "count": 1, "approved": digest}
    assert client.post("/allocations/new/", given).status_code == 409
    assert not Allocation.objects.exists()


def page_release(client, machine, image, make):
    for state, path in (("in_use", "release"), ("releasing", "release"), ("releasing", "undo-release"),
                        ("releasing", "erase")):  # fmt: skip
        Machine.objects.filter(pk=machine.pk).update(state=state)
        make(Machine.objects.get(pk=machine.pk))
        client.post(f"/machines/{machine.name}/{path}/", {"typed": machine.name})
        assert Machine.objects.get(pk=machine.pk).state == state


def page_move(client, machine, image, make):
    """No port of it is moved."""
    web = Cluster.objects.create(name="web", vlan=Vlan.objects.create(vid=210, name="web"))
    tor = Switch.objects.create(name="tor", driver="fake", vlans="210", ports="p1")
    machine.interfaces.update(switch=tor, switch_port="p1")
    Machine.objects.filter(pk=machine.pk).update(state="in_use")
    make(Machine.objects.get(pk=machine.pk))
    client.post(f"/machines/{machine.name}/cluster/", {"cluster": web.pk})
    assert not PortMove.objects.exists()


PAGES = {
    "plan": page_plan, "inspect": page_inspect, "retry": page_retry, "plan_many": page_many, "many": page_many_verbs,
    "power": page_power, "wave_approve": page_wave, "wave_resume": page_wave_resume, "wave_new": page_wave_new,
    "task_take": page_task, "task_done": page_task, "allocation_new": page_allocation, "release": page_release,
    "undo_release": page_release, "erase": page_release, "choose_cluster": page_move,
}  # fmt: skip
COMMANDS = {
    "install": command_install, "inspect": command_inspect, "power": command_power, "wave": command_wave,
    "worker": command_worker, "watchdog": command_watchdog, "allocate": command_allocate, "pool": command_pool,
    "release": command_release,
}  # fmt: skip
ADMIN_ACTIONS = {"install": admin_action, "inspect": admin_action, "power": admin_action}
HARMLESS_ACTIONS = {"read_ports": "reads which VLANs ports are in"}
MACHINES_OWN = {
    "boot.ipxe": answer_to_a_network_boot, "grant": answer_to_the_grant, "answers": answer_to_an_installer,
    "settings": answer_to_a_system_in_memory,
}  # fmt: skip
OTHERS = {
    "retry all": page_retry_all, "between two steps": job_between_two_steps,
    "power asked before": job_of_a_power_command,
}  # fmt: skip
ENTRANCES = {
    **{f"page {name}": do for name, do in PAGES.items()}, **{f"command {name}": do for name, do in COMMANDS.items()},
    "admin actions": admin_action, **{f"machine {name}": do for name, do in MACHINES_OWN.items()}, **OTHERS,
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_refuses(boss, machine, image, untouchable, tally, entrance):
    serial = machine.disks.get().serial
    with tally.trial():
        ENTRANCES[entrance](boss, machine, image, untouchable)
        assert not [call for call in fake.calls if call[0] == machine.name and call[1] not in ("state", "boot_device")]
        assert not Install.objects.filter(granted_at__isnull=False).exclude(state__in=["failed", "installed"]).exists()
        assert not Install.objects.live().filter(machine=machine).exclude(state="stopping").exists()
        assert machine.disks.filter(serial=serial).exists()


def test_a_step_that_is_under_way_when_it_is_protected_sends_no_command(machine, image, tally):
    """Protected between the look of a worker and its command to the BMC."""
    actions.start_install(machine, image, by="ann")
    flow.begin_next()
    claim = flow._claim()
    assert claim is not None
    Machine.objects.update(protected=True)
    for command in (claim.power.off, claim.power.on, claim.power.reset, claim.power.soft_off):
        with tally.trial(), pytest.raises(ClaimLost):
            command()
    assert fake.calls == []


# What begins nothing, and why; a new address, command or action that stands in no table fails the tests below.

HARMLESS_PAGES = {
    "reads": "activity connect doctor events fleet image images image_answers image_import install installs "
    "installs_csv log console inventory_export machine machine_ids machines machines_csv many_results metrics notices "
    "allocations allocation cabling sightings system vlans waves wave clusters inventory_preview methods task",
    "writes rows that no machine is touched by": "adopt enter_sighting bring_back cancel check_up cluster image_again "
    "image_bring_back image_debian image_delete image_import_again image_import_cancel image_import_new image_part "
    "image_retire inventory_forget inventory_import login logout notes notice notice_remove notice_test protection "
    "retire root_disk set_aside set_language sighting sighting_card sighting_dismiss take_back vlan wave_pause "
    "wave_cancel task_note task_cannot allocation_cancel pool pool_remove cabling_move port_move mark_broken repaired "
    "reserve give_free",
    "asks a BMC, and changes nothing there": "bmc_test",
    "asks switches where their ports are": "cabling_read",
    "practice servers are no own hosts, and hold nothing": "practice_remove practice_return",
}  # fmt: skip
HARMLESS_COMMANDS = {
    "reads": "dhcp-config tftp-files doctor messages image images metrics-token bmc machines erasures",
    "seals stored secrets again": "rotate-key",
    "keeps the listed processes, or tests": "up web provision test lab prepare ramdisk import_images poll_power unlock",
    "writes the disks that boots with the write grant export": "copy_images",
    "ends an install": "cancel",
}
# An export is wanted from the boot that has the write grant, which no machine that nobody may touch is given.
HARMLESS_LISTENER = "script file event export log console_log first-boot hello grub grub.cfg pxelinux.cfg boot"


def test_no_page_is_missing():
    known = set(PAGES) | {name for names in HARMLESS_PAGES.values() for name in names.split()}
    found = {r.name for r in permissions.routes("main") if r.name and not r.route.startswith("admin/")}
    assert found - known == set(), "does it begin or go on with an install? Give it a row here, in one of the tables"


def test_no_command_is_missing():
    ours = {name for name, app in get_commands().items() if str(app) in ("dodaiweb", "installs", "machines", "lab")}
    known = set(COMMANDS) | {name for names in HARMLESS_COMMANDS.values() for name in names.split()}
    assert ours - known == set(), "does it begin or go on with an install? Give it a row here, in one of the tables"


def test_no_action_of_the_admin_is_missing():
    ours = {
        str(name if isinstance(name, str) else name.__name__)
        for model, model_admin in admin.site._registry.items()
        if model._meta.app_label in ("machines", "installs")
        for name in model_admin.actions
    }
    assert ours - set(ADMIN_ACTIONS) - set(HARMLESS_ACTIONS) == set()


def test_no_address_of_the_machines_listener_is_missing():
    words = {route.route.strip("^$/").partition("/")[0].partition("(")[0] for route in permissions.routes("provision")}
    assert words - set(MACHINES_OWN) - set(HARMLESS_LISTENER.split()) == set()


# Own hosts.


def test_this_host_knows_itself():
    own = own_hosts.known()
    assert own.macs
    assert "127.0.0.1" not in own.addresses, "the loopback is everybody's"


def test_a_practice_server_is_no_own_host(machine, settings):
    own_by_mac(machine, settings)
    assert own_hosts.why(Machine.objects.get(pk=machine.pk))
    type(machine.site).objects.update(is_practice=True)
    assert not own_hosts.why(Machine.objects.get(pk=machine.pk))


def test_random_machines_are_not_taken_for_own_hosts(db, guarantee):
    tally = guarantee("T31", "A machine that is no host of Dodai's own is not refused as one")
    for number in range(1, rounds(20, 250)):
        with tally.trial():
            assert own_hosts.why(installing.make_machine(f"n{number}", number=number)) == ""


def test_smbios_names_the_host_where_it_may_be_read(machine, tmp_path, monkeypatch):
    (tmp_path / "product_uuid").write_text(machine.uuid.upper() + "\n")
    monkeypatch.setattr(own_hosts, "DMI", tmp_path)
    assert machine.uuid in own_hosts.why(machine)
    (tmp_path / "product_uuid").unlink()
    (tmp_path / "product_serial").write_text("SN1\n")
    assert "SN1" in own_hosts.why(machine)
    (tmp_path / "product_serial").write_text("To Be Filled By O.E.M.\n")
    assert own_hosts.why(machine) == ""


def test_the_bmc_beside_the_host_is_asked_for_its_address(machine, tmp_path, monkeypatch):
    """As `ipmitool lan print` prints it; another program stands in for one that has such a device to ask."""
    program = tmp_path / "ipmitool"
    program.write_text(
        "#!/bin/sh\n[ \"$*\" = '-I open lan print' ] || exit 1\n"
        "printf 'IP Address Source       : Static Address\\nIP Address              : 10.9.9.9\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(own_hosts, "IPMI", program)
    own_hosts._own_bmc.cache_clear()
    try:
        assert own_hosts.why(machine) == ""
        type(machine.bmc).objects.update(host="10.9.9.9")
        assert "10.9.9.9" in own_hosts.why(Machine.objects.get(pk=machine.pk))
    finally:
        own_hosts._own_bmc.cache_clear()


def test_the_refusal_says_which_fact_and_in_the_readers_language(machine, image, boss, settings):
    settings.OWN_HOSTS = ["node1"]
    said = text_of(boss.get(f"/machines/node1/install/?image={image.pk}"))
    assert "node1 is a computer that Dodai itself runs on (node1): nothing is done to it." in said
    with override("ja"), pytest.raises(machine_actions.Refused, match="Dodai 自身"):
        machine_actions.request_power(machine, "off", by="ann")
    assert Disk.objects.exists()
    assert not Event.objects.exists()


def booting(machine: Machine, image: Image) -> tuple[Install, installing.Server]:
    install = scenes.start(machine, image)
    scenes.work()
    return install, scenes.server_of(machine)


def end(install: Install) -> None:
    """It ends without the machine's being switched off."""
    scenes.settle(install)
    assert (install.state, install.granted_at) == ("failed", None)
    assert install.left_behind.startswith("The machine was left as it is.")


def call_watchdog() -> None:
    from installs import sweep

    sweep.sweep()
    turns.take_all()


def plan_digest(machine: Machine, image: Image) -> str:
    from installs import plan

    return plan.for_install(machine, image).digest


def digest_of(machines: list[Machine], image: Image) -> str:
    return many.plans([Machine.objects.get(pk=machine.pk) for machine in machines], image).digest
