"""What somebody asked for: so many machines of a type, with an image, into a cluster. And the levels of the pool."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from installs.allocation.lifecycle import OPEN, Part, State
from installs.models.images import Image
from installs.models.install import Install
from machines.models import Cluster, Machine, MachineType

MOST = 200  # machines of one allocation: people look at each of them


class Allocation(models.Model):
    """A request for machines. It holds those that it got until each of them is ready, or is let go."""

    type = models.ForeignKey(MachineType, models.PROTECT, related_name="+", verbose_name=_("type"))
    image = models.ForeignKey(Image, models.PROTECT, related_name="allocations", verbose_name=_("image"))
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="allocations", verbose_name=_("cluster"))
    count = models.PositiveSmallIntegerField(
        _("machines"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST)]
    )
    spares = models.PositiveSmallIntegerField(_("spares"), default=0, validators=[MaxValueValidator(MOST)])
    all_or_nothing = models.BooleanField(
        _("all or nothing"), default=False, help_text=_("Give all back where not all of them can be had.")
    )
    owner = models.CharField(_("owner"), max_length=127, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WORKING)
    requested_by = models.CharField(max_length=150)
    why_ended = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("allocation")
        verbose_name_plural = _("allocations")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"allocation {self.pk}"


class AllocationMachine(models.Model):
    """A machine that an allocation got, and what became of it there."""

    allocation = models.ForeignKey(Allocation, models.CASCADE, related_name="machines")
    machine = models.ForeignKey(Machine, models.PROTECT, related_name="allocations")
    position = models.PositiveSmallIntegerField()
    was_warm = models.BooleanField(default=False)
    is_spare = models.BooleanField(default=False)
    was_member = models.BooleanField(default=False, help_text="Of the cluster, before it was asked for")
    was_owned = models.BooleanField(default=False, help_text="By the owner, before it was asked for")
    state = models.CharField(max_length=10, choices=Part, default=Part.HELD)
    install = models.ForeignKey(
        Install, models.PROTECT, null=True, related_name="+", help_text="The newest of its attempts"
    )
    why = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("machine of an allocation")
        verbose_name_plural = _("machines of allocations")
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine"], condition=Q(state__in=sorted(OPEN)), name="one_open_allocation_per_machine"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.machine} of {self.allocation}"


class PoolLevel(models.Model):
    """How many machines of a type wait with an image for an owner."""

    type = models.ForeignKey(MachineType, models.CASCADE, related_name="levels", verbose_name=_("type"))
    image = models.ForeignKey(Image, models.CASCADE, related_name="levels", verbose_name=_("image"))
    level = models.PositiveSmallIntegerField(_("warm machines"), default=1, validators=[MaxValueValidator(MOST)])
    at_once = models.PositiveSmallIntegerField(
        _("installs at once"), default=2, validators=[MinValueValidator(1), MaxValueValidator(MOST)]
    )
    set_by = models.CharField(max_length=150, blank=True, editable=False)
    pause_until = models.DateTimeField(null=True, editable=False, help_text="An install failed: not before then")
    problem = models.TextField(blank=True, editable=False, help_text="Why it is not full, as of the last look")

    class Meta:
        verbose_name = _("level of the pool")
        verbose_name_plural = _("levels of the pool")
        ordering = ["type__name", "image__name"]
        constraints = [
            models.UniqueConstraint(fields=["type", "image"], name="one_level_per_type_and_image"),
        ]

    def __str__(self) -> str:
        return f"{self.type} with {self.image}"
