"""What an approved plan is bound to: an install may write only while all of it is still so."""

from typing import Any

from installs import digests, plan, ways
from installs.erasing import planned
from installs.layout import layout_of
from installs.models import Image, Install


def changed_fact(install: Install) -> str:
    """The first fact that is not as it was approved, in English words for the record; "" while the plan holds."""
    if digests.digest(plan.parts_of(install.plan)) != install.plan_digest:
        return "the stored plan"
    present = _present(install)
    for fact, keys in plan.PARTS.items():
        if any(key in present and present[key] != _approved(install, key) for key in keys):
            return digests.FACTS[fact]
    return ""


def _present(install: Install) -> dict[str, Any]:
    """The inventory and the image as they are now, under the names of the frozen plan."""
    machine, image = install.machine, _as_approved(install)
    found: dict[str, Any] = {
        "attempt": {"id": install.pk, "machine": machine.name, "serial": machine.serial},
        "identity": plan.identity_of(machine),
    }
    if "disks" in install.plan:
        found["disks"] = planned.disks_of(machine)
    if image and install.image:
        chosen = machine.disks.filter(is_root=True) if ways.write_disks(install.image) else []
        roots = [plan.disk_facts(disk) for disk in chosen]
        found |= {
            "disk": roots[0] if len(roots) == 1 else None,
            "image": _without_address(plan.image_facts(machine, image)),
            "method": image.method,
            "layout": layout_of(image),
            "image_kernel_args": image.kernel_args,
            "first_boot_commands": image.first_boot_commands or None,
            "fallbacks": image.fallbacks or None,
        }
    return found


def _as_approved(install: Install) -> Image | None:
    """The image by the way of this attempt. One that has no such way any more is taken as it is: that differs, too."""
    image = install.image
    has_it = image is not None and install.fallback in ways.numbers(image)
    return ways.image_by(image, install.fallback) if image is not None and has_it else image


def _approved(install: Install, key: str) -> Any:
    value = install.plan.get(key)
    return _without_address(value) if key == "image" and isinstance(value, dict) else value


def _without_address(image: dict[str, Any]) -> dict[str, Any]:
    """Where the file is fetched is frozen with the attempt: it may move meanwhile, its digest may not."""
    return {name: value for name, value in image.items() if name != "url"}
