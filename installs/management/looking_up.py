"""What the commands share."""

from django.core.management.base import CommandError

from installs.models import Image


def image_named(name: str) -> Image:
    """Retired ones too: their plans say so."""
    image = Image.objects.filter(name=name).first()
    if image is None:
        known = ", ".join(Image.objects.filter(retired_at=None).values_list("name", flat=True)) or "none yet"
        raise CommandError(f"there is no image {name!r}; images: {known}")
    return image
