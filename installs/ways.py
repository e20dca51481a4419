"""The methods of an image in the order in which they are tried: its own first, then its fallbacks.

A way is named by its number: 0 is the image's own method, 1 and 2 are its fallbacks.
"""

import copy

from installs.methods import METHODS
from installs.methods.base import InstallMethod
from installs.models import Image

MOST_FALLBACKS = 2


def numbers(image: Image) -> range:
    return range(1 + len(image.fallbacks))


def image_by(image: Image, way: int) -> Image:
    """The image as it is installed by this way: a copy, never to be saved. Raises IndexError where there is none."""
    if not way:
        return image
    found, as_it_is = image.fallbacks[way - 1], copy.copy(image)
    as_it_is.method, as_it_is.metadata = found["method"], found["metadata"]
    return as_it_is


def method_by(image: Image, way: int) -> InstallMethod | None:
    return METHODS.get(image_by(image, way).method)


def write_disks(image: Image) -> bool:
    """Whether any of its ways does: the disk is then named and confirmed before the first of them begins."""
    methods = [method_by(image, way) for way in numbers(image)]
    return any(method is None or method.writes_disks for method in methods)


def offered(image: Image) -> dict[str, str]:
    """Slug -> label of the methods that may be its fallbacks: they install such a file, or need none.

    Those that ask for secrets are no fallbacks: an image keeps the secrets of one method.
    """
    return {
        method.slug: method.label for method in METHODS.values()
        if method.slug != image.method
        and (image.kind in method.kinds or "" in method.kinds)
        and not getattr(method.metadata_form, "secret_fields", ())
        and method.kinds
    }  # fmt: skip
