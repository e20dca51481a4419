"""Subiquity, the installer of Ubuntu's servers."""

from typing import Any

from django.utils.translation import gettext_noop as _

from installs.methods.base import NetworkBoot
from installs.methods.installer.family import InstallerMethod
from installs.methods.installer.forms import AutoinstallForm


class Autoinstall(InstallerMethod):
    slug = "autoinstall"
    label = _("Ubuntu's installer (autoinstall)")
    metadata_form = AutoinstallForm
    first_files = {"user-data": "user-data", "meta-data": "", "vendor-data": ""}

    def words(self, plan: dict[str, Any], boot: NetworkBoot) -> tuple[str, ...]:
        """It loads its whole ISO into memory; cloud-init fetches user-data from the place that `s` names."""
        image = (f"url={plan['image']['url']}",) if plan["image"]["sha256"] else ()
        return ("autoinstall", f"ds=nocloud;s={boot.file_url('')}", "cloud-config-url=/dev/null", *image, "ip=dhcp")
