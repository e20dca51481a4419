"""Boot answers: the ramdisk for a live install, the machine's own disk for everything else."""

import pytest

from installs import tokens
from installs.models import Boot, Event
from machines.models import Interface, LocalBoot, MachineType, Sighting
from tests import installing

pytestmark = pytest.mark.django_db


def is_local(answer: str) -> bool:
    return "dodai_script" not in answer and "kernel" not in answer and "linux" not in answer


def test_who_asks_is_asked_for_first(client):
    answer = client.get("/boot.ipxe").content.decode()
    assert "mac=${netX/mac:hexhyp}" in answer
    assert "--timeout" in answer, "a Dodai that hangs is not waited for"
    assert "sanboot" in answer, "an iPXE that cannot ask goes to the disk"


def test_nothing_is_ever_where_the_loader_looks_for_who_answers_all(client):
    """Who says yes to everything is not Dodai, and is not asked any further."""
    assert "imgfetch --name other --timeout 5000 never && goto disk" in client.get("/boot.ipxe").content.decode()
    assert client.get("/never").status_code == 404


@pytest.mark.parametrize("spelling", ["52:54:00:00:00:01", "52-54-00-00-00-01", "525400000001", "01-52-54-00-00-00-01"])
def test_a_live_install_boots_the_ramdisk_whatever_the_spelling(client, machine, steps, spelling):
    installing.start(machine)
    steps()
    answer = client.get("/boot.ipxe", {"mac": spelling.upper()}).content.decode()
    assert "/ramdisk/lab-0123456789ab/vmlinuz" in answer
    assert "BOOTIF=01-52-54-00-00-00-01" in answer


def test_all_loaders_get_the_same_answer(client, machine, steps):
    installing.start(machine)
    steps()
    pxelinux = client.get("/pxelinux.cfg/01-52-54-00-00-00-01").content.decode()
    grub = client.get("/grub/52:54:00:00:00:01").content.decode()
    assert "APPEND console=" in pxelinux
    assert "linux (http,10.0.0.2:8002)/ramdisk/" in grub
    assert all("dodai_script=http://10.0.0.2:8001/script/" in answer for answer in (pxelinux, grub))


def test_before_during_and_after_an_install(server, machine, steps):
    assert is_local(server.ask_boot())
    installing.start(machine)
    assert is_local(server.ask_boot()), "queued: nothing may boot yet"
    steps()
    assert not is_local(server.ask_boot())
    server.boot()
    server.say("install")
    assert is_local(server.ask_boot()), "the installer runs: a forgotten boot order must end on the disk"


def test_the_ramdisk_may_be_booted_again_until_it_spoke(server, machine, steps):
    installing.start(machine)
    steps()
    assert server.boot()
    assert server.boot()
    assert Boot.objects.count() == 2


def test_an_unknown_machine_is_noted_and_sent_to_its_disk(client):
    for _ in range(2):
        answer = client.get(
            "/boot.ipxe", {"mac": "52:54:00:99:99:99", "serial": "X1", "platform": "efi"}
        ).content.decode()
        assert is_local(answer)
    sighting = Sighting.objects.get()
    assert (sighting.mac, sighting.count, sighting.serial, sighting.platform) == ("52:54:00:99:99:99", 2, "X1", "efi")


@pytest.mark.parametrize(
    "mac", ["", "x", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "52:54:00:00:00:01;reboot", "é" * 300]
)
def test_what_is_no_mac_is_sent_to_its_disk(client, mac):
    response = client.get("/boot.ipxe", {"mac": mac})
    assert response.status_code == 200
    assert is_local(response.content.decode())
    assert not Sighting.objects.exists()


def test_a_second_card_of_the_machine_is_sent_to_the_disk(client, machine, steps):
    Interface.objects.create(machine=machine, mac="52:54:00:00:00:77")
    installing.start(machine)
    steps()
    assert is_local(client.get("/boot.ipxe", {"mac": "52:54:00:00:00:77"}).content.decode())


@pytest.mark.parametrize(
    ("local_boot", "line"),
    [
        (LocalBoot.AUTO, "iseq ${platform} efi && exit 1 ||"),
        (LocalBoot.EXIT, "\nexit\n"),
        (LocalBoot.EXIT_1, "\nexit 1\n"),
        (LocalBoot.SANBOOT, "sanboot"),
    ],
)
def test_how_a_type_of_machine_goes_to_its_disk(server, machine, local_boot, line):
    machine.type = MachineType.objects.create(name="odd", local_boot=local_boot)
    machine.save()
    assert line in server.ask_boot()


def test_a_boot_token_serves_one_kernel_only(machine, steps):
    installing.start(machine)
    steps()
    server = installing.Server(machine)
    token = server.ask_boot().partition("/script/")[2].split()[0]
    assert server.fetch_script(token, "11111111-1111-4111-8111-111111111111")
    assert server.fetch_script(token, "11111111-1111-4111-8111-111111111111"), "the same kernel may repeat itself"
    assert not server.fetch_script(token, "22222222-2222-4222-8222-222222222222")
    assert Event.objects.filter(kind=Event.Kind.ALERT, name="second-claimant").exists()


def test_a_boot_token_gives_nothing_but_the_script(server, machine, steps):
    installing.start(machine)
    steps()
    server.token = server.ask_boot().partition("/script/")[2].split()[0]
    server.say("install", status=404)
    server.ask_grant(status=404)
    assert server.client.post(f"/first-boot/{server.token}").status_code == 404


def test_tokens_are_stored_as_hashes_only(server, machine, steps):
    installing.start(machine)
    steps()
    token = server.ask_boot().partition("/script/")[2].split()[0]
    assert len(token) == 43
    assert Boot.objects.get().token_hash == tokens.digest(token) != token


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/admin/",
        "/machines/",
        "/events/",
        "/login/",
        "/static/css/dodai.css",
        "/script/x",
        "/event/install",
        "/first-boot/x",
    ],
)
def test_nothing_else_answers_on_the_provisioning_listener(client, path):
    response = client.get(path)
    assert (response.status_code, response.content) == (404, b"not found\n")
    assert not response.cookies


def test_a_body_that_is_too_large_is_refused(client):
    response = client.post("/event/log", b"x" * (300 << 10), "text/plain")
    assert response.status_code == 413


def test_another_machines_token_speaks_for_that_machine_only(machine, steps):
    """Machine B with A's token is A to us; it can never move B's install."""
    other = installing.make_machine("node2", number=2)
    first, second = installing.start(machine), installing.start(other)
    steps()
    a, b = installing.Server(machine), installing.Server(other)
    a.boot()
    b.boot()
    b.token = a.token
    b.say("install")
    assert first.events.filter(name="install").exists()
    assert not second.events.filter(name="install").exists()


def test_logs_are_capped(server, machine, steps, monkeypatch):
    monkeypatch.setattr("installs.machine_words.LOG_LIMIT_BYTES", 10)
    install = installing.start(machine)
    steps()
    server.boot()
    headers = {"Authorization": f"Bearer {server.token}"}
    for _ in range(3):
        assert server.client.post("/event/log", b"12345678", "text/plain", headers=headers).status_code == 200
    assert "".join(install.log.values_list("text", flat=True)) == "1234567812"
