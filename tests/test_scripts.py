"""The scripts that run in the ramdisk: rendering, quoting, and their functions run by bash here."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest

from installs import scripts
from tests import disk_signatures

ROOT = Path(__file__).parent.parent
HOSTILE = """it's "$(touch /tmp/dodai-pwned)" `id` \\ ${HOME} !! & ; | > *\nsecond line # é"""
VALUES: dict[str, Any] = {
    "server": "http://10.0.2.100:8001",
    "token": "t" * 43,
    "image": {
        "url": "http://10.0.2.100:8002/image/" + "a" * 64, "sha256": "a" * 64, "size_bytes": 20, "unpacked_bytes": 60,
        "kind": "tar.zst", "name": "tiny",
    },
    "disk": {"serial": "DISK-1", "wwn": "", "size_bytes": 4 << 30},
    "attempt": {"install": 7, "machine": "practice-1"},
    "samples": "4194304 " + "b" * 64, "sample_bytes": 65536, "root_partition": 0, "grow": True, "set_up_by": "auto",
}  # fmt: skip
BONDED = """\
52:54:00:00:00:01 none - - service bond0
52:54:00:00:00:02 none - - service bond0
52:54:00:00:00:03 dhcp - - storage
bond bond0 10.0.0.5/24 10.0.0.1 - 802.3ad
vlan vlan210 dhcp - - 210 bond0
vlan vlan7 10.7.0.5/24 - - 7 52:54:00:00:00:03"""
TEMPLATES = ("file_tree/install.sh", "disk_image/install.sh", "iscsi/install.sh", "live/boot.sh", "inspect/inspect.sh",
             "first_boot.sh", "installer/install.sh")  # fmt: skip
FILES = (
    "installs/ramdisk/files/init", "installs/ramdisk/files/dhcp", "lab/tiny_files/initrd-init", "lab/tiny_files/start",
    "lab/tiny_files/dhcp",
)  # fmt: skip


def hostile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: hostile(inner) for key, inner in value.items()}
    return value if isinstance(value, int) else f"{value}{HOSTILE}"


def bash(script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=check)


def shellcheck(*arguments: str, script: str | None = None) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", *arguments], input=script, capture_output=True, text=True, timeout=120)
    assert done.stdout == ""


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("values", [VALUES, hostile(VALUES)], ids=["plain", "hostile"])
def test_rendered_scripts_are_clean(template: str, values: dict[str, Any]) -> None:
    # SC2016: an operator's words may hold a dollar; that they stay as they are is the point of the quoting.
    shellcheck("--exclude=SC2016", "-", script=scripts.render(template, **values))


@pytest.mark.parametrize("name", FILES)
def test_the_first_programs_are_clean(name: str) -> None:
    shellcheck("--shell=sh", str(ROOT / name))


@pytest.mark.parametrize("missing", ["server", "token", "image", "disk"])
def test_a_missing_value_stops_the_rendering(missing: str) -> None:
    values = {name: value for name, value in VALUES.items() if name != missing}
    with pytest.raises(jinja2.UndefinedError):
        scripts.render("file_tree/install.sh", **values)


def test_hostile_values_arrive_as_they_are() -> None:
    values = hostile(VALUES)
    script = scripts.render("file_tree/install.sh", **values)
    start, end = script.index("readonly IMAGE_URL="), script.index("readonly IMAGE_LABEL=")
    names = ("IMAGE_URL", "IMAGE_SHA256", "IMAGE_KIND", "IMAGE_NAME")
    shown = bash(script[start:end] + "\n".join(f"printf '%s\\0' \"${name}\"" for name in names)).stdout
    assert shown.split("\0")[:4] == [values["image"][key] for key in ("url", "sha256", "kind", "name")]
    assert not Path("/tmp/dodai-pwned").exists()


def test_the_token_is_on_no_command_line() -> None:
    script = scripts.render("file_tree/install.sh", **VALUES)
    lines = [line for line in script.splitlines() if VALUES["token"] in line]
    assert len(lines) == 1
    assert lines[0].startswith("printf ")  # a builtin of bash: no process shows it


