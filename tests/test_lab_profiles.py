import json
import re
import stat
from pathlib import Path

import pytest

from lab import needs, qemu
from lab.console import KEEP_BYTES, TRIM_BYTES, CappedLog, tail
from lab.profiles import ExtraDisk, Profile, folder, give_disks, guest_urls, profiles

TCG = {"accelerator": "tcg", "monitor_fd": 7, "console_fd": 8}


def command_of(profile: Profile, data: Path, **changes: object) -> str:
    cable = qemu.confined_cable(profile, qemu.Ports(8001, 8002))
    return " ".join(qemu.command(profile, data, **{"cable": cable, "first": "disk", **TCG, **changes}))


def test_the_same_folder_gives_the_same_servers(tmp_path: Path):
    assert profiles(5, tmp_path) == profiles(5, tmp_path)
    assert profiles(5, tmp_path)[:3] == profiles(3, tmp_path)


def test_two_folders_share_no_address_and_no_password(tmp_path: Path):
    first, second = profiles(5, tmp_path / "a"), profiles(5, tmp_path / "b")
    for name in ("mac", "serial", "uuid", "disk_serial", "bmc_password"):
        values = [getattr(profile, name) for profile in first + second]
        assert len(set(values)) == len(values), name


def test_servers_of_one_folder_have_ports_of_their_own(tmp_path: Path):
    ports = [profile.bmc_port for profile in profiles(20, tmp_path)]
    assert len(set(ports)) == 20
    assert all(1024 < port < 32768 for port in ports)


def test_kinds_come_round_in_their_order(tmp_path: Path):
    kinds = [(p.firmware, p.disk_bus, p.boot_order, p.native_pxe, p.chipset) for p in profiles(6, tmp_path)]
    assert kinds == [
        ("bios", "virtio", "disk", False, "pc"),
        ("uefi", "nvme", "disk", False, "q35"),
        ("uefi", "virtio", "network", True, "q35"),
        ("bios", "ahci", "disk", False, "q35"),
        ("uefi", "ahci", "disk", False, "q35"),
        ("bios", "virtio", "disk", False, "pc"),
    ]


def test_names_fit_where_they_go(tmp_path: Path):
    for profile in profiles(12, tmp_path):
        assert re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", profile.mac)
        assert len(profile.disk_serial) <= 20
        assert len(profile.bmc_password) <= 20
        assert profile.serial.startswith("LAB-")


def test_passwords_are_kept_private_and_out_of_the_repr(tmp_path: Path):
    [profile] = profiles(1, tmp_path)
    kept = tmp_path / "lab" / "fleet.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())["guests"]["practice-1"]["bmc_password"] == profile.bmc_password
    assert profile.bmc_password not in repr(profile)


def test_guests_see_dodai_at_one_address_on_both_networks() -> None:
    assert guest_urls(8001, 8002) == ("http://10.0.2.100:8001", "http://10.0.2.100:8002")


@pytest.mark.parametrize(("first", "nic"), [("network", 1), ("disk", 3)])
def test_the_boot_order_is_the_cards_place_around_the_disk(tmp_path: Path, first: str, nic: int):
    [profile] = profiles(1, tmp_path)
    command = command_of(profile, tmp_path, first=first)
    assert f"mac={profile.mac},bootindex={nic}" in command
    assert f"serial={profile.disk_serial},bootindex=2" in command


def test_each_kind_has_its_disk_and_firmware(tmp_path: Path):
    commands = [command_of(profile, tmp_path) for profile in profiles(5, tmp_path)]
    for command, device in zip(commands, ("virtio-blk-pci", "nvme", "virtio-blk-pci", "ide-hd", "ide-hd"), strict=True):
        assert f"-device {device}," in command
    assert [str(needs.OVMF_CODE) in command for command in commands] == [False, True, True, False, True]


def test_no_password_is_on_the_command_line(tmp_path: Path):
    for profile in profiles(5, tmp_path):
        assert profile.bmc_password not in command_of(profile, tmp_path)


