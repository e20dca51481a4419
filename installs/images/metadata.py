"""What the method of an image asks for beside the file: checked by the method's own form, secrets sealed."""

import json
from typing import Any

from django import forms
from django.core.serializers.json import DjangoJSONEncoder

from dodaiweb import keys
from installs.methods import METHODS
from installs.models import Image

PURPOSE = "image secrets"
PREFIX = "metadata"


def form_of(method: str) -> type[forms.Form] | None:
    known = METHODS.get(method)
    return known.metadata_form if known else None


def bound(image: Image, data: Any) -> forms.Form | None:
    """The form of the image's method, with what was sent; its names begin with PREFIX."""
    form = form_of(image.method)
    return form(data, prefix=PREFIX, initial=image.metadata) if form else None


def store(image: Image, form: forms.Form) -> None:
    """Set the columns from a valid form. A secret left empty stays as it was. The caller saves."""
    given = json.loads(json.dumps(form.cleaned_data, cls=DjangoJSONEncoder))
    names = secret_names(type(form))
    image.metadata = {name: value for name, value in given.items() if name not in names}
    kept = secrets_of(image) | {name: given[name] for name in names if given.get(name)}
    image.secrets_sealed = keys.encrypt(json.dumps(kept), purpose=PURPOSE) if kept else ""


def secrets_of(image: Image) -> dict[str, Any]:
    """The secret values in clear, by their names."""
    found: dict[str, Any] = {}
    if image.secrets_sealed:
        found = json.loads(keys.decrypt(image.secrets_sealed, purpose=PURPOSE))
    return found


def secret_names(form: type[forms.Form]) -> tuple[str, ...]:
    """Fields that the form itself calls secret."""
    return tuple(getattr(form, "secret_fields", ()))
