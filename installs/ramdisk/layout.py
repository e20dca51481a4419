"""Lays out the ramdisk's tree from a stage of unpacked packages."""

from collections.abc import Iterable
from pathlib import Path

from installs.ramdisk.archive import Tree
from installs.ramdisk.contents import GRUB_MODULES, KMOD_NAMES, PROGRAMS
from installs.ramdisk.errors import RamdiskError
from installs.ramdisk.modules import Info, ModuleTree
from installs.ramdisk.stage import LOADER, Stage

FILES = Path(__file__).parent / "files"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def lay_out(stage: Stage, tree: Tree, *, modules: ModuleTree, chosen: dict[str, Info], work: Path) -> None:
    """Fill the tree. `work` is an empty folder for depmod's tables. Raises RamdiskError."""
    _skeleton(tree)
    _programs(stage, tree)
    _grub(stage, tree)
    _certificates(stage, tree)
    _modules(stage, tree, modules=modules, chosen=chosen, work=work)
    _firmware(stage, tree, chosen.values())


def _skeleton(tree: Tree) -> None:
    # One folder for programs and one for libraries, by whichever name a program asks for them.
    for name in ("bin", "sbin", "usr/sbin"):
        tree.link(name, "/usr/bin")
    tree.link("lib", "usr/lib")
    tree.link("lib64", "usr/lib64")
    for name in ("dev", "mnt", "proc", "run", "sys", "usr/share/grub", "var/lib"):
        tree.folder(name)
    tree.folder("root", mode=0o700)
    tree.folder("tmp", mode=0o1777)
    tree.link("var/run", "/run")
    tree.link("etc/mtab", "/proc/self/mounts")
    tree.character_device("dev/console", 5, 1)
    tree.character_device("dev/null", 1, 3)
    tree.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    tree.file("etc/group", b"root:x:0:\n")
    tree.file("etc/hosts", b"127.0.0.1 localhost\n")
    tree.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    tree.program("init", FILES / "init")
    tree.program("usr/lib/dodai/dhcp", FILES / "dhcp")


def _programs(stage: Stage, tree: Tree) -> None:
    paths = {name: stage.program(name) for name in PROGRAMS}
    for name, path in paths.items():
        tree.program(f"usr/bin/{path.name}", path)
        if path.name != name:
            tree.link(f"usr/bin/{name}", path.name)
    for name in KMOD_NAMES:
        tree.link(f"usr/bin/{name}", "kmod")
    for applet in stage.run("busybox", "--list").split():
        if f"usr/bin/{applet}" not in tree:
            tree.link(f"usr/bin/{applet}", "busybox")
    # pthread_cancel() loads libgcc_s by name at run time.
    unwinder = stage.folder / "lib/x86_64-linux-gnu/libgcc_s.so.1"
    for soname, path in (stage.libraries(paths.values()) | {unwinder.name: unwinder}).items():
        tree.program(f"{LIBRARIES}/{soname}", path)
    tree.program(f"usr/{LOADER}", (stage.folder / LOADER).resolve())
    tree.file("etc/mke2fs.conf", stage.folder / "etc/mke2fs.conf")


def _grub(stage: Stage, tree: Tree) -> None:
    for target in ("i386-pc", "x86_64-efi"):
        folder = stage.folder / "usr/lib/grub" / target
        wanted = _with_dependencies(GRUB_MODULES, (folder / "moddep.lst").read_text())
        for path in sorted(folder.iterdir()):
            is_support = path.suffix in (".img", ".lst", ".sh")
            if path.is_file() and (is_support or (path.suffix == ".mod" and path.stem in wanted)):
                tree.file(f"usr/lib/grub/{target}/{path.name}", path)


def _with_dependencies(names: Iterable[str], moddep: str) -> set[str]:
    """moddep.lst has a line `module: what it needs` each."""
    table = {line.partition(":")[0]: line.partition(":")[2].split() for line in moddep.splitlines()}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += table.get(name, [])
    return wanted


def _certificates(stage: Stage, tree: Tree) -> None:
    folder = stage.folder / "usr/share/ca-certificates/mozilla"
    bundle = b"".join(path.read_bytes() for path in sorted(folder.glob("*.crt")))
    if not bundle:
        raise RamdiskError("The package ca-certificates holds no certificates; its layout has changed.")
    tree.file("etc/ssl/certs/ca-certificates.crt", bundle)


def _modules(stage: Stage, tree: Tree, *, modules: ModuleTree, chosen: dict[str, Info], work: Path) -> None:
    home = stage.depmod(modules, chosen, work)
    for path in sorted(home.rglob("*")):
        is_text_twin = path.with_suffix(path.suffix + ".bin").exists() and path.name != "modules.dep"
        if path.is_file() and not is_text_twin:
            tree.file(f"usr/lib/modules/{home.name}/{path.relative_to(home)}", path)


def _firmware(stage: Stage, tree: Tree, chosen: Iterable[Info]) -> None:
    """The files that the chosen modules name, where the firmware packages have them."""
    top = stage.folder / "lib/firmware"
    for name in sorted({name for info in chosen for name in info.firmware}):
        for path in sorted(top.glob(name)) if _is_plain(name) else []:
            if path.exists():
                tree.file(f"usr/lib/firmware/{path.relative_to(top)}", path.resolve())


def _is_plain(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/") and bool(name)
