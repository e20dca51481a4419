"""An image in the admin: its own columns, and what its method asks for."""

import copy
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from installs import ways
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
        for way, fallback in enumerate(self.instance.fallbacks, start=1):
            self.initial[metadata.prefix_of(way)] = fallback["method"]
            for name, value in fallback["metadata"].items():
                self.initial[f"{metadata.prefix_of(way)}-{name}"] = value
        if "method" in self.fields:
            choices = list(methods_of(self.instance).items())
            self.fields["method"] = forms.ChoiceField(label=_("method"), choices=choices)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        self.inner = metadata.bound(self.instance, self.data)
        if self.inner:
            self._judge(self.inner)
        self.fallbacks = metadata.bound_fallbacks(self.instance, self.data)
        for _method, inner in self.fallbacks:
            self._judge(inner)
        methods = [method for method, _inner in self.fallbacks]
        if len(set(methods)) < len(methods):
            self.add_error(metadata.prefix_of(2), _("This method was tried before: choose another one, or none."))
        return given

    def _judge(self, inner: forms.Form) -> None:
        if inner.is_valid():
            return
        for name, problems in inner.errors.as_data().items():
            key = f"{inner.prefix}-{name}"
            if key not in self.errors:
                self.add_error(key if key in self.fields else None, problems)

    def save(self, commit: bool = True) -> Any:
        if self.inner:
            metadata.store(self.instance, self.inner)
        metadata.store_fallbacks(self.instance, self.fallbacks)
        return super().save(commit)


def form_for(image: Image, data: Any | None) -> type[ImageForm]:
    """ImageForm for an image of this method and kind, with the fields of the fallbacks that are chosen in `data`."""
    asked = {metadata.PREFIX: image.method} | metadata.chosen(image, data)
    fields: dict[str, Any] = {}
    for prefix, method in asked.items():
        if prefix != metadata.PREFIX:
            fields[prefix] = _method_field(image)
        form = metadata.form_of(method)
        fields |= {f"{prefix}-{name}": field for name, field in form.base_fields.items()} if form else {}
    return type("ImageForm", (ImageForm,), {**copy.deepcopy(fields), "method_slug": image.method})


def field_names(method: str) -> list[str]:
    """Of the fields that the method asks for, as the form of the image has them."""
    asked = metadata.form_of(method)
    return [f"{metadata.PREFIX}-{name}" for name in asked.base_fields] if asked else []


def fallback_names(image: Image, data: Any | None) -> list[str]:
    """Of the fields of its fallbacks: the method of each, and what that asks for."""
    names = []
    for prefix, method in metadata.chosen(image, data).items():
        form = metadata.form_of(method)
        names += [prefix, *(f"{prefix}-{name}" for name in (form.base_fields if form else ()))]
    return names


def _method_field(image: Image) -> forms.ChoiceField:
    choices = [("", _("none")), *((slug, _(label)) for slug, label in ways.offered(image).items())]
    words = _("Tried without asking again when what was tried before fails. Save to see what it needs.")
    return forms.ChoiceField(label=_("if that fails"), choices=choices, required=False, help_text=words)