def of_lib(*names: str) -> str:
    """These functions of lib.sh, as they are."""
    text = scripts.render("file_tree/install.sh", **VALUES)
    return "".join(text[text.index(f"\n{name}() {{") :].split("\n}\n")[0] + "\n}\n" for name in names)


def functions(template: str, tmp_path: Path) -> str:
    """A template's functions, with reports of failure printed instead of posted."""
    text = of_lib("take_status", "pause_of") + scripts.render(template, **VALUES)
    return f"""set -Eeuo pipefail; WORK={tmp_path}; LOG={tmp_path}/log; ROOT={tmp_path}/root; mkdir -p $ROOT
        LONGEST_PAUSE=60; say() {{ :; }}; fail() {{ echo "FAIL $1: $2"; exit 3; }}
        PLANNED_SERIAL=DISK-1 PLANNED_WWN= IMAGE_NAME=tiny IMAGE_LABEL=tiny IMAGE_UNPACKED_BYTES=14106624\n{text}\n"""


def choose(tmp_path: Path, rows: list[str], *, wwn: str = "") -> str:
    (tmp_path / "disks.tsv").write_text("".join(row.replace("|", "\t") + "\n" for row in rows))
    script = functions("file_tree/disk.sh", tmp_path) + f"PLANNED_WWN={wwn}; choose_disk; echo $DISK $PART"
    return bash(script, check=False).stdout.strip()


def test_the_disk_is_chosen_by_its_serial_number(tmp_path: Path) -> None:
    rows = ["/dev/sda|OTHER||4294967296|m|0|0", "/dev/nvme0n1|DISK-1|eui.1|4294967296||0|0"]
    assert choose(tmp_path, rows) == "/dev/nvme0n1 /dev/nvme0n1p"


def test_serial_number_and_wwn_must_both_match(tmp_path: Path) -> None:
    rows = ["/dev/sda|DISK-1|0x1|9|m|0|0"]
    assert choose(tmp_path, rows, wwn="0x1") == "/dev/sda /dev/sda"
    assert choose(tmp_path, rows, wwn="0x2").startswith("FAIL disk: No disk has serial number DISK-1 and WWN 0x2")


def test_no_matching_disk_names_those_found(tmp_path: Path) -> None:
    said = choose(tmp_path, ["/dev/vda|OTHER||4294967296||0|1"])
    assert said == (
        "FAIL disk: No disk has serial number DISK-1. "
        "This machine has: /dev/vda (serial OTHER, WWN none, 4.0 GiB, no model)."
    )
    assert "no disk at all" in choose(tmp_path, [])


def test_two_matching_disks_stop_it(tmp_path: Path) -> None:
    rows = ["/dev/sda|DISK-1||9||0|0", "/dev/sdb|DISK-1||9||0|0"]
    assert "FAIL disk: More than one disk has serial number DISK-1: /dev/sda /dev/sdb" in choose(tmp_path, rows)


def test_what_disks_carry_is_found_without_udev(tmp_path: Path) -> None:
    """lsblk would ask udev, which does not run in the ramdisk, and find nothing."""
    member, empty = tmp_path / "member", tmp_path / "empty"
    for path in (member, empty):
        path.write_bytes(bytes(8 << 20))
    disk_signatures.raid_member(member, 0)
    disk_signatures.luks_volume(member)
    said = bash(
        functions("facts.sh", tmp_path)
        + f"""
        PATH=$PATH:/usr/sbin:/sbin
        lsblk() {{ printf '%s\n' {member} {empty} /dev/nosuch '/dev/mapper/a"b'; }}
        list_signatures
        """
    ).stdout
    found = {line["path"]: line["found"] for line in _json_texts(said)}
    assert {each["type"] for each in found[str(member)]["signatures"]} == {"linux_raid_member", "crypto_LUKS"}
    assert found[str(empty)]["signatures"] == []
    assert found["/dev/nosuch"] is None
    assert len(found) == 3


