"""What a machine does in the course of each method, and an image for each."""

import hashlib
import shutil
import time
from typing import Any

from django.conf import settings

from installs.models import Image
from installs.ramdisk.stage import Stage
from tests import disk_files, installer_answers, installing
from tests.guarantees.whole import Player, Site, kernel_of
from tests.iscsi_machines import Exporter

DISK_MIB = 12
HOLD_SECONDS = 1.5  # some words of how far it is, in the middle of the copy


class DiskImagePlayer(Player):
    phase = "write"


class IscsiPlayer(Player):
    """Exports a file by the real tgtd, for Dodai's real qemu-img; the first copy stops in its middle for a while."""

    tgt: Stage  # set once it has been fetched
    raw = disk_files.gpt(DISK_MIB)

    def _write(self, writer: installing.Server) -> None:
        for phase in ("clear", "turn"):
            writer.say("progress", {"phase": phase})
        work = self.site.home / f"{self.name}-{time.time_ns()}"
        work.mkdir()
        disk = work / "disk"
        disk.write_bytes(b"\xa5" * len(self.raw))
        exporter = Exporter(
            writer, self.tgt, disk, work, hold_after=len(self.raw) // 10, hold_seconds=HOLD_SECONDS, over=self.over
        )
        exporter.run()
        assert (exporter.error, exporter.ended) == (None, "copied")
        assert disk.read_bytes() == self.raw, "what is on the disk is not the image"
        shutil.rmtree(work)
        for phase in ("verify", "configure"):
            writer.say("progress", {"phase": phase})


class LivePlayer(Player):
    """Runs its system from memory: no grant, no restart. The boot that asked last is the one that is up."""

    stages = ("boot from network", "on")

    def _play(self) -> None:
        first, second = self._booted()
        first.say("install", {})
        first.ask_settings()
        self._finish(second, second.ask_settings())


class InstallerPlayer(Player):
    """Is led to its first file, gets its answers, and restarts by itself."""

    stages = ("boot from network", "on", "boot from disk")

    def _play(self) -> None:
        first, second = self._booted()
        first.say("install", {})
        assert isinstance(first, _InstallerKernel)
        assert "DODAI_ANSWERS=" in first.ask_answers()
        writer, granted = self._contest(first, second)
        for phase in ("partition", "base"):
            writer.say("progress", {"phase": phase})
        self.story.rebooted_at = time.time()
        writer.say("install_reboot")
        self._await("its disk to be the first", lambda: any(told.what == "boot from disk" for told in self.told()))
        self._finish(writer, granted)

    def _kernel(self) -> installing.Server:
        return kernel_of(self, _InstallerKernel)


class _InstallerKernel(installer_answers.Installing):
    @property
    def mac(self) -> str:
        return next(card.mac for card in self.machine.interfaces.all() if card.is_pxe)

    def boot(self) -> bool:
        """False where the firmware is not led to the installer."""
        if " url=" not in self.ask_boot():
            return False
        self.boot_installer("preseed")
        return True


PLAYERS: dict[str, type[Player]] = {
    "file-tree": Player, "disk-image": DiskImagePlayer, "iscsi": IscsiPlayer, "live": LivePlayer,
    "preseed": InstallerPlayer,
}  # fmt: skip


def images(site: Site) -> dict[str, Image]:
    """One for each method; made at the first call."""
    known = {image.method: image for image in Image.objects.filter(fallbacks=[])}
    return {method: known.get(method) or _image(site, method) for method in PLAYERS}


def _image(site: Site, method: str) -> Image:
    digests: dict[str, Any] = {"disk-image": ("raw", "cd" * 32), "live": ("squashfs", "ef" * 32)}
    if method == "file-tree":
        return installing.make_image()
    if method == "preseed":
        return installer_answers.make_image("preseed")
    if method == "iscsi":
        return _packed_disk(site)
    kind, digest = digests[method]
    (site.data / "images" / digest).touch()
    return installing.make_image(method, kind=kind, method=method, sha256=digest)


def _packed_disk(site: Site) -> Image:
    """Its bytes are read: they are in the store, and Dodai has what it writes them with."""
    file = disk_files.packed(IscsiPlayer.raw, "raw.zst")
    digest = hashlib.sha256(file).hexdigest()
    (site.data / "images" / digest).write_bytes(file)
    (site.data / "tools").symlink_to(settings.DATA / "tools")
    sizes = {"size_bytes": len(file), "unpacked_bytes": len(IscsiPlayer.raw)}
    return installing.make_image("iscsi", kind="raw.zst", method="iscsi", sha256=digest, **sizes)
