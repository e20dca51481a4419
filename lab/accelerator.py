"""KVM or emulation: decided by a guest that really ran, for /dev/kvm may be there and hang."""

import asyncio
import json
import logging
import os
from pathlib import Path

from lab.needs import program
from lab.profiles import lab_folder

log = logging.getLogger(__name__)

PROBE_SECONDS = 3.0
_KVM = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A boot sector: mov al,0x10; out 0xf4,al; hlt. QEMU's isa-debug-exit then ends with status (0x10 << 1) | 1.
_SECTOR = bytes.fromhex("b010e6f4f4").ljust(510, b"\0") + b"\x55\xaa"
_RAN = 0x21


async def choose(data: Path) -> str:
    """`kvm` if a probe guest ran under it since this computer booted, else `tcg`. Takes PROBE_SECONDS at most (and 2
    more where a hanging probe is slow to die); the outcome is kept until the next boot of this computer."""
    kept = lab_folder(data) / "accelerator.json"
    host = _BOOT_ID.read_text().strip()
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return "tcg"
    try:
        known = json.loads(kept.read_text())
        if known["host"] == host and known["accelerator"] in ("kvm", "tcg"):
            return str(known["accelerator"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.debug("no earlier outcome of the KVM probe: %r", exc)
    accelerator = "kvm" if await _kvm_works(lab_folder(data) / "probe.img") else "tcg"
    kept.write_text(json.dumps({"host": host, "accelerator": accelerator}))
    return accelerator


async def _kvm_works(sector: Path) -> bool:
    sector.write_bytes(_SECTOR)
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "--", program("qemu-system-x86_64") or "qemu-system-x86_64",
        "-accel", "kvm", "-machine", "pc", "-m", "16", "-nodefaults", "-no-user-config", "-display", "none",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
        "-drive", f"if=ide,format=raw,readonly=off,snapshot=on,file={str(sector).replace(',', ',,')}",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        return await asyncio.wait_for(process.wait(), PROBE_SECONDS) == _RAN
    except TimeoutError:
        log.warning("/dev/kvm is there, but a guest did not run under it within %s s: emulating", PROBE_SECONDS)
        process.kill()
        try:
            await asyncio.wait_for(process.wait(), 2)
        except TimeoutError:
            log.warning("the KVM probe (pid %s) does not die", process.pid)
        return False
    finally:
        sector.unlink(missing_ok=True)