def _json_texts(text: str) -> list[dict[str, Any]]:
    """JSON texts one after another, as jq takes them."""
    found = []
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def release(tmp_path: Path, *, mdadm: str, dmsetup: str) -> str:
    """Take apart a disk with a RAID and a volume on it; `true` and `false` are how the commands end."""
    return bash(
        functions("file_tree/disk.sh", tmp_path)
        + f"""
        lsblk() {{ printf '%s\\n' /dev/nosuch /dev/md127 /dev/dm-9; }}
        mdadm() {{ echo "mdadm $*"; {mdadm}; }}
        dmsetup() {{ echo "dmsetup $*"; {dmsetup}; }}
        DISK=/dev/nosuch
        release_disk
        """,
        check=False,
    ).stdout


def test_old_raid_and_volumes_are_taken_apart_from_the_top(tmp_path: Path) -> None:
    assert release(tmp_path, mdadm="true", dmsetup="true").splitlines() == [
        "dmsetup remove --retry /dev/dm-9",
        "mdadm --stop /dev/md127",
    ]


def test_what_does_not_let_go_of_the_disk_is_named(tmp_path: Path) -> None:
    said = release(tmp_path, mdadm="false", dmsetup="true").splitlines()[-1]
    assert said == "FAIL busy: The disk /dev/nosuch is busy in the ramdisk: the RAID /dev/md127 does not let go of it."
    assert "FAIL busy: " in release(tmp_path, mdadm="true", dmsetup="false")


@pytest.mark.parametrize(
    ("disk_mib", "root", "swap", "kdump", "ephemeral", "expected"),
    [
        (4096, 0, 0, 0, 0, "64 4029 0 0 0"),  # root gets the rest
        (4096, 0, 256, 128, 512, "64 3133 256 128 512"),
        (4096, 1024, 256, 0, 512, "64 1024 256 0 2749"),  # a fixed root: ephemeral gets the rest
        (4096, 1024, 0, 0, 0, "64 1024 0 0 0"),
        (65536, 0, 0, 0, 0, "512 65021 0 0 0"),
        (4096, 16, 0, 0, 0, "FAIL space: The root file system would have 16 MiB, too few for the 13 MiB of the image"),
        (4096, 4096, 0, 0, 0, "FAIL space: The disk /dev/vda has 4096 MiB, the layout needs 4163 MiB"),
        (1024, 0, 2048, 0, 0, "FAIL space: The disk /dev/vda has 1024 MiB, the layout needs 2115 MiB"),
    ],
)
def test_partitions_fill_the_disk_and_never_more(
    tmp_path: Path, disk_mib: int, root: int, swap: int, kdump: int, ephemeral: int, expected: str
) -> None:
    script = (
        functions("file_tree/disk.sh", tmp_path)
        + f"""
        DISK=/dev/vda; blockdev() {{ echo $(({disk_mib} << 20)); }}
        DODAI_ROOT_BYTES=$(({root} << 20)) DODAI_SWAP_BYTES=$(({swap} << 20))
        DODAI_KDUMP_BYTES=$(({kdump} << 20)) DODAI_EPHEMERAL_BYTES=$(({ephemeral} << 20))
        plan_partitions; echo $ESP_MIB $ROOT_MIB $SWAP_MIB $KDUMP_MIB $EPHEMERAL_MIB"""
    )
    assert bash(script, check=False).stdout.startswith(expected)


