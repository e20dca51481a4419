"""What an attempt is called: the image that it installs, or what else it does to its machine."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as N_

from installs.methods import METHODS
from installs.models import Install


@dataclass(frozen=True)
class Words:
    """Of one operation, in English. `asked`: what somebody did; `going_on`: of a machine that keeps its state."""

    label: str
    failed: str
    cancelled: str
    asked: str
    going_on: str


OPERATIONS = {
    "inspect": Words(
        N_("Inspection"), N_("Inspection failed"), N_("Inspection cancelled"),
        N_("asked for an inspection"), N_("Being inspected"),
    ),
    "hand-over": Words(
        N_("Hand-over"), N_("Hand-over failed"), N_("Hand-over cancelled"),
        N_("asked for a hand-over"), N_("Being handed over"),
    ),
    "move": Words(
        N_("Move to another cluster"), N_("Move failed"), N_("Move cancelled"),
        N_("asked to move it to another cluster"), N_("Being moved"),
    ),
    "release": Words(
        N_("Release"), N_("Release failed"), N_("Release cancelled"),
        N_("asked to release it"), N_("Being released"),
    ),
    "undo-release": Words(
        N_("Undo of a release"), N_("Undo failed"), N_("Undo cancelled"),
        N_("asked to undo a release"), N_("Its release is being undone"),
    ),
    "erase": Words(
        N_("Erasure"), N_("Erasure failed"), N_("Erasure cancelled"),
        N_("asked to erase it"), N_("Being erased"),
    ),
}  # fmt: skip


def method_label(slug: str) -> str:
    """In the reader's language; the slug where nobody knows the method any more."""
    if slug in OPERATIONS:
        return _(OPERATIONS[slug].label)
    return _(METHODS[slug].label) if slug in METHODS else slug


def subject(install: Install) -> str:
    """`debian-12`, or what is done instead of installing: `Hand-over`. For lists of attempts."""
    return install.image.name if install.image else method_label(install.method)


def noun(install: Install) -> str:
    """Within a sentence or a title: `install`, `inspection`, `hand-over`."""
    return _("install") if install.image else method_label(install.method).lower()


def failed_words(install: Install) -> str:
    """That it failed, where the word stands beside the machine alone."""
    words = OPERATIONS.get(install.method)
    return _(words.failed) if words else _("Failed")


def cancelled_words(install: Install) -> str:
    words = OPERATIONS.get(install.method)
    return _(words.cancelled) if words else _("Cancelled")


def asked_words(install: Install) -> str:
    """What somebody did who asked for it."""
    if install.image:
        return _("asked to install %(image)s") % {"image": install.image.name}
    words = OPERATIONS.get(install.method)
    return _(words.asked) if words else _("asked for: %(what)s") % {"what": method_label(install.method)}


def going_on_words(method: str) -> str:
    """Of a machine that keeps its state meanwhile."""
    words = OPERATIONS.get(method)
    return _(words.going_on) if words else method_label(method)
