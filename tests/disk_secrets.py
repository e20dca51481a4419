"""What a machine's disk holds, read from outside while nothing runs on it: its bytes, and the files of its systems."""

import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import canaries

SECTOR = 512
SECONDS = 300
BOOT_TOKEN = re.compile(r"dodai_script=\S+/script/([\w-]{43})")  # on the kernel line of the ramdisk


def tokens_of(name: str) -> dict[str, str]:
    """The installer and first-boot tokens that the ramdisks of one machine were told. Run where the database is."""
    from installs import tokens
    from installs.models import Boot

    told = {}
    for boot in Boot.objects.filter(install__machine__name=name).exclude(boot_id="").select_related("install"):
        hashes = {"installer": boot.installer_hash, "first-boot": boot.install.first_boot_hash}
        for purpose, kept in hashes.items():
            token = tokens.following(boot.token_hash, boot.boot_id, purpose=purpose)
            if tokens.digest(token) == kept:
                told[f"{purpose} token {boot.install_id}"] = token
    assert {key.partition(" ")[0] for key in told} == set(hashes), list(told)
    return told


def boot_tokens(console: str) -> dict[str, str]:
    """Those that its console has shown."""
    found = {f"boot token {number}": token for number, token in enumerate(sorted(set(BOOT_TOKEN.findall(console))))}
    assert found, "the console shows no kernel line"
    return found


def found(secrets: dict[str, str], *places: Path) -> set[str]:
    """The names of those that stand in a disk or anywhere below a folder, in any spelling."""
    marks = {mark: name for name, secret in secrets.items() for mark in canaries.spellings(secret)}
    done = subprocess.run(
        ["grep", "-zahFor", "-f", "-", *map(str, places)], input=b"\n".join(marks), env=os.environ | {"LC_ALL": "C"},
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return {marks[mark] for mark in done.stdout.split(b"\0") if mark}


def raw(disk: Path, target: Path) -> Path:
    """A copy of a qcow2 that is as the machine has it."""
    command = ["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", str(disk), str(target)]
    subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    return target


def unpack(disk: Path, target: Path, *, folders: tuple[str, ...] = ("/",)) -> list[Path]:
    """The folders of each ext4 file system of a raw disk below `target`, with the modes that they have there."""
    trees = []
    for start in _ext4(disk):
        tree = target / str(start)
        tree.mkdir(parents=True)
        for folder in folders:
            where = tree if folder == "/" else (tree / folder.strip("/")).parent
            _debugfs(disk, start, f"rdump {folder} {where}")
        trees.append(tree)
    assert trees, f"no ext4 file system on {disk}"
    return trees


def mode(disk: Path, path: str) -> int:
    """Of one file, in the file system that has it."""
    said = [_debugfs(disk, start, f"stat {path}") for start in _ext4(disk)]
    (modes,) = [text.partition("Mode:")[2].split()[0] for text in said if "Mode:" in text]
    return int(modes, 8)


def _ext4(disk: Path) -> Iterator[int]:
    """Where they begin, in bytes: partitions of its GPT (UEFI 2.10, 5.3.3) with the magic number of ext4."""
    with disk.open("rb") as file:
        file.seek(2 * SECTOR)
        for entry in struct.iter_unpack("<16s16sQQQ72s", file.read(128 * 128)):
            start: Any = entry[2] * SECTOR
            file.seek(start + 1024 + 0x38)
            if start and file.read(2) == b"\x53\xef":
                yield start


def _debugfs(disk: Path, start: int, request: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    done = subprocess.run(
        ["debugfs", "-R", request, f"{disk}?offset={start}"], env=os.environ | {"PATH": path}, capture_output=True,
        text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout
