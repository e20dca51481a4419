"""The image `tiny` as a squashfs, to run from memory."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from installs import ramdisk
from installs.ramdisk.apt import run
from installs.ramdisk.builder import fetch
from installs.ramdisk.stage import Stage
from lab import tiny

TOOLS = ("squashfs-tools", "zstd")
NEEDED = TOOLS + tuple("libc6 libgcc-s1 liblz4-1 liblzma5 liblzo2-2 libstdc++6 libzstd1 zlib1g".split())

Say = Callable[[str], None]


def build(data: Path, target: Path, say: Say = lambda text: None) -> None:
    """Write the squashfs. Raises ramdisk.RamdiskError."""
    base = ramdisk.latest("lab", data) or ramdisk.build("lab", data, say)
    system = tiny.build(data, say)
    with tempfile.TemporaryDirectory(prefix=".live-", dir=target.parent) as folder:
        stage, tree = Stage(Path(folder, "stage")), Path(folder, "tree")
        stage.unpack(file for file in fetch(TOOLS, data, say, like=base) if file.name.partition("_")[0] in NEEDED)
        tree.mkdir()
        unpacker = quote(" ".join(map(quote, stage.command("zstd", "-d"))))
        words = f"tar -x --no-same-owner -C {quote(str(tree))} -f {quote(str(system.path))} -I {unpacker}"
        run(["sh", "-c", words], what="tar", timeout_seconds=60)
        options = "-noappend -all-root -quiet -no-progress -comp zstd -e boot".split()
        stage.run("mksquashfs", str(tree), str(target), *options)
