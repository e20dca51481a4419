"""The method disk-image: its plan, its way to `installed`, and what it leaves in the system on the disk."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import yaml
from django.core.exceptions import ValidationError

from installs import plan, scripts
from installs.images.intake import add_image
from installs.models import Image, Install, SshKey
from tests import disk_files, installing
from tests.disk_files import MIB
from tests.test_scripts import BONDED, bash

SEED = int(os.environ.get("DODAI_SEED") or random.randrange(1 << 30))
SIGN = "etc/ssh/sshd_config.d/00-dodai.conf"
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHostile it\'s "odd": {key} # x'


@pytest.fixture
def image(settings, tmp_path, db) -> Image:
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    (tmp_path / "disk.raw").write_bytes(disk_files.gpt())
    return add_image(tmp_path / "disk.raw", name="disk")


def test_it_goes_by_its_steps_to_installed(machine, image, server, steps):
    install = installing.start(machine, image)
    steps()
    assert server.boot()
    assert server.say("install") == "applied"
    granted = server.ask_grant()
    assert "DODAI_GRANTED=yes" in granted
    for phase in ("clear", "write", "verify", "grow", "configure"):
        assert server.say("progress", {"phase": phase, "done_bytes": 0, "total_bytes": 0}) == "applied"
    assert server.say("install_reboot") == "applied"
    steps()
    assert server.finish_first_boot(granted) == "applied"
    install.refresh_from_db()
    assert (install.state, install.method) == ("installed", "disk-image")


def test_its_script_has_the_samples_of_its_import(machine, image):
    script = plan.METHODS["disk-image"].script(plan.for_install(machine, image).frozen)
    assert f"readonly IMAGE_UNPACKED_BYTES={12 * MIB}\n" in script
    for at, digest in image.report["samples"]["digests"]:
        assert f"{at} {digest}" in script


def test_what_the_image_says_of_its_root_reaches_the_script(machine, image):
    image.metadata = {"root_partition": 2, "keep_size": True, "set_up_by": "files"}
    script = plan.METHODS["disk-image"].script(plan.for_install(machine, image).frozen)
    assert "readonly ROOT_PARTITION=2 " in script and "readonly GROW=no\n" in script
    assert "readonly SET_UP_BY=files\n" in script


@pytest.mark.parametrize(("size", "fits"), [(12 * MIB, True), (12 * MIB - 512, False)])
def test_a_disk_that_is_too_small_stands_in_the_plan(machine, image, size, fits):
    machine.disks.update(size_bytes=size)
    made = plan.for_install(machine, image)
    assert made.is_possible is fits
    assert fits or "disk is the image of a disk of 12 MiB" in " ".join(made.problems)


def test_an_image_whose_samples_changed_gets_no_grant(machine, image, server, steps):
    installing.start(machine, image)
    steps()
    assert server.boot()
    report = image.report | {"samples": {"bytes": 65536, "digests": []}}
    Image.objects.update(report=report)
    assert "DODAI_GRANTED=no" in server.ask_grant()
    assert Install.objects.get().granted_at is None


# --- what it leaves in the system


def set_up(
    tmp_path: Path,
    *,
    by: str = "auto",
    network: str = "52:54:00:00:00:01 dhcp",
    keys: tuple[str, ...] = (KEY,),
    accounts: str = "",
    commands: str = "",
) -> Path:
    """Run the part of the script that sets the system up; returns its root."""
    root, settings = tmp_path / "root", tmp_path / "settings"
    settings.write_text(
        scripts.render(
            "boot/granted.sh",
            settings={
                "HOSTNAME": "node1.example.org", "AUTHORIZED_KEYS": "\n".join(keys), "NETWORK": network,
                "TIME": 1_700_000_000, "TIMEZONE": "Asia/Tokyo",
                "FIRST_BOOT_URL": "http://10.0.0.2:8001/first-boot/token",
                "SIGN": "dodai-X_y-7", "ACCOUNTS": accounts, "FIRST_BOOT_COMMANDS": commands,
            },
        )
    )  # fmt: skip
    root.mkdir(exist_ok=True)
    text = scripts.render("system.sh") + "\n" + scripts.render("disk_image/cloud.sh")
    bash(f"""set -Eeuo pipefail; WORK={tmp_path}; LOG=$WORK/log; ROOT={root}; SET_UP_BY={by}; INSTANCE=dodai-7
        say() {{ :; }}; fail() {{ echo "FAIL $*"; exit 3; }}; date() {{ :; }}; hwclock() {{ :; }}
        . {settings}
        {text}
        set_up""")
    return root


@pytest.fixture
def cloud(tmp_path) -> Path:
    """A tree with cloud-init in it that has run before."""
    root = tmp_path / "root"
    for folder in ("usr/bin", "etc/cloud/cloud.cfg.d", "var/lib/cloud/instances/old", "etc/ssh"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/cloud-init").write_text("")
    (root / "var/lib/cloud/instance").symlink_to("instances/old")
    return root


def seed(root: Path, name: str) -> dict:
    return yaml.safe_load((root / "var/lib/cloud/seed/nocloud" / name).read_text())


def test_an_image_with_cloud_init_gets_a_seed(tmp_path, cloud):
    set_up(tmp_path)
    assert seed(cloud, "meta-data") == {"instance-id": "dodai-7", "local-hostname": "node1.example.org"}
    user = seed(cloud, "user-data")
    assert (cloud / "var/lib/cloud/seed/nocloud/user-data").read_text().startswith("#cloud-config\n")
    assert (user["hostname"], user["fqdn"], user["timezone"]) == ("node1", "node1.example.org", "Asia/Tokyo")
    assert user["ssh_authorized_keys"] == [KEY] and user["disable_root"] is False
    assert user["phone_home"] == {
        "url": "http://10.0.0.2:8001/first-boot/token", "tries": 30,
        "post": ["instance_id", "pub_key_ed25519", "pub_key_ecdsa", "pub_key_rsa"],
    }  # fmt: skip
    assert not (cloud / "var/lib/cloud/instances").exists()
    assert not (cloud / "etc/dodai").exists()
    for name in ("meta-data", "user-data", "network-config"):
        assert (cloud / "var/lib/cloud/seed/nocloud" / name).stat().st_mode & 0o777 == 0o600


def test_its_seed_has_the_other_accounts_and_the_commands(tmp_path, cloud):
    set_up(tmp_path, accounts=f"ada {KEY}\nada {KEY} two\nbob {KEY}", commands="#!/bin/sh\necho 'x' >/root/x")
    user = seed(cloud, "user-data")
    assert user["users"][0] == "default"
    found = {account["name"]: account for account in user["users"][1:]}
    assert (found["ada"]["ssh_authorized_keys"], list(found)) == ([KEY, f"{KEY} two"], ["ada", "bob"])
    assert found["bob"]["sudo"] == "ALL=(ALL) NOPASSWD:ALL" and found["bob"]["lock_passwd"] is True
    program = cloud / "etc/dodai/first-boot-commands"
    assert program.read_text() == "#!/bin/sh\necho 'x' >/root/x\n" and program.stat().st_mode & 0o777 == 0o700
    assert "/etc/dodai/first-boot-commands" in user["runcmd"][0][-1]


def test_its_bonds_and_vlans_are_netplans(tmp_path, cloud):
    set_up(tmp_path, network=BONDED)
    assert seed(cloud, "network-config") == {
        "version": 2,
        "ethernets": {
            "dodai0": {"match": {"macaddress": "52:54:00:00:00:01"}, "optional": True},
            "dodai1": {"match": {"macaddress": "52:54:00:00:00:02"}, "optional": True},
            "dodai2": {"match": {"macaddress": "52:54:00:00:00:03"}, "optional": True, "dhcp4": True,
                       "dhcp4-overrides": {"use-routes": False}},
        },
        "bonds": {"bond0": {"interfaces": ["dodai0", "dodai1"], "addresses": ["10.0.0.5/24"],
                            "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
                            "parameters": {"mode": "802.3ad", "mii-monitor-interval": 100}}},
        "vlans": {"vlan210": {"id": 210, "link": "bond0", "dhcp4": True},
                  "vlan7": {"id": 7, "link": "dodai2", "addresses": ["10.7.0.5/24"]}},
    }  # fmt: skip


def taken_in(comment: str) -> str:
    """The key with that comment, as it is kept. Raises ValidationError."""
    key = SshKey(name="key", public_key=f"ssh-ed25519 {'A' * 68} {comment}")
    key.clean()
    return key.public_key


def test_whatever_comment_a_key_has_it_comes_out_of_the_seed_as_it_was(tmp_path, cloud):
    luck = random.Random(SEED)
    print(f"replay with DODAI_SEED={SEED}")
    letters = [chr(code) for code in range(32, 0x110000) if chr(code).isprintable()]
    nasty = [
        "${HOME} $(id) `id`",
        "'; id; '",
        '" - "',
        "# no: {yes}",
        "%s \\n \\u0000 \\",
        "é 鍵 😀",
        "!!python/object:os",
    ]
    comments = [*nasty, *("".join(luck.choices(letters, k=40)).strip() or "x" for _ in range(40))]
    keys = tuple(taken_in(comment) for comment in comments)
    set_up(tmp_path, keys=keys)
    assert seed(cloud, "user-data")["ssh_authorized_keys"] == list(keys)


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x80", "\x85", "\r", "\n", "\v", "\u2028", "\ufffe"])
def test_a_key_with_what_a_seed_cannot_hold_is_not_taken_in(character):
    with pytest.raises(ValidationError):
        taken_in(f"a{character}b")


def test_its_cards_are_set_by_their_addresses(tmp_path, cloud):
    lines = ("52:54:00:00:00:AB dhcp", "52:54:00:00:00:02 10.0.0.5/24 10.0.0.1 10.0.0.2,10.0.0.3",
             "52:54:00:00:00:03 fd00::5/64 fd00::1 -")  # fmt: skip
    set_up(tmp_path, network="\n".join(lines))
    cards = seed(cloud, "network-config")["ethernets"]
    assert cards["dodai0"] == {"match": {"macaddress": "52:54:00:00:00:ab"}, "optional": True, "dhcp4": True}
    assert cards["dodai1"]["addresses"] == ["10.0.0.5/24"]
    assert cards["dodai1"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    assert cards["dodai1"]["nameservers"] == {"addresses": ["10.0.0.2", "10.0.0.3"]}
    assert cards["dodai2"]["routes"] == [{"to": "::/0", "via": "fd00::1"}] and "nameservers" not in cards["dodai2"]


def test_an_image_without_cloud_init_gets_files(tmp_path):
    root = set_up(tmp_path)
    assert (root / "etc/hostname").read_text() == "node1.example.org\n"
    assert (root / "root/.ssh/authorized_keys").read_text() == KEY + "\n"
    assert "first-boot/token" in (root / "etc/dodai/first-boot.url").read_text()
    assert not (root / "var/lib/cloud").exists()


@pytest.mark.parametrize("by", ["cloud-init", "files"])
def test_its_ssh_server_shows_the_sign_however_it_is_set_up(tmp_path, cloud, by):
    (cloud / "usr/sbin").mkdir()
    (cloud / "usr/sbin/sshd").touch()
    set_up(tmp_path, by=by)
    assert "VersionAddendum dodai-X_y-7\n" in (cloud / SIGN).read_text()


def test_cloud_init_takes_the_sign_away_at_the_second_boot(tmp_path, cloud):
    set_up(tmp_path)
    (cloud / "var/lib/cloud/instance").mkdir()
    (cloud / SIGN).parent.mkdir(parents=True)
    (cloud / SIGN).touch()
    ((shell, option, command),) = seed(cloud, "user-data")["bootcmd"]
    for is_left in (True, False):
        subprocess.run([shell, option, command.replace(" /", f" {cloud}/").replace(f"{cloud}/dev", "/dev")], check=True)
        assert (cloud / SIGN).exists() is is_left


def test_files_are_written_where_the_image_asks_for_them(tmp_path, cloud):
    root = set_up(tmp_path, by="files")
    assert (root / "root/.ssh/authorized_keys").exists()
    assert not (root / "var/lib/cloud/seed").exists()


def test_links_of_the_image_lead_the_seed_nowhere_else(tmp_path, cloud):
    (tmp_path / "outside").mkdir()
    subprocess.run(["rm", "-rf", cloud / "var/lib/cloud"], check=True)
    (cloud / "var/lib/cloud").symlink_to("../../../outside")
    (tmp_path / "outside" / "instances").mkdir()
    set_up(tmp_path)
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["instances"]
    assert json.loads((cloud / "outside/seed/nocloud/meta-data").read_text())["instance-id"] == "dodai-7"
