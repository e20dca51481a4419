"""What docs/image-contract.md asks of an image, found or missing."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from installs.images.contract import archive, ext4, initramfs
from installs.images.contract.drivers import Drivers, drivers_of
from installs.images.contract.tree import Files, Kind

Told = Callable[[int, int], None]
KERNEL = re.compile(r"^vmlinuz-?(.*)$")
CALLERS = ("curl", "wget", "bash")
PROGRAM_FOLDERS = ("usr/bin", "bin", "usr/sbin", "sbin", "usr/local/bin")
LONGEST_TEXT = 200


@dataclass(frozen=True)
class Kernel:
    """A kernel in /boot. `initrd` is empty where none belongs to it; `driver_count` None: the initrd is unreadable."""

    name: str
    release: str
    initrd: str
    has_modules: bool
    driver_count: int | None = None
    initrd_problem: str = ""


@dataclass(frozen=True)
class Report:
    """`problems` make it uninstallable, `warnings` do not. Both are codes, said by contract_words.py."""

    os_name: str = ""
    os_id: str = ""
    os_version: str = ""
    kernels: list[Kernel] = field(default_factory=list)
    init: str = ""
    network: str = ""
    caller: str = ""
    has_sshd: bool = False
    has_host_keys: bool = False
    has_cloud_init: bool = False
    machine_id: str = "missing"
    file_count: int = 0
    unpacked_bytes: int = 0
    has_attributes: bool = False
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look_into(path: Path, kind: str, told: Told = lambda done, total: None) -> tuple[Report, Drivers]:
    """Read the image once through. `told(done, total)` hears bytes. Raises BadImage where it cannot be read."""
    files = ext4.read(path) if kind == "ext4" else archive.read(path, told)
    drivers, kernels = drivers_of(""), []
    for name in _kernel_names(files):
        kernel, drivers = _kernel(files, name)
        kernels.append(kernel)
    return _report(files, kernels, drivers), drivers


def _report(files: Files, kernels: list[Kernel], drivers: Drivers) -> Report:
    """`drivers` are of the last kernel, the one that is booted."""
    release = _os_release(files)
    found = Report(
        os_name=release.get("PRETTY_NAME") or release.get("NAME", ""),
        os_id=release.get("ID", ""), os_version=release.get("VERSION_ID", ""), kernels=kernels,
        init=_init(files), network=_network(files),
        caller=next((name for name in CALLERS if _has_program(files, name)), ""),
        has_sshd=_has_program(files, "sshd") or _has_program(files, "dropbear"),
        has_host_keys=any(re.fullmatch(r"ssh_host_.*_key", name) for name in files.names_in("etc/ssh")),
        has_cloud_init=files.find("etc/cloud/cloud.cfg") is not None,
        machine_id=_machine_id(files), file_count=len(files.entries), unpacked_bytes=files.unpacked_bytes,
        has_attributes=files.has_attributes,
    )  # fmt: skip
    found.problems.extend(_problems(files, found))
    found.warnings.extend(_warnings(found, drivers))
    return found


def _problems(files: Files, found: Report) -> list[str]:
    etc = files.find("etc")
    checks = {
        "no-kernel": not found.kernels,
        "no-etc": etc is None or etc.kind is not Kind.FOLDER,
        "no-init": not found.init,
    }
    return [code for code, wrong in checks.items() if wrong]


def _warnings(found: Report, drivers: Drivers) -> list[str]:
    booted = found.kernels[-1] if found.kernels else None
    in_initrd = drivers.in_initrd
    checks = {
        "no-initrd": booted and not booted.initrd,
        "initrd-unreadable": booted and booted.initrd and booted.driver_count is None,
        "no-modules": booted and not booted.has_modules,
        "no-ext4": in_initrd is not None and drivers.builtin and not ({"ext4"} & (drivers.builtin | in_initrd)),
        "no-caller": not found.caller,
        "no-sshd": not found.has_sshd,
        "host-keys": found.has_host_keys,
        "machine-id": found.machine_id == "set",
        "no-network": not found.network,
        "cloud-init": found.has_cloud_init,
        "no-os-release": not found.os_name,
    }
    return [code for code, wrong in checks.items() if wrong]


def _kernel_names(files: Files) -> list[str]:
    """In the order of versions: the last one is booted, as templates/scripts/file_tree/bootloader.sh chooses it."""
    names = [name for name in files.names_in("boot") if KERNEL.match(name)]
    kept = [
        name for name in names if "rescue" not in name and not name.endswith(".old") and _is_file(files, f"boot/{name}")
    ]
    return sorted(kept, key=_version_key)


def _version_key(name: str) -> list[tuple[int, int, str]]:
    """Numbers in it compare as numbers, like `sort -V`."""
    parts = re.findall(r"\d+|\D+", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _kernel(files: Files, name: str) -> tuple[Kernel, Drivers]:
    version = name.removeprefix("vmlinuz").removeprefix("-")
    dash = f"-{version}" if version else ""
    choices = (f"initrd.img{dash}", f"initramfs{dash}.img", f"initrd{dash}")
    initrd = next((each for each in choices if _is_file(files, f"boot/{each}")), "")
    release = _release(files, version)
    inside = initramfs.look_into(files.content(f"boot/{initrd}")) if initrd else initramfs.Contents(frozenset())
    top = f"lib/modules/{release}"
    drivers = drivers_of(
        release, aliases=files.content(f"{top}/modules.alias"), builtin=files.content(f"{top}/modules.builtin"),
        builtin_info=files.content(f"{top}/modules.builtin.modinfo"), in_initrd=inside.modules,
        initrd_aliases=inside.aliases,
    )  # fmt: skip
    count = None if inside.modules is None else len(inside.modules)
    return Kernel(
        name, release, initrd, bool(drivers.aliases or drivers.builtin), count, inside.problem[:LONGEST_TEXT]
    ), drivers


def _release(files: Files, version: str) -> str:
    """The kernel's release by its file's name, or, where that says nothing, by the only modules there are."""
    folders = files.names_in("lib/modules")
    if version or len(folders) != 1:
        return version
    return folders[0]


def _os_release(files: Files) -> dict[str, str]:
    text = (files.content("etc/os-release") or files.content("usr/lib/os-release"))[:65536].decode(errors="replace")
    pairs = re.findall(r"^([A-Z_]+)=(.*)$", text, flags=re.M)
    return {key: value.strip().strip("\"'")[:LONGEST_TEXT] for key, value in pairs}


def _init(files: Files) -> str:
    if any(_is_file(files, f"{folder}/systemd/systemd") for folder in ("usr/lib", "lib")):
        return "systemd"
    init = files.find("sbin/init") or files.find("init") or files.find("bin/init")
    return "other" if init else ""


def _network(files: Files) -> str:
    """Which of its ways to set up network cards the installer will take (configure.sh: use_network)."""
    if files.find("etc/systemd/system/multi-user.target.wants/systemd-networkd.service"):
        return "systemd-networkd"
    if _has_program(files, "ifup"):
        return "ifupdown"
    if any(_is_file(files, f"{folder}/systemd/systemd-networkd") for folder in ("usr/lib", "lib")):
        return "systemd-networkd"
    return "own" if files.find("etc/dodai") else ""


def _machine_id(files: Files) -> str:
    entry = files.find("etc/machine-id")
    if entry is None:
        return "missing"
    return "set" if (entry.content or b"").strip() not in (b"", b"uninitialized") else "empty"


def _has_program(files: Files, name: str) -> bool:
    return any(_is_file(files, f"{folder}/{name}") for folder in PROGRAM_FOLDERS)


def _is_file(files: Files, path: str) -> bool:
    entry = files.find(path)
    return entry is not None and entry.kind is Kind.FILE
