"""How long an install will take, before it begins: from what earlier ones took, or worked out and said to be so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from installs.lifecycle import State
from installs.models import Image, Install
from machines.models import Machine

LOOKED_AT = 200  # the newest successes of an image
ENOUGH_OF_A_MODEL = 3  # fewer say less than those of all models
BOOTS = timedelta(minutes=3)  # two starts of a server: firmware, ramdisk, and the OS at the end
FETCH_BYTES_PER_SECOND, WRITE_BYTES_PER_SECOND = 100_000_000, 150_000_000  # a gigabit link; a slow SATA disk


@dataclass(frozen=True)
class Forecast:
    """`basis` says in words where `takes` comes from; `is_measured` whether anything was measured at all."""

    takes: timedelta
    basis: str
    is_measured: bool


def forecast(machine: Machine, image: Image) -> Forecast:
    """From the earlier successes of this image: on this model if there are enough. One query."""
    return _from(_took(image), machine, image)


def forecasts(wanted: Sequence[tuple[Machine, Image]]) -> dict[int, Forecast]:
    """The same for many, by machine. One query an image."""
    took: dict[int, list[tuple[str, timedelta]]] = {}
    for _machine, image in wanted:
        if image.pk not in took:
            took[image.pk] = _took(image)
    return {machine.pk: _from(took[image.pk], machine, image) for machine, image in wanted}


def _took(image: Image) -> list[tuple[str, timedelta]]:
    """Of its newest successes the model, and how long each took."""
    done = Install.objects.filter(image=image, state=State.INSTALLED, started_at__isnull=False, ended_at__isnull=False)
    columns = ("started_at", "ended_at", "machine__facts__manufacturer", "machine__facts__product")
    rows = done.values_list(*columns)[:LOOKED_AT]
    return [(_model(maker, product), end - begin) for begin, end, maker, product in rows]


def _from(took: Sequence[tuple[str, timedelta]], machine: Machine, image: Image) -> Forecast:
    model = _model(machine.facts.get("manufacturer"), machine.facts.get("product"))
    of_model = [seconds for name, seconds in took if name == model]
    if model and len(of_model) >= ENOUGH_OF_A_MODEL:
        return _measured(of_model, _("on %(model)s") % {"model": model})
    if took:
        return _measured([seconds for _name, seconds in took], _("on all models"))
    return Forecast(_guess(image), _("a guess from its size: this image was never installed here"), is_measured=False)


def _measured(took: list[timedelta], where: str) -> Forecast:
    words = ngettext(
        "median of %(n)s install of this image %(where)s", "median of %(n)s installs of this image %(where)s", len(took)
    ) % {"n": len(took), "where": where}
    seconds = median(value.total_seconds() for value in took)
    return Forecast(timedelta(seconds=seconds), words, is_measured=True)


def _guess(image: Image) -> timedelta:
    moving = image.size_bytes / FETCH_BYTES_PER_SECOND + image.unpacked_bytes / WRITE_BYTES_PER_SECOND
    return BOOTS + timedelta(seconds=moving)


def _model(maker: object, product: object) -> str:
    return f"{maker or ''} {product or ''}".strip()
