"""Anaconda, the installer of Fedora, RHEL and what follows them."""

from typing import Any

from django.utils.translation import gettext_noop as _

from installs.methods.base import NetworkBoot
from installs.methods.installer import answers
from installs.methods.installer.family import InstallerMethod
from installs.methods.installer.forms import KickstartForm


class Kickstart(InstallerMethod):
    slug = "kickstart"
    label = _("Anaconda (kickstart)")
    metadata_form = KickstartForm
    first_files = {"ks.cfg": "ks.cfg"}

    def words(self, plan: dict[str, Any], boot: NetworkBoot) -> tuple[str, ...]:
        repository = answers.tree(plan)["url"]
        source = (f"inst.repo={repository}",) if repository else ()
        return (f"inst.ks={boot.file_url('ks.cfg')}", *source, "ip=dhcp")
