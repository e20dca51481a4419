"""The entries of the menu: where each leads, and who sees it. An entry whose page does not exist is not shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

STAFF = "staff"  # whoever may open the admin at all
SEEING = "machines.view_machine"


@dataclass(frozen=True)
class Entry:
    """`name` of the URL; `needs` a permission, or STAFF; `count` names a field of `navigation.Navigation`."""

    name: str
    icon: str
    label: "str | Promise"
    needs: str = SEEING
    count: str = ""
    look: str = ""


@dataclass(frozen=True)
class Section:
    label: "str | Promise"
    entries: Sequence[Entry]


MENU = (
    Section(_("Operate"), (
        Entry("fleet", "layout-grid", _("Fleet")),
        Entry("machines", "server-2", _("Machines"), count="machines"),
        Entry("installs", "rocket", _("Installs"), count="running", look="busy"),
        Entry("waves", "stack-2", _("Waves")),
        Entry("allocations", "user", _("Allocations")),
        Entry("pool", "bolt", _("Pool")),
    )),
    Section(_("Inventory"), (
        Entry("images", "disc", _("Images")),
        Entry("methods", "list-details", _("Methods")),
        Entry("clusters", "stack-2", _("Clusters"), "machines.view_cluster"),
        Entry("vlans", "topology-star-3", _("VLANs"), "machines.view_vlan"),
        Entry("cabling", "plug-connected", _("Cabling")),
        Entry("sightings", "eye", _("Sightings"), "machines.view_sighting"),
        Entry("inventory_import", "download", pgettext_lazy("menu", "Import"), "machines.add_machine"),
    )),
    Section(_("System"), (
        Entry("activity", "history", _("Activity")),
        Entry("system", "activity", _("System")),
        Entry("doctor", "tool", _("Doctor")),
        Entry("notices", "alert-circle", _("Notices"), "installs.change_noticetarget"),
        Entry("connect", "plug-connected", _("Connect real servers")),
        Entry("admin:index", "settings", _("Admin"), STAFF),
    )),
)  # fmt: skip
SECTIONS = {
    "plan": "machines", "task": "installs", "plan_many": "machines", "many": "machines",
    "enter_sighting": "connect", "adopt": "machines",
    "inventory": "inventory_import",
}  # fmt: skip
"""URLs whose entry cannot be told from their name."""


def menu_for(user: AbstractBaseUser | AnonymousUser) -> list[tuple["str | Promise", list[tuple[Entry, str]]]]:
    """Sections with the entries that this user may open, each with its address."""
    sections = [(section.label, _entries_for(section, user)) for section in MENU]
    return [(label, entries) for label, entries in sections if entries]


def section_of(url_name: str) -> str:
    """The entry that a page belongs to: `install_log` and `install` to `installs`; "" for none."""
    first = url_name.partition("_")[0]
    names = {entry.name for section in MENU for entry in section.entries}
    candidates = (url_name, SECTIONS.get(url_name, ""), SECTIONS.get(first, ""), first, f"{first}s")
    return next((name for name in candidates if name in names), "")


def url_if(name: str, *args: object) -> str | None:
    """The address of a page, or None where this Dodai has no such page."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return None


def _entries_for(section: Section, user: AbstractBaseUser | AnonymousUser) -> list[tuple[Entry, str]]:
    found = [(entry, url_if(entry.name)) for entry in section.entries if _may(user, entry.needs)]
    return [(entry, address) for entry, address in found if address]


def _may(user: AbstractBaseUser | AnonymousUser, needs: str) -> bool:
    return bool(user.is_staff) if needs == STAFF else user.has_perm(needs)  # type: ignore[union-attr]
