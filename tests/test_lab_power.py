"""The running lab, driven as any server is: by ipmitool and by pyghmi's client."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import control
from lab.errors import LabError, NotRunning
from lab.profiles import lab_folder, profiles
from tests.practice_lab import (
    ROOT,
    BootServer,
    RunningLab,
    boot_server,
    dump,
    environment,
    running_lab,
    wait_until,
)

pytestmark = pytest.mark.lab

BOOT_SECONDS = 300  # 6 to 14 s on an idle host


@pytest.fixture(scope="module")
def booted_from() -> Iterator[BootServer]:
    with boot_server() as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, booted_from: BootServer) -> Iterator[RunningLab]:
    with running_lab(tmp_path_factory.mktemp("power"), count=3, ports=booted_from.ports) as lab:
        yield lab


@pytest.fixture(autouse=True)
def all_off(lab: RunningLab) -> None:
    control.ask(lab.data, "stop")
    for profile in lab.profiles:
        assert lab.ipmitool(profile, "chassis", "bootdev", "none").returncode == 0


def test_ipmitool_switches_a_server_on_and_off(lab: RunningLab):
    profile = lab.profiles[0]
    for verb, state in (("on", "on"), ("on", "on"), ("cycle", "on"), ("reset", "on"), ("off", "off"), ("off", "off")):
        assert lab.ipmitool(profile, "chassis", "power", verb).returncode == 0, verb
        assert lab.ipmitool(profile, "chassis", "power", "status").stdout == f"Chassis Power is {state}\n"
        assert lab.machine(profile.name)["power"] == state


def test_a_cycle_starts_another_process_and_a_reset_does_not(lab: RunningLab):
    profile = lab.profiles[0]
    lab.ipmitool(profile, "chassis", "power", "on")
    pids = [lab.machine(profile.name)["pid"]]
    for verb in ("reset", "cycle"):
        lab.ipmitool(profile, "chassis", "power", verb)
        pids.append(lab.machine(profile.name)["pid"])
    assert pids[0] == pids[1] != pids[2]


@pytest.mark.parametrize("verb", ["reset", "cycle", "soft"])
def test_a_server_that_is_off_refuses(lab: RunningLab, verb: str):
    refused = lab.ipmitool(lab.profiles[0], "chassis", "power", verb)
    assert refused.returncode != 0
    assert "not supported in present state" in refused.stderr


def test_a_soft_off_is_only_a_request(lab: RunningLab):
    profile = lab.profiles[0]
    lab.ipmitool(profile, "chassis", "power", "on")
    assert lab.ipmitool(profile, "chassis", "power", "soft").returncode == 0
    assert lab.machine(profile.name)["power"] == "on"  # nothing runs that would act on the button


def test_a_wrong_password_is_refused_at_once(lab: RunningLab):
    refused = lab.ipmitool(lab.profiles[0], "chassis", "power", "on", password="wrong")
    assert refused.returncode != 0
    assert lab.machine("practice-1")["power"] == "off"


def test_an_unknown_user_is_refused(lab: RunningLab):
    refused = lab.ipmitool(replace(lab.profiles[0], bmc_user="root"), "chassis", "power", "status")
    assert refused.returncode != 0


def test_one_servers_password_does_not_open_another(lab: RunningLab):
    first, second, _ = lab.profiles
    assert lab.ipmitool(first, "chassis", "power", "status", password=second.bmc_password).returncode != 0


@pytest.mark.parametrize(
    ("words", "flags", "shown"),
    [
        (("pxe",), "8004000000", {"device": "network", "persistent": False}),
        (("pxe", "options=persistent"), "c004000000", {"device": "network", "persistent": True}),
        (("disk", "options=persistent,efiboot"), "e008000000", {"device": "disk", "persistent": True}),
        (("none",), "0000000000", {"device": "default", "persistent": False}),
    ],
)
def test_the_boot_device_reads_back_as_it_was_set(
    lab: RunningLab, words: tuple[str, ...], flags: str, shown: dict[str, object]
):
    assert lab.ipmitool(lab.profiles[1], "chassis", "bootdev", *words).returncode == 0
    assert f"parameter data: {flags}" in lab.ipmitool(lab.profiles[1], "chassis", "bootparam", "get", "5").stdout
    assert lab.machine("practice-2")["boot_override"] == shown


def test_a_device_that_is_not_there_is_refused(lab: RunningLab):
    refused = lab.ipmitool(lab.profiles[0], "chassis", "bootdev", "cdrom")  # ipmitool's exit status is 0 all the same
    assert "Invalid data field" in refused.stderr
    assert lab.machine("practice-1")["boot_override"]["device"] == "default"


@pytest.mark.parametrize(("persistent", "left"), [(False, "default"), (True, "network")])
def test_a_one_time_boot_device_is_used_up_by_the_boot(lab: RunningLab, persistent: bool, left: str):
    profile = lab.profiles[0]
    lab.ipmitool(profile, "chassis", "bootdev", "pxe", *(["options=persistent"] if persistent else []))
    lab.ipmitool(profile, "chassis", "power", "on")
    assert lab.machine(profile.name)["boot_override"]["device"] == left


def test_a_boot_device_set_while_running_counts_at_the_next_reset(lab: RunningLab, booted_from: BootServer):
    profile = lab.profiles[0]
    booted_from.requests.clear()
    lab.ipmitool(profile, "chassis", "power", "on")
    lab.ipmitool(profile, "chassis", "bootdev", "pxe")
    assert lab.machine(profile.name)["boot_override"]["device"] == "network"
    lab.ipmitool(profile, "chassis", "power", "reset")
    try:
        booted_from.wait_for("/boot.ipxe", seconds=BOOT_SECONDS)
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{dump(lab, profile.name)}") from exc
    wait_until(lambda: lab.machine(profile.name)["boot_override"]["device"] == "default", seconds=60, what="its end")


def test_the_boot_after_a_one_time_one_goes_to_the_disk(lab: RunningLab, booted_from: BootServer):
    profile = lab.profiles[0]
    console = Path(lab.machine(profile.name)["console"])
    lab.ipmitool(profile, "chassis", "bootdev", "pxe")
    for first in ("ROM", "Hard Disk"):
        before = console.stat().st_size if console.exists() else 0
        lab.ipmitool(profile, "chassis", "power", "reset" if first == "Hard Disk" else "on")
        tried = wait_until(
            lambda before=before: re.search(rb"Booting from ([\w ]+)", console.read_bytes()[before:]),
            seconds=BOOT_SECONDS, what="a boot",
        )  # fmt: skip
        assert tried[1].decode() == first


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_firmware_asks_for_its_boot_script(lab: RunningLab, booted_from: BootServer, number: int):
    profile = lab.profiles[number]
    booted_from.requests.clear()
    if profile.boot_order == "disk":
        lab.ipmitool(profile, "chassis", "bootdev", "pxe")
    lab.ipmitool(profile, "chassis", "power", "on")
    try:
        request = booted_from.wait_for("/boot.ipxe", seconds=BOOT_SECONDS)
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{dump(lab, profile.name)}") from exc
    assert request.agent.startswith("iPXE/")
    assert request.port == booted_from.ports[0]
    if profile.native_pxe and lab.machine(profile.name)["native_pxe"]:
        console = Path(lab.machine(profile.name)["console"]).read_text(errors="replace")
        assert "NBP filename is snponly.efi" in console


def test_pyghmis_own_client_works(lab: RunningLab):
    profile = lab.profiles[1]
    program = """
