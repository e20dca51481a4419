"""The method iscsi: its way to `installed`, who is told which secret, and where Dodai would connect to.

What writes here is a stand-in; with tgtd and qemu-img it is tested in tests/guarantees/test_iscsi.py.
"""

import shlex
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.utils.timezone import now

from installs import flow, plan, sweep
from installs.images.intake import ImageProblem, add_image
from installs.iscsi import copying, portals, tools, writer
from installs.models import Event, Install
from installs.ramdisk import RamdiskError
from machines.models import Site
from tests import disk_files, installing
from tests.disk_files import MIB
from tests.iscsi_machines import granted

SIZE = 12 * MIB


@pytest.fixture
def image(settings, tmp_path, db):
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    (tmp_path / "disk.raw.gz").write_bytes(disk_files.packed(disk_files.gpt(), "raw.gz"))
    return add_image(tmp_path / "disk.raw.gz", name="disk", method="iscsi")


@pytest.fixture
def install(machine, image, server, steps) -> Install:
    """Its ramdisk has the grant and waits for its turn."""
    Site.objects.update(is_practice=True)
    machine.bmc.host, machine.bmc.port = "127.0.0.1", 26230
    machine.bmc.save()
    asked = installing.start(machine, image)
    steps()
    granted(server)
    return asked


@pytest.fixture
def written(monkeypatch) -> list[SimpleNamespace]:
    """What was written where, by who stands in for qemu-img."""
    done: list[SimpleNamespace] = []

    def write(source, target, told, **program) -> None:
        told(0.5)
        done.append(SimpleNamespace(bytes=source.read_bytes(), target=target))

    monkeypatch.setattr(writer, "write", write)
    monkeypatch.setattr(tools, "found", lambda data: tools.Program(("qemu-img",), {}))
    return done


def ask(server: installing.Server, copy: int = 0, *, status: int = 200) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = server.client.post("/export", {"copy": copy, "zeros": True}, "application/json", headers=headers)
    assert answer.status_code == status, answer.content
    lines = [line.partition("=") for line in answer.content.decode().splitlines() if "=" in line]
    return {name: "".join(shlex.split(value)) for name, _, value in lines}


def claimed() -> copying.Claim:
    claim = copying._claim()
    assert claim
    return claim


def test_it_goes_by_its_steps_to_installed(install, server, steps, written):
    assert ask(server) == {"DODAI_COPIED": "no", "DODAI_COPY": "0"}
    claim = claimed()
    told = ask(server)
    copy = claim.install.fence
    assert (told["DODAI_COPY"], told["DODAI_EXPORT_PORTAL"]) == (str(copy), "0.0.0.0:26230")
    ask(server, copy)
    copying._carry_out(claim)
    (one,) = written
    assert one.bytes == disk_files.gpt()
    assert (one.target.address, one.target.port, one.target.holds_zeros) == ("127.0.0.1", 26230, True)
    assert (one.target.secret, one.target.name) == (told["DODAI_EXPORT_SECRET"], told["DODAI_EXPORT_TARGET"])
    assert ask(server, copy) == {"DODAI_COPIED": "yes", "DODAI_COPY": "0"}
    assert copying._claim() is None
    for phase in ("verify", "grow", "bootloader", "configure"):
        assert server.say("progress", {"phase": phase, "done_bytes": 0, "total_bytes": 0}) == "applied"
    words = server.ask_grant()
    assert server.say("install_reboot") == "applied"
    steps()
    assert server.finish_first_boot(words) == "applied"
    install.refresh_from_db()
    assert (install.state, install.method) == ("installed", "iscsi")
    assert list(install.events.filter(kind=Event.Kind.PHASE).values_list("name", flat=True)) == [
        "clear", "turn", "write", "verify", "grow", "bootloader", "configure",
    ]  # fmt: skip


