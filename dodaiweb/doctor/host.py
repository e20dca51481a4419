"""Checks of this computer: clock, disk, keys, programs."""

import ctypes
import shutil
import stat
from collections.abc import Iterator

from django.conf import settings

from dodaiweb import keys, rotation
from dodaiweb.doctor import Finding
from installs import ramdisk
from installs.models import Image
from lab import needs
from machines import key_proof
from machines.models import Bmc, Machine

GIB = 1 << 30
CLOCK_IS_FREE = 5  # TIME_ERROR of adjtimex(2): nobody keeps this clock right
TIMEX_BYTES = 512  # more than struct timex has anywhere
LEAST_FREE_BYTES = 1 * GIB
ROOM_FOR_IMAGES = 3  # an import needs the file, its unpacked copy and some air


def clock() -> Iterator[Finding]:
    """Certificates, deadlines and logs of many machines are compared by it."""
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)  # all zero: reads, sets nothing
    state = ctypes.CDLL(None).adjtimex(buffer)
    if state < 0:
        yield Finding("clock-unknown")
    else:
        yield Finding("clock-free" if state == CLOCK_IS_FREE else "clock-kept")
    off = [
        (name, item["values"]["minutes"])
        for name, report in Bmc.objects.exclude(test_report={}).values_list("machine__name", "test_report")
        for item in report.get("findings", ())
        if item.get("code") == "clock-off"
    ]
    if off:
        yield Finding("clock-differs", {"count": len(off), "names": ", ".join(name for name, _ in off[:5])})


def disk() -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.DATA)
    largest = max(Image.objects.values_list("size_bytes", flat=True), default=0)
    values = {"free_gib": round(usage.free / GIB, 1), "folder": str(settings.DATA)}
    if usage.free < LEAST_FREE_BYTES:
        yield Finding("disk-full", values)
    elif usage.free < max(ROOM_FOR_IMAGES * largest, 5 * GIB):
        yield Finding("disk-low", values)
    else:
        yield Finding("disk-enough", values)


def key_files() -> Iterator[Finding]:
    try:
        key_proof.check()
    except keys.KeyProblem:
        yield Finding("keys-wrong")
        return
    folder = settings.DATA / "keys"
    paths = (folder, *sorted(folder.iterdir()))
    loose = [path for path in paths if _is_open_to_others(path.stat().st_mode)]
    if loose:
        yield Finding("keys-open", {"paths": ", ".join(map(str, loose))})
    else:
        yield Finding("keys-right")
    if lost := rotation.lost():
        yield Finding("secrets-lost", {"count": lost})
    for name in keys.readers(settings.DATA):
        yield Finding("keys-two", {"name": name})


def ramdisks() -> Iterator[Finding]:
    real, lab = (ramdisk.latest(name, settings.DATA) for name in ("real", "lab"))
    if Machine.objects.real().exists() and real is None:
        yield Finding("ramdisk-lab-only" if lab else "ramdisk-missing")
    elif real or lab:
        yield Finding("ramdisk-built", {"version": (real or lab).version})  # type: ignore[union-attr]
    else:
        yield Finding("ramdisk-not-yet")


def lab_programs() -> Iterator[Finding]:
    missing = needs.missing()
    yield Finding("lab-needs", {"packages": " ".join(missing)}) if missing else Finding("lab-ready")


def _is_open_to_others(mode: int) -> bool:
    return bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