@pytest.mark.parametrize("target", ["/etc/elsewhere", "../../../../../../outside", "/outside", "elsewhere"])
def test_links_of_the_image_never_lead_out_of_its_tree(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/systemd").symlink_to(target)
    bash(functions("file_tree/configure.sh", tmp_path) + "echo x | put 600 /etc/systemd/network/a")
    written = [path for path in tmp_path.rglob("a") if path.is_file()]
    assert len(written) == 1
    assert written[0].is_relative_to(tmp_path / "root")
    assert not list((tmp_path / "outside").iterdir())


def test_a_file_that_is_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("keep")
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/hostname").symlink_to(tmp_path / "secret")
    bash(functions("file_tree/configure.sh", tmp_path) + "echo new | put 644 /etc/hostname")
    assert (tmp_path / "secret").read_text() == "keep"
    assert (tmp_path / "root/etc/hostname").read_text() == "new\n"


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/etc").symlink_to("etc")
    done = bash(functions("file_tree/configure.sh", tmp_path) + "echo x | put 644 /etc/hostname", check=False)
    assert "FAIL image: Links in the image lead in a circle" in done.stdout


def test_network_is_written_by_mac_for_both_ways(tmp_path: Path) -> None:
    lines = "52:54:00:00:00:01 dhcp\n52:54:00:00:00:02 10.0.0.5/24 10.0.0.1 10.0.0.2,10.0.0.3"
    (tmp_path / "root/usr/sbin").mkdir(parents=True)
    (tmp_path / "root/usr/sbin/ifup").write_text("")
    bash(functions("file_tree/configure.sh", tmp_path) + f"DODAI_NETWORK='{lines}'; write_network")
    root = tmp_path / "root"
    assert (root / "etc/dodai/network").read_text() == lines + "\n"
    assert "DHCP=yes" in (root / "etc/systemd/network/10-dodai-525400000001.network").read_text()
    static = (root / "etc/systemd/network/10-dodai-525400000002.network").read_text()
    assert "Address=10.0.0.5/24\nGateway=10.0.0.1\nDNS=10.0.0.2 10.0.0.3\n" in static
    interfaces = (root / "etc/network/interfaces").read_text()
    assert "auto /mac/52:54:00:00:00:02=dodai1\niface dodai1 inet static\n" in interfaces


def written_network(tmp_path: Path, lines: str) -> Path:
    (tmp_path / "root/usr/sbin").mkdir(parents=True)
    (tmp_path / "root/usr/sbin/ifup").write_text("")
    bash(functions("file_tree/configure.sh", tmp_path) + f"DODAI_NETWORK='{lines}'; write_network")
    return tmp_path / "root/etc"


def test_bonds_and_vlans_are_networkds(tmp_path: Path) -> None:
    folder = written_network(tmp_path, BONDED) / "systemd/network"
    found = {path.name.removeprefix("10-dodai-"): path.read_text().partition("\n")[2] for path in folder.iterdir()}
    card = "[Match]\nMACAddress=52:54:00:00:00:0{}\nType=ether\n\n[Network]\n"
    assert found == {
        "525400000001.network": card.format(1) + "Bond=bond0\nLinkLocalAddressing=no\n",
        "525400000002.network": card.format(2) + "Bond=bond0\nLinkLocalAddressing=no\n",
        "525400000003.network": card.format(3) + "VLAN=vlan7\nDHCP=yes\n\n[DHCPv4]\nUseGateway=no\n",
        "bond0.netdev": "[NetDev]\nName=bond0\nKind=bond\n\n[Bond]\nMode=802.3ad\nMIIMonitorSec=100ms\n",
        "bond0.network": "[Match]\nName=bond0\n\n[Network]\nVLAN=vlan210\nAddress=10.0.0.5/24\nGateway=10.0.0.1\n",
        "vlan210.netdev": "[NetDev]\nName=vlan210\nKind=vlan\n\n[VLAN]\nId=210\n",
        "vlan210.network": "[Match]\nName=vlan210\n\n[Network]\nDHCP=yes\n",
        "vlan7.netdev": "[NetDev]\nName=vlan7\nKind=vlan\n\n[VLAN]\nId=7\n",
        "vlan7.network": "[Match]\nName=vlan7\n\n[Network]\nAddress=10.7.0.5/24\n",
    }


def test_bonds_and_vlans_are_ifupdowns(tmp_path: Path) -> None:
    text = (written_network(tmp_path, BONDED) / "network/interfaces").read_text()
    stanzas = {part.split()[0]: part for part in text.split("auto ")[1:]}
    assert list(stanzas) == ["lo", "/mac/52:54:00:00:00:03=dodai2", "bond0", "vlan210", "vlan7"]
    assert "iface dodai2 inet dhcp\n    metric 5000\n" in stanzas["/mac/52:54:00:00:00:03=dodai2"]
    assert "iface bond0 inet static\n    address 10.0.0.5/24\n    gateway 10.0.0.1\n" in stanzas["bond0"]
    assert 'ip link add "$IFACE" type bond mode 802.3ad' in stanzas["bond0"]
    assert stanzas["bond0"].count('ip link set "$card" master "$IFACE"') == 2
    assert 'pre-up ip link add link bond0 name "$IFACE" type vlan id 210\n' in stanzas["vlan210"]
    for command in [line.split(None, 1)[1] for line in text.splitlines() if "up " in line]:
        shellcheck("--shell=sh", "--exclude=SC2154", "-", script=f"{command}\n")


def test_an_account_is_made_with_its_keys_and_may_use_sudo(tmp_path: Path) -> None:
    etc = tmp_path / "root/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\nold:x:1000:1001::/home/old:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\nold:x:1001:\n")
    (etc / "shadow").write_text("root:*:1::::::\n")
    accounts = "ada ssh-ed25519 AAAA one\nada ssh-ed25519 AAAB two\nold ssh-ed25519 AAAC"
    bash(functions("file_tree/configure.sh", tmp_path) + f"DODAI_ACCOUNTS='{accounts}'; write_accounts")
    assert (etc / "passwd").read_text().splitlines()[2:] == ["ada:x:1002:1002::/home/ada:/bin/sh"]
    assert (etc / "group").read_text().splitlines()[2:] == ["ada:x:1002:"]
    assert (etc / "shadow").read_text().splitlines()[1:] == ["ada:*:::::::"]
    keys = tmp_path / "root/home/ada/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA one\nssh-ed25519 AAAB two\n"
    assert (keys.stat().st_uid, keys.stat().st_mode & 0o777) == (1002, 0o600)
    assert (tmp_path / "root/home/old/.ssh/authorized_keys").stat().st_uid == 1000
    assert (etc / "sudoers.d/90-dodai").read_text() == "ada ALL=(ALL) NOPASSWD:ALL\nold ALL=(ALL) NOPASSWD:ALL\n"


