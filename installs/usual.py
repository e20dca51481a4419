"""What is usual for many installs at once: how long earlier successes of the same image took on such machines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Q

from installs.lifecycle import State
from installs.models import Install

LOOKED_AT = 150  # the newest successes of all images asked for, together
COMPARED = 15
ENOUGH_OF_A_MODEL = 3  # fewer say less about a machine of that model than those of all models do
LATE_BEYOND = 1.5  # times the usual
LATE_AT_LEAST = timedelta(seconds=30)  # more than the usual: seconds of a short install frighten nobody

Key = tuple[str, int | None]
"""(method, image): installs of other images say nothing."""


@dataclass(frozen=True)
class UsualTimes:
    """Medians from the question to the end."""

    by_model: Mapping[tuple[Key, str], timedelta]
    by_image: Mapping[Key, timedelta]

    def of(self, install: Install) -> timedelta | None:
        key = (install.method, install.image_id)
        return self.by_model.get((key, str(install.machine.facts.get("product") or ""))) or self.by_image.get(key)


NOTHING_KNOWN = UsualTimes({}, {})


def usual_times(installs: Iterable[Install]) -> UsualTimes:
    """For installs of any images. One query, none for no install."""
    keys = {(install.method, install.image_id) for install in installs}
    if not keys:
        return NOTHING_KNOWN
    of_images = Q(image__in={image for _, image in keys if image}) | Q(image=None)
    done = Install.objects.filter(
        of_images, state=State.INSTALLED, ended_at__isnull=False, method__in={method for method, _ in keys}
    )
    columns = ("method", "image_id", "machine__facts__product", "queued_at", "ended_at")
    by_image: dict[Key, list[float]] = {}
    by_model: dict[tuple[Key, str], list[float]] = {}
    for method, image, product, queued_at, ended_at in done.values_list(*columns)[:LOOKED_AT]:
        key, seconds = (method, image), (ended_at - queued_at).total_seconds()
        by_image.setdefault(key, []).append(seconds)
        by_model.setdefault((key, str(product or "")), []).append(seconds)
    return UsualTimes(
        {key: _median(took) for key, took in by_model.items() if len(took) >= ENOUGH_OF_A_MODEL},
        {key: _median(took) for key, took in by_image.items()},
    )


def is_late(install: Install, usual: timedelta | None, *, now: datetime) -> bool:
    """Whether a live install takes notably longer than is usual."""
    if usual is None or not install.is_live:
        return False
    return now - install.queued_at > max(usual * LATE_BEYOND, usual + LATE_AT_LEAST)


def _median(took: list[float]) -> timedelta:
    return timedelta(seconds=median(took[:COMPARED]))