def test_each_copy_has_a_secret_and_a_target_of_its_own(install, server):
    seen = []
    for _ in range(3):
        claimed()
        told = ask(server)
        assert told == ask(server)
        seen.append((told["DODAI_EXPORT_SECRET"], told["DODAI_EXPORT_TARGET"]))
        Install.objects.update(lease_until=None)
    assert len({secret for secret, _ in seen}) == len({target for _, target in seen}) == 3


def test_a_claim_that_was_taken_over_stores_nothing(install, server, written):
    first = claimed()
    ask(server, first.install.fence)
    Install.objects.update(lease_until=None)
    second = claimed()
    copying._copy(first)
    assert written == []
    install.refresh_from_db()
    assert (install.state, install.fence, install.owner) == ("waiting", second.install.fence, second.install.owner)


def test_without_a_claim_nothing_is_to_be_exported(install, server):
    claimed()
    assert ask(server)["DODAI_COPY"] != "0"
    Install.objects.update(owner="", lease_until=None)
    assert ask(server) == {"DODAI_COPIED": "no", "DODAI_COPY": "0"}


def test_who_has_no_grant_is_told_nothing(machine, image, server, steps):
    installing.start(machine, image)
    steps()
    assert server.boot()
    server.say("install")
    ask(server, status=410)
    assert copying._claim() is None


def test_another_boot_is_told_nothing(machine, image, server, steps):
    installing.start(machine, image)
    steps()
    second = installing.Server(machine)
    assert second.boot()
    granted(server)
    claimed()
    ask(second, status=410)


@pytest.mark.parametrize("body", ["[]", "{", '"x"', "[" * 5000])
def test_what_is_no_object_is_refused(install, server, body):
    headers = {"Authorization": f"Bearer {server.token}"}
    assert server.client.post("/export", body, "application/json", headers=headers).status_code == 400


def test_methods_that_write_by_themselves_export_nothing(machine, server, steps):
    installing.start(machine)
    steps()
    assert server.boot()
    server.say("install")
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    ask(server, status=404)


def test_after_so_many_beginnings_it_is_given_up(install):
    for _ in range(copying.MOST_COPIES):
        claimed()
        Install.objects.update(lease_until=None)
    assert copying._claim() is None
    install.refresh_from_db()
    assert (install.state, install.cause) == ("stopping", "iscsi")


def test_who_waits_for_its_turn_has_a_deadline_and_its_copy_another(install):
    install.refresh_from_db()
    assert install.deadline and install.give_up_at
    until = install.give_up_at
    claimed()
    install.refresh_from_db()
    assert now() < install.give_up_at < until
    Install.objects.update(give_up_at=now(), quiet_until=None, owner="", lease_until=None)
    sweep.sweep()
    install.refresh_from_db()
    assert (install.state, install.cause) == ("stopping", "silent")


def test_a_worker_leaves_the_copy_alone(install):
    claim = claimed()
    assert not flow.run_due()
    install.refresh_from_db()
    assert (install.owner, install.state) == (claim.install.owner, "waiting")


# --- where Dodai connects to


@pytest.fixture
def real(install) -> Callable[..., tuple[str, int]]:
    """Where the portal of a machine that is no practice server is, given where its ramdisk called from."""
    Site.objects.update(is_practice=False)

    def portal(called_from: str | None, *, booted_from: str | None = "10.0.0.77", card: str = "") -> tuple[str, int]:
        install.boots.update(address=booted_from)
        install.machine.interfaces.update(address=card)
        return portals.of(Install.objects.get(pk=install.pk), called_from)

    return portal


@pytest.mark.parametrize("options", [
    {"called_from": "10.0.0.77"}, {"called_from": "10.0.0.200"}, {"called_from": "fd00::5", "booted_from": "fd00::77"},
    {"called_from": "10.9.1.2", "booted_from": None, "card": "10.9.0.7/16"},
])  # fmt: skip
def test_a_machine_is_reached_where_it_is_known_to_be(real, options):
    assert real(**options) == (options["called_from"], 3260)


