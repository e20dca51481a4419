from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LabConfig(AppConfig):
    """Here for the management command `lab` only: the lab has no models and reads no database."""

    name = "lab"
    verbose_name = _("Practice servers")