@pytest.mark.parametrize("name", ["passwd", "group", "shadow"])
def test_accounts_are_written_into_no_link(tmp_path: Path, name: str) -> None:
    etc, outside = tmp_path / "root/etc", tmp_path / "outside"
    etc.mkdir(parents=True)
    for each in ("passwd", "group", "shadow"):
        (etc / each).write_text("")
    outside.write_text("as it was")
    (etc / name).unlink()
    (etc / name).symlink_to(outside)
    script = functions("file_tree/configure.sh", tmp_path) + "DODAI_ACCOUNTS='ada ssh-ed25519 AAAA'; write_accounts"
    assert f"FAIL image: The image has no file /etc/{name}" in bash(script, check=False).stdout
    assert outside.read_text() == "as it was"


@pytest.mark.parametrize(("commands", "said"), [("echo done", "commands=0"), ("exit 7", "commands=7"), ("", "")])
def test_the_commands_for_first_boot_run_once_and_the_call_says_how_they_ended(
    tmp_path: Path, commands: str, said: str
) -> None:
    text = scripts.render("first_boot.sh", **VALUES)
    if commands:
        (tmp_path / "commands").write_text(f"#!/bin/sh\necho ran >>{tmp_path}/ran\n{commands}\n")
        (tmp_path / "commands").chmod(0o700)
    run = "run_commands() {" + text.partition("run_commands() {")[2].partition("\n}\n")[0] + "\n}\n"
    named = f"commands={tmp_path}/commands commands_log={tmp_path}/log commands_may_take=60\n"
    done = subprocess.run(
        ["sh", "-euc", f"{named}{run}run_commands; echo $said; run_commands; echo $said"], capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout == f"{said}\n\n"
    assert not commands or (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.parametrize("has_server", [True, False])
def test_an_ssh_server_is_told_the_sign_of_the_attempt(tmp_path: Path, has_server: bool) -> None:
    (tmp_path / "root/usr/sbin").mkdir(parents=True)
    (tmp_path / "root/sbin").symlink_to("usr/sbin")
    if has_server:
        (tmp_path / "root/usr/sbin/sshd").touch()
    bash(functions("file_tree/configure.sh", tmp_path) + "DODAI_SIGN=dodai-X_y-7; write_sign")
    written = tmp_path / "root/etc/ssh/sshd_config.d/00-dodai.conf"
    assert written.exists() == has_server
    assert not has_server or "VersionAddendum dodai-X_y-7\n" in written.read_text()


def test_the_sign_is_taken_away_with_the_first_boot_call() -> None:
    text = scripts.render("first_boot.sh", **VALUES)
    assert "/etc/ssh/sshd_config.d/00-dodai.conf" in text.partition("remove() {")[2].partition("\n}\n")[0]


@pytest.mark.parametrize(
    ("files", "kernel", "initrd"),
    [
        (["vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"],
         "vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"),
        (["vmlinuz", "initrd"], "vmlinuz", "initrd"),
        (["vmlinuz-5.14", "vmlinuz-0-rescue-1", "initramfs-5.14.img"], "vmlinuz-5.14", "initramfs-5.14.img"),
        (["vmlinuz-6.6"], "vmlinuz-6.6", ""),
    ],
)  # fmt: skip
def test_the_newest_kernel_and_its_initrd_are_found(tmp_path: Path, files: list[str], kernel: str, initrd: str) -> None:
    (tmp_path / "root/boot").mkdir(parents=True)
    for name in files:
        (tmp_path / "root/boot" / name).write_text("")
    text = functions("file_tree/configure.sh", tmp_path) + functions("file_tree/bootloader.sh", tmp_path)
    assert bash(text + 'find_kernel; echo "$KERNEL:$INITRD"').stdout.strip() == f"{kernel}:{initrd}"


@pytest.mark.parametrize(("arguments", "good"), [("console=ttyS0,9600 quiet", True), ("a;b", False), ("$(x)", False)])
def test_kernel_arguments_cannot_carry_grub_commands(tmp_path: Path, arguments: str, good: bool) -> None:
    script = f"{functions('file_tree/bootloader.sh', tmp_path)} DODAI_KERNEL_ARGS='{arguments}'; check_kernel_arguments"
    assert bash(script, check=False).stdout.startswith("FAIL settings") is not good


def new_log_calls(tmp_path: Path, steps: str) -> str:
    """What is posted of a log, each post in angle brackets, by the two functions that send it."""
    own = of_lib("send_new_log", "send_log")
    script = f"""set -Eeuo pipefail; WORK={tmp_path}; LOG={tmp_path}/log; : >"$LOG"; answer=200; unsent=
        exec {{log_reader}}<"$LOG"
        call() {{ http_status=$answer; [[ $answer != 200 ]] || printf '<%s>' "$(<"$2")"; }}
        post() {{ call "$@"; }}
        {own}
        {steps}"""
    return bash(script).stdout


def test_only_new_whole_lines_of_the_log_are_sent(tmp_path: Path) -> None:
    steps = """
        echo one >>"$LOG"; echo two >>"$LOG"; send_new_log
        send_new_log
        printf 'thr' >>"$LOG"; send_new_log
        printf 'ee\\n' >>"$LOG"; send_new_log
        printf 'no end' >>"$LOG"; send_log"""
    assert new_log_calls(tmp_path, steps) == "<one\ntwo><three><no end>"


def test_what_the_server_did_not_take_is_sent_again(tmp_path: Path) -> None:
    steps = """
        echo one >>"$LOG"; answer=000; send_new_log
        echo two >>"$LOG"; answer=200; send_new_log; send_log"""
    assert new_log_calls(tmp_path, steps) == "<one\ntwo>"


def test_a_long_log_is_sent_in_parts_without_loss(tmp_path: Path) -> None:
    steps = """
        for number in {1..3000}; do echo "line $number of a long log that goes on"; done >>"$LOG"
        send_new_log; send_new_log; send_new_log; send_log"""
    sent = new_log_calls(tmp_path, steps)
    assert max(len(part) for part in sent.split("><")) <= 60_002
    assert sent.strip("<>").replace("><", "\n").split("\n") == [
        f"line {number} of a long log that goes on" for number in range(1, 3001)
    ]
