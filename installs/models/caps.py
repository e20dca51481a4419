"""How many machines people may install."""

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

MOST = 1000


class InstallCap(models.Model):
    """What the members of a group may install by themselves; without a group: superusers and the command line."""

    group = models.OneToOneField(
        "auth.Group", models.CASCADE, null=True, blank=True, related_name="install_cap", verbose_name=_("group"),
        help_text=_("Empty: superusers and the command line"),
    )  # fmt: skip
    per_request = models.PositiveIntegerField(
        _("machines at once"), default=20, validators=[MaxValueValidator(MOST)], help_text=_("0: none")
    )
    per_hour = models.PositiveIntegerField(_("installs in an hour"), default=50, help_text=_("0: none"))

    class Meta:
        verbose_name = _("cap on installs")
        verbose_name_plural = _("caps on installs")
        constraints = [
            models.UniqueConstraint(
                Coalesce("group", models.Value(0)), name="one_cap_for_superusers",
                violation_error_message=_("Superusers and the command line have a cap already: change that one."),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.group or _("superusers and the command line"))
