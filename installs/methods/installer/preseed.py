"""Debian's installer."""

from typing import Any

from django.utils.translation import gettext_noop as _

from installs.methods.base import NetworkBoot
from installs.methods.installer.family import InstallerMethod
from installs.methods.installer.forms import PreseedForm


class Preseed(InstallerMethod):
    slug = "preseed"
    label = _("Debian's installer (preseed)")
    metadata_form = PreseedForm
    first_files = {"preseed.cfg": "preseed.cfg"}

    def words(self, plan: dict[str, Any], boot: NetworkBoot) -> tuple[str, ...]:
        """Its name goes here: a preseed file comes too late for it."""
        host, _dot, domain = plan["attempt"]["machine"].partition(".")
        named = (f"hostname={host}", f"domain={domain or 'local'}")
        return ("auto=true", "priority=critical", f"url={boot.file_url('preseed.cfg')}", *named)