import os, sys
from pyghmi.ipmi.command import Command
bmc = Command(bmc=sys.argv[1], port=int(sys.argv[2]), userid=sys.argv[3].encode(), password=os.environb[b"SECRET"])
print(bmc.get_power()["powerstate"], bmc.set_bootdev("network", persist=True)["bootdev"], bmc.get_bootdev())
print(bmc.set_power("on", wait=20), bmc.get_power()["powerstate"], bmc.set_power("off", wait=20))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, profile.bmc_host, str(profile.bmc_port), profile.bmc_user],
        env=os.environ | {"SECRET": profile.bmc_password},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "off network {'bootdev': 'network', 'persistent': True, 'uefimode': False}"
    assert second == "{'powerstate': 'on'} on {'powerstate': 'off'}"


def test_noise_on_the_bmcs_port_harms_nothing(lab: RunningLab):
    profile = lab.profiles[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for packet in (b"", b"x", os.urandom(3000), b"\x06\0\xff\x07" + bytes(60), b"\x06\0\xff\x07\x06\x10" + bytes(9),
                       b"\x06\0\xff\x07\x06\x12" + bytes(40), b"\x06\0\xff\x07\x06\xc0" + b"\1" * 60):  # fmt: skip
            noise.sendto(packet, (profile.bmc_host, profile.bmc_port))
    assert lab.ipmitool(profile, "chassis", "power", "status").returncode == 0


def test_status_names_machines_and_tells_no_password(lab: RunningLab):
    done = run_command(lab.data, "status", "--json")
    assert [machine["name"] for machine in lab.status()["machines"]] == ["practice-1", "practice-2", "practice-3"]
    assert "practice-3" in done.stdout
    for profile in lab.profiles:
        assert profile.bmc_password not in done.stdout + lab.output.read_text()


def test_start_and_stop_by_name(lab: RunningLab):
    assert "practice-2   on" in run_command(lab.data, "start", "practice-2").stdout
    assert "practice-2   off" in run_command(lab.data, "stop", "practice-2").stdout
    with pytest.raises(LabError, match="no practice server is called 'nobody'"):
        control.ask(lab.data, "start", name="nobody")


def test_a_second_lab_on_the_same_folder_is_refused(lab: RunningLab):
    done = run_command(lab.data, "run", "--count", "1")
    assert done.returncode == 1
    assert "a lab runs already" in done.stderr


def test_without_a_lab_the_command_says_how_to_start_one(tmp_path: Path):
    profiles(1, tmp_path)
    done = run_command(tmp_path, "status")
    assert done.returncode == 1
    assert "manage.py up" in done.stderr
    with pytest.raises(NotRunning):
        control.ask(tmp_path, "status")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_the_lab_ends(tmp_path: Path, number: signal.Signals):
    with boot_server() as server, running_lab(tmp_path, count=3, ports=server.ports) as lab:
        control.ask(lab.data, "start")
        namespaces = {_network_namespace(pid) for pid in lab.processes()} - {_network_namespace(os.getpid()), None}
        assert bool(namespaces) == lab.machine("practice-3")["native_pxe"]
        assert len(lab.processes()) >= 3
        lab.stop(number)
        wait_until(lambda: not lab.processes(), seconds=60, what="the end of all its processes")
        wait_until(lambda: not namespaces & _network_namespaces(), seconds=60, what="the end of its namespace")
        if number != signal.SIGKILL:
            assert lab.process.returncode == 0
            assert not (lab_folder(lab.data) / "control.sock").exists()


def test_a_killed_lab_starts_again(tmp_path: Path, booted_from: BootServer):
    with running_lab(tmp_path, count=1, ports=booted_from.ports) as lab:
        control.ask(lab.data, "start")
        lab.stop(signal.SIGKILL)
    with running_lab(tmp_path, count=1, ports=booted_from.ports) as again:
        assert "practice-1   on" in run_command(again.data, "start").stdout


def test_a_taken_bmc_port_is_named_and_the_others_work(tmp_path: Path, booted_from: BootServer):
    first, second = profiles(2, tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.bind((first.bmc_host, first.bmc_port))
        with running_lab(tmp_path, count=2, ports=booted_from.ports) as lab:
            assert f"{first.bmc_port}" in lab.machine("practice-1")["problem"]
            assert lab.ipmitool(second, "chassis", "power", "status").returncode == 0


def run_command(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "django", "lab", *words],
        cwd=ROOT, env=environment(data), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _network_namespaces() -> set[str | None]:
    """Those that some process is in, as far as we may see."""
    return {_network_namespace(int(process.name)) for process in Path("/proc").iterdir() if process.name.isdigit()}


def _network_namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it has ended, or is not ours to see
        return None


def test_a_server_that_went_off_by_itself_takes_its_next_boot_device(lab: RunningLab):
    profile = lab.profiles[0]
    lab.ipmitool(profile, "chassis", "power", "on")
    os.kill(lab.machine(profile.name)["pid"], signal.SIGKILL)
    wait_until(lambda: lab.machine(profile.name)["power"] == "off", seconds=60, what="its end")
    assert lab.ipmitool(profile, "-N", "7", "-R", "1", "chassis", "bootdev", "pxe").returncode == 0
    assert lab.ipmitool(profile, "chassis", "power", "on").returncode == 0
    assert lab.machine(profile.name)["power"] == "on"
