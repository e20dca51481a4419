"""What a machine does in the course of each method, and an image for each."""

import time
from typing import Any

from installs.models import Image
from tests import installer_answers, installing
from tests.guarantees.whole import Player, Site, kernel_of


class DiskImagePlayer(Player):
    phase = "write"


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
    "file-tree": Player, "disk-image": DiskImagePlayer, "live": LivePlayer, "preseed": InstallerPlayer,
}  # fmt: skip


def images(site: Site) -> dict[str, Image]:
    """One for each method; made at the first call."""
    known = {image.method: image for image in Image.objects.all()}
    return {method: known.get(method) or _image(site, method) for method in PLAYERS}


def _image(site: Site, method: str) -> Image:
    digests: dict[str, Any] = {"disk-image": ("raw", "cd" * 32), "live": ("squashfs", "ef" * 32)}
    if method == "file-tree":
        return installing.make_image()
    if method == "preseed":
        return installer_answers.make_image("preseed")
    kind, digest = digests[method]
    (site.data / "images" / digest).touch()
    return installing.make_image(method, kind=kind, method=method, sha256=digest)
