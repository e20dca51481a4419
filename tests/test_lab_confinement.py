"""A practice server reaches Dodai's two ports and nothing else, on either of the lab's networks."""

import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from installs import ramdisk
from lab.profiles import SERVER_ADDRESS, Profile, guest_urls
from tests.practice_lab import BootServer, RunningLab, Tripwire, boot_server, dump, running_lab, wait_until

pytestmark = pytest.mark.lab

BOOT_SECONDS = 400  # 20 to 30 s on an idle host

# Runs in the guest, as root: it may also set routes and addresses as it likes.
PROBE = """\
set -u
interface=$(ip -o route show | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1)
for gateway in 10.0.2.2 {server}; do ip route add default via $gateway metric ${{gateway##*.}}; done
ip -6 route add default via fe80::2 dev "$interface"
report() {{ name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name reached"; else echo "$name refused"; fi; }}
web() {{ curl --silent --fail --max-time 5 "$1"; }}
{{
report provision web {provision}/hello
report image web {image}/hello
for address in {server} 10.0.2.2 10.0.2.3 127.0.0.1 {host} '[fec0::2]' "[fe80::2%25$interface]" '[fd00:d0da:1ab::1]'
do
    report "$address" web "http://$address:{tripwire}/"
    plain=${{address#[}}
    plain=${{plain%]}}
    echo knock >"/dev/udp/${{plain/\\%25/%}}/{tripwire}" 2>/dev/null
done
report 10.0.2.2:provision web http://10.0.2.2:{provision_port}/hello
report ssh bash -c 'exec 3<>/dev/tcp/10.0.2.2/22'
report name-server bash -c 'exec 3<>/dev/tcp/10.0.2.3/53'
report ping ping -c 1 -W 2 {host}
}} >/run/report
curl --silent --data-binary @/run/report {provision}/report
"""


@pytest.fixture(scope="module")
def booted_from() -> Iterator[BootServer]:
    with boot_server() as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, booted_from: BootServer) -> Iterator[RunningLab]:
    with running_lab(tmp_path_factory.mktemp("confined"), count=3, ports=booted_from.ports) as lab:
        yield lab


@pytest.fixture
def tripwire() -> Iterator[Tripwire]:
    wire = Tripwire()
    yield wire
    wire.close()


def test_the_tripwire_sees_who_comes(tripwire: Tripwire):
    for address in ("127.0.0.1", "::1"):
        socket.create_connection((address, tripwire.port), timeout=30).close()
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"knock", (address, tripwire.port))
    wait_until(lambda: len(tripwire.touched) == 4, seconds=60, what="four touches")


def test_a_guest_without_root_reaches_two_ports_only(lab: RunningLab, booted_from: BootServer, tripwire: Tripwire):
    assert_confined(lab, lab.profiles[0], booted_from, tripwire)


@pytest.mark.skipif(os.geteuid() != 0, reason="the network for the firmware's own PXE needs root")
def test_a_guest_that_boots_by_native_pxe_reaches_two_ports_only(
    lab: RunningLab, booted_from: BootServer, tripwire: Tripwire
):
    if not lab.machine("practice-3")["native_pxe"]:
        pytest.skip(lab.status()["native_pxe"]["reason"])
    assert_confined(lab, lab.profiles[2], booted_from, tripwire)


def assert_confined(lab: RunningLab, profile: Profile, booted_from: BootServer, tripwire: Tripwire) -> None:
    booted_from.requests.clear()
    _serve_probe(booted_from, profile, tripwire.port)
    assert lab.ipmitool(profile, "chassis", "bootdev", "pxe").returncode == 0
    assert lab.ipmitool(profile, "chassis", "power", "on").returncode == 0
    try:
        report = booted_from.wait_for("/report", method="POST", seconds=BOOT_SECONDS).body
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{dump(lab, profile.name)}") from exc
    finally:
        lab.ipmitool(profile, "chassis", "power", "off")
    answers = dict(line.rsplit(" ", 1) for line in report.splitlines())
    assert {name for name, answer in answers.items() if answer == "reached"} == {"provision", "image"}, report
    assert len(answers) == 14, report
    assert tripwire.touched == []
    assert {request.port for request in booted_from.requests if request.path == "/hello"} == set(booted_from.ports)


def _serve_probe(server: BootServer, profile: Profile, tripwire: int) -> None:
    built = ramdisk.build("lab", Path(settings.DATA), print)
    provision, image = guest_urls(*server.ports)
    server.files = {"/vmlinuz": built.kernel, "/initrd": built.initrd}
    server.texts["/hello"] = "hello\n"
    server.texts["/report"] = "thanks\n"
    server.texts["/script"] = PROBE.format(
        server=SERVER_ADDRESS, provision=provision, image=image, host=_host_address(), tripwire=tripwire,
        provision_port=server.ports[0],
    )  # fmt: skip
    server.boot = (
        f"#!ipxe\nkernel {image}/vmlinuz initrd=initrd no_timer_check console=ttyS0 panic=5 "
        f"dodai_script={provision}/script\n"
        f"initrd --name initrd {image}/initrd\nboot\n"
    )


def _host_address() -> str:
    """An address of this host that is not loopback, where it has one."""
    words = subprocess.run(["ip", "-4", "-o", "address"], capture_output=True, text=True, check=True).stdout.split()
    addresses = [after.split("/")[0] for word, after in itertools.pairwise(words) if word == "inet"]
    return next((address for address in addresses if not address.startswith("127.")), "127.0.0.2")
