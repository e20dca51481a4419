"""KVM or emulation: decided by a kernel that really booted, for /dev/kvm may be there and hang, or run a boot sector
and then no kernel."""

import asyncio
import json
import logging
import os
from pathlib import Path

from installs import ramdisk
from lab import qemu
from lab.needs import program
from lab.profiles import lab_folder

log = logging.getLogger(__name__)

PROBE_SECONDS = 8.0
PROBE_MIB = 256
LOOK_EVERY_SECONDS = 1.0
_KVM = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOTED = b"Kernel panic - not syncing: VFS"  # a kernel that was given no root file system has booted as far as it can


class Accelerator:
    """What the lab's guests run under: `auto` until it is found, for the probe needs the ramdisk's kernel."""

    def __init__(self, data: Path, name: str = "auto") -> None:
        self.data = data
        self.name = name
        self._probing = asyncio.Lock()

    async def find(self) -> str:
        """`kvm` if a kernel booted under it, else `tcg`. Takes PROBE_SECONDS at most (and 2 more where a hanging probe
        is slow to die). That KVM fails is kept until this computer boots again; that it works is tried anew."""
        async with self._probing:
            if self.name == "auto" and (found := await self._probe()):
                self.name = found
        return "tcg" if self.name == "auto" else self.name

    async def settle(self) -> None:
        """Find it as soon as there is a ramdisk, so that no server waits for the probe when it is switched on."""
        while await self.find() and self.name == "auto":
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        log.info("practice servers run under %s", self.name)

    async def _probe(self) -> str | None:
        """None: there is no kernel to try it with yet."""
        if not os.access(_KVM, os.R_OK | os.W_OK) or self._is_known_to_fail():
            return "tcg"
        if (built := ramdisk.latest("lab", self.data)) is None:
            return None
        if await kernel_boots(built.kernel, "kvm"):
            return "kvm"
        log.warning("/dev/kvm is there, but no kernel booted under it within %s s: emulating", PROBE_SECONDS)
        self._kept.write_text(json.dumps({"host": _BOOT_ID.read_text().strip(), "kvm": False}))
        return "tcg"

    def _is_known_to_fail(self) -> bool:
        try:
            return bool(json.loads(self._kept.read_text()) == {"host": _BOOT_ID.read_text().strip(), "kvm": False})
        except (OSError, ValueError) as exc:
            log.debug("no earlier outcome of the KVM probe: %r", exc)
            return False

    @property
    def _kept(self) -> Path:
        return lab_folder(self.data) / "accelerator.json"


async def kernel_boots(kernel: Path, accelerator: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether that kernel boots, on a processor as the guests have it, until it misses its root file system."""
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "--", program("qemu-system-x86_64") or "qemu-system-x86_64",
        "-machine", "pc,graphics=off", *qemu.processor(accelerator), "-m", str(PROBE_MIB),
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        try:
            await asyncio.wait_for(process.wait(), 2)
        except TimeoutError:
            log.warning("the probe of %s (pid %s) does not die", accelerator, process.pid)
        return False
    return _BOOTED in said