def test_a_guest_without_root_is_cut_off_but_for_two_ports(tmp_path: Path):
    [profile] = profiles(1, tmp_path)
    cable = qemu.confined_cable(profile, qemu.Ports(8001, 8002))
    assert "restrict=on" in cable.netdev
    assert re.findall(r"guestfwd=tcp:([^-]+)-cmd:\S+ - TCP:([^,]+)", cable.netdev) == [
        ("10.0.2.100:8001", "127.0.0.1:8001"),
        ("10.0.2.100:8002", "127.0.0.1:8002"),
    ]


def test_a_folder_with_a_comma_does_not_end_an_option(tmp_path: Path):
    [profile] = profiles(1, tmp_path)
    assert f"file={tmp_path}/a,,b/lab/practice-1/disk.qcow2" in command_of(profile, tmp_path / "a,b")


def test_native_pxe_goes_without_the_rom(tmp_path: Path):
    [profile] = profiles(1, tmp_path)
    assert ",romfile=" in command_of(profile, tmp_path, cable=qemu.Cable("tap,id=net0", ipxe_rom=False))


def test_files_are_made_once(tmp_path: Path):
    profile = profiles(2, tmp_path)[1]
    qemu.make_files(profile, tmp_path)
    (folder(profile, tmp_path) / "vars.fd").write_bytes(b"what the OS has set")
    qemu.make_files(profile, tmp_path)
    assert (folder(profile, tmp_path) / "vars.fd").read_bytes() == b"what the OS has set"
    assert {path.name for path in folder(profile, tmp_path).iterdir()} == {"disk.qcow2", "vars.fd"}


def test_a_console_that_never_stops_keeps_its_last_mebibyte(tmp_path: Path):
    console = CappedLog(tmp_path / "console.log")
    for number in range(100_000):
        console.write(f"line {number:06} {'x' * 40}\n".encode())
    console.close()
    kept = console.path.read_bytes()
    assert KEEP_BYTES - 100 <= len(kept) <= TRIM_BYTES + 100
    assert kept.endswith(b"line 099999 " + b"x" * 40 + b"\n")
    assert kept.startswith(b"line ")
    assert list(tmp_path.iterdir()) == [console.path]


def test_the_tail_of_a_console_that_is_not_there_is_empty(tmp_path: Path):
    assert tail(tmp_path / "console.log", 10) == b""


EXTRA = [
    ExtraDisk("stick", "STICK", "usb"), ExtraDisk("one", "SSD", "ahci"), ExtraDisk("two", "SSD", "ahci"),
    ExtraDisk("fast", "FAST", "nvme"),
]  # fmt: skip


def test_further_disks_are_kept_and_stand_where_they_were_put(tmp_path: Path):
    give_disks("practice-1", tmp_path, EXTRA, extra_first=3)
    [profile] = profiles(1, tmp_path)
    assert (profile.extra_disks, profile.chipset) == (tuple(EXTRA), "q35")
    serials = re.findall(
        r"serial=([\w-]+)(?:,bootindex=\d)?(?= |$)", command_of(profile, tmp_path).partition("nic0")[2]
    )
    assert serials == ["STICK", "SSD", "SSD", profile.disk_serial, "FAST"]
    assert re.findall(r"bus=(ide\.\d|usb\.0)", command_of(profile, tmp_path)) == ["usb.0", "ide.0", "ide.1"]


def test_the_bytes_of_a_further_disk_are_whoever_put_them_there(tmp_path: Path):
    give_disks("practice-1", tmp_path, EXTRA[:2])
    [profile] = profiles(1, tmp_path)
    home = folder(profile, tmp_path)
    home.mkdir()
    (home / "stick.raw").write_bytes(b"mine")
    qemu.make_files(profile, tmp_path)
    assert (home / "stick.raw").read_bytes() == b"mine"
    assert (home / "one.raw").stat().st_size == 64 << 20
