"""An image in the admin: its own columns, and what its method asks for."""

import copy
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from installs.images import metadata
from installs.methods import METHODS
from installs.models import Image


def methods_without_file() -> dict[str, str]:
    """Slug -> label: images of these are entered here; the others are taken in with their file."""
    return {method.slug: _(method.label) for method in METHODS.values() if "" in method.kinds}


def methods_of(image: Image) -> dict[str, str]:
    """Slug -> label of those that could install it with the same settings; its own is one of them."""
    asked = metadata.form_of(image.method)
    fitting = [each for each in METHODS.values() if image.kind in each.kinds and each.metadata_form is asked]
    return {method.slug: _(method.label) for method in fitting}


class MethodForm(forms.ModelForm):
    """The first step of entering an image without a file."""

    method = forms.ChoiceField(label=gettext_lazy("method"))

    class Meta:
        model = Image
        fields = ("method",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["method"] = forms.ChoiceField(label=_("method"), choices=list(methods_without_file().items()))


class ImageForm(forms.ModelForm):
    """The columns of an image, with the fields of its method's form beside them."""

    method_slug = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.method_slug:
            self.instance.method = self.method_slug
        for name, value in self.instance.metadata.items():
            self.initial[f"{metadata.PREFIX}-{name}"] = value
        if "method" in self.fields:
            choices = list(methods_of(self.instance).items())
            self.fields["method"] = forms.ChoiceField(label=_("method"), choices=choices)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        self.inner = metadata.bound(self.instance, self.data)
        if self.inner and not self.inner.is_valid():
            for name, problems in self.inner.errors.as_data().items():
                key = f"{metadata.PREFIX}-{name}"
                if key not in self.errors:
                    self.add_error(key if key in self.fields else None, problems)
        return given

    def save(self, commit: bool = True) -> Any:
        if self.inner:
            metadata.store(self.instance, self.inner)
        return super().save(commit)


def form_for(method: str) -> type[ImageForm]:
    """ImageForm for the images of one method."""
    asked = metadata.form_of(method)
    fields = {f"{metadata.PREFIX}-{name}": field for name, field in asked.base_fields.items()} if asked else {}
    return type("ImageForm", (ImageForm,), {**copy.deepcopy(fields), "method_slug": method})


def field_names(method: str) -> list[str]:
    """Of the fields that the method asks for, as the form of the image has them."""
    asked = metadata.form_of(method)
    return [f"{metadata.PREFIX}-{name}" for name in asked.base_fields] if asked else []
