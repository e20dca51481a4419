"""What needs attention, by cause: one line for five machines that fell silent, not five lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from installs import again
from installs.advice import Advice, advice_for
from installs.models import Install

CAUSES = {
    "bmc-refused": _("the BMC refused"),
    "bmc-silent": _("the BMC did not answer"),
    "bootloader": _("no boot loader could be written"),
    "bug": _("a fault in Dodai"),
    "busy": _("the disk is busy: old RAID or LVM on it"),
    "cancelled": _("cancelled"),
    "cannot-be-done": _("an operator could not do it"),
    "digest": _("the image's file is not the one in the catalogue"),
    "disk": _("another disk than the plan says"),
    "fetch": _("the image could not be fetched"),
    "identity": _("another machine than the inventory says"),
    "image": _("the image lacks what an install needs"),
    "no-first-boot": _("installed, but the OS did not call"),
    "no-netboot": _("did not boot from the network"),
    "no-operator": _("no operator did it in time"),
    "own-host": _("Dodai itself runs there"),
    "plan": _("changed after its plan was approved"),
    "port": _("a switch port was not moved"),
    "wrong-host": _("somebody else answered"),
    "site-refused": _("the site refused"),
    "hand-over": _("not handed over"),
    "power": _("could not be switched on or off"),
    "power-lost": _("went off by itself"),
    "protected": _("protected meanwhile"),
    "script": _("a command of the installer failed"),
    "settings": _("the settings could not be written"),
    "silent": _("fell silent"),
    "space": _("the disk is too small"),
}


def cause_words(cause: str) -> str:
    """What a cause means, or the cause itself where a script named one of its own."""
    return str(CAUSES.get(cause) or cause)


@dataclass(frozen=True)
class Group:
    """Installs that failed alike, the newest first. Practice servers stand apart."""

    cause: str
    operation: str
    """Its slug, "" for installs."""
    is_practice: bool
    installs: Sequence[Install]

    @property
    def key(self) -> str:
        """Of this line on the page."""
        return "-".join([self.cause, self.operation, "practice" * self.is_practice]).strip("-")

    @property
    def is_inspection(self) -> bool:
        return self.operation == "inspect"

    @property
    def may_be_tried_again(self) -> bool:
        """By a click. The last attempts of their machines are what fails here."""
        return self.operation not in again.ANEW

    @property
    def machine_ids(self) -> str:
        return ",".join(str(install.machine_id) for install in self.installs)

    @property
    def newest(self) -> Install:
        return self.installs[0]

    @property
    def words(self) -> str:
        return str(CAUSES.get(self.cause) or self.cause or _("failed"))

    @property
    def advice(self) -> Advice:
        return advice_for(self.cause)


def grouped(failed: Iterable[Install]) -> list[Group]:
    """The most machines first, then what failed last. No query, if machine and site are loaded."""
    groups: dict[tuple[str, str, bool], list[Install]] = {}
    for install in failed:
        operation = "" if install.image_id else install.method
        groups.setdefault((install.cause, operation, install.machine.is_practice), []).append(install)
    made = [Group(*key, installs=members) for key, members in groups.items()]
    return sorted(made, key=lambda group: (group.is_practice, -len(group.installs), -group.newest.pk))
