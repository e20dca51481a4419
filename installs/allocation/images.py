"""Whether what a machine runs is still what its image is now."""

from collections.abc import Iterable
from typing import Any

from installs import plan, ways
from installs.layout import layout_of
from installs.models import Image, Install

PARTS = ("image", "layout", "image_kernel_args", "first_boot_commands")


def is_current(install: Install, image: Image) -> bool:
    """Whether an install of `image` by the same way would put the same on the machine today."""
    if install.image_id != image.pk or install.fallback not in ways.numbers(image):
        return False
    as_installed = ways.image_by(image, install.fallback)
    present = {
        "image": plan.contents_of(as_installed),
        "layout": layout_of(as_installed),
        "image_kernel_args": as_installed.kernel_args,
        "first_boot_commands": as_installed.first_boot_commands,
    }
    return all(_without_address(present[name]) == _without_address(install.plan.get(name)) for name in PARTS)


def is_warm(install: Install, image: Image) -> bool:
    """Whether what this install made can be handed over as `image`: Dodai still has the key to it."""
    key = getattr(install, "machine_key", None)
    return key is not None and key.is_kept and is_current(install, image)


def newest_installs(machines: Iterable[int]) -> dict[int, Install]:
    """By machine, the install that made what it runs now, with its key. One query."""
    done = Install.objects.real_installs().filter(machine__in=list(machines), state="installed").order_by("pk")
    return {install.machine_id: install for install in done.select_related("machine_key").defer("error_detail")}


def _without_address(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name != "url"}
    return value or None