@pytest.mark.parametrize("options", [
    {"called_from": None}, {"called_from": "127.0.0.1", "booted_from": "127.0.0.1"},
    {"called_from": "169.254.169.254", "booted_from": "169.254.169.254"},
    {"called_from": "::ffff:127.0.0.1", "booted_from": "::1"}, {"called_from": "224.0.0.1"}, {"called_from": "0.0.0.0"},
    {"called_from": "10.0.1.5"}, {"called_from": "8.8.8.8"}, {"called_from": "fd00::1"},
])  # fmt: skip
def test_nowhere_else(real, options):
    with pytest.raises(writer.CannotWrite) as refused:
        real(**options)
    assert refused.value.cause == "address"


def test_what_a_listener_on_both_kinds_calls_an_ipv4_address_is_one(real):
    """Else all of them would be neighbours: one /64 of IPv6 holds them."""
    assert real("::ffff:10.0.0.78", booted_from="::ffff:10.0.0.77") == ("10.0.0.78", 3260)
    with pytest.raises(writer.CannotWrite):
        real("::ffff:10.0.1.5", booted_from="::ffff:10.0.0.77")


@pytest.mark.parametrize(("called_from", "portal"), [
    ("10.0.0.77", "10.0.0.77:3260"), ("::ffff:10.0.0.77", "10.0.0.77:3260"), ("fd00::5", "[fd00::5]:3260"),
])  # fmt: skip
def test_the_disk_is_exported_in_no_other_network_than_that_which_dodai_comes_by(install, called_from, portal):
    assert portals.listening_at(install, called_from) == "0.0.0.0:26230", "a practice server"
    Site.objects.update(is_practice=False)
    assert portals.listening_at(Install.objects.get(pk=install.pk), called_from) == portal


def test_the_networks_of_the_setting_are_the_only_ones(real, settings):
    from ipaddress import ip_network

    settings.ISCSI_NETWORKS = [ip_network("10.4.0.0/16")]
    assert real("10.4.200.1") == ("10.4.200.1", 3260)
    with pytest.raises(writer.CannotWrite):
        real("10.0.0.77")


def test_an_own_host_is_never_reached(real, settings):
    settings.OWN_HOSTS = ["10.0.0.77"]
    with pytest.raises(writer.CannotWrite):
        real("10.0.0.77")


# --- its plan and its image


def test_the_plan_warns_of_the_firewall(machine, image):
    made = plan.for_install(machine, image)
    assert made.is_possible and "port 3260 of node1" in " ".join(made.warnings)


def test_the_script_exports_nothing_before_the_grant(machine, image):
    script = plan.METHODS["iscsi"].script(plan.for_install(machine, image).frozen)
    lines = script.splitlines()
    order = [lines.index(each) for each in ("ask_grant", "run_worker no_bytes 0 clear_disk", "export_disk")]
    assert order == sorted(order)


def test_only_a_method_that_fits_may_be_named(image, tmp_path):
    with pytest.raises(ImageProblem, match="'file-tree' does not install; disk-image, iscsi does"):
        add_image(tmp_path / "disk.raw.gz", name="other", method="file-tree")
    assert add_image(tmp_path / "disk.raw.gz", name="other").method == "disk-image"


def test_without_a_qemu_that_speaks_iscsi_it_ends_and_says_what_to_install(install, monkeypatch):
    def fetch(data, say):
        raise RamdiskError("Debian's packages cannot be reached.")

    monkeypatch.setattr(tools, "found", lambda data: None)
    monkeypatch.setattr(tools, "fetch", fetch)
    copying.Copier(lambda text: None).turn()
    install.refresh_from_db()
    assert (install.state, install.cause) == ("stopping", "no-qemu")
    assert "qemu-block-extra" in install.error


def test_a_qemu_of_this_computer_is_known_by_its_module(tmp_path):
    module = tmp_path / tools.OWN[0]
    module.parent.mkdir(parents=True)
    assert tools.found(tmp_path / "data", root=tmp_path) is None
    module.touch()
    found = tools.found(tmp_path / "data", root=tmp_path)
    assert found and len(found.command) == 1
