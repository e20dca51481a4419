"""The forms of allocations and of levels of the pool. Both can be filled by an address, too."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from installs.allocation.asking import Asked
from installs.models import Image
from installs.models.allocations import MOST
from machines.models import Cluster, MachineType

CHOOSE = _("Choose…")


class RowField(forms.ModelChoiceField):
    """A number that is far too large is no row, and no fault of the database."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > 18:
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice", params={"value": "?"})
        return super().to_python(value)


def _images() -> QuerySet[Image]:
    return Image.objects.filter(retired_at=None)


class WhatForm(forms.Form):
    """A type of machine, and an image."""

    type = RowField(MachineType.objects, label=_("Machine type"), empty_label=CHOOSE)
    image = RowField(Image.objects.none(), label=_("Image"), empty_label=CHOOSE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["image"].queryset = _images()  # type: ignore[attr-defined]


class AskForm(WhatForm):
    cluster = RowField(Cluster.objects.select_related("vlan"), label=_("Cluster"), empty_label=CHOOSE)
    count = forms.IntegerField(label=_("Machines"), min_value=1, max_value=MOST, initial=1)
    spares = forms.IntegerField(label=_("Spares"), min_value=0, max_value=MOST, initial=0, required=False)
    owner = forms.CharField(label=_("Owner"), max_length=127, required=False)
    all_or_nothing = forms.BooleanField(label=_("All or nothing"), required=False)

    @property
    def asked(self) -> Asked:
        """What a valid form asks for."""
        given = dict(self.cleaned_data)
        return Asked(**given | {"spares": given["spares"] or 0})


class LevelForm(WhatForm):
    level = forms.IntegerField(label=_("Warm machines"), min_value=0, max_value=MOST, initial=1)
    at_once = forms.IntegerField(label=_("Installs at once"), min_value=1, max_value=MOST, initial=2)
