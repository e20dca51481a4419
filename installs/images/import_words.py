"""How an import is, in words that are true at each moment."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dodaiweb.formats import share_of, size
from installs.images import fetching
from installs.models import ImageImport

State, Source = ImageImport.State, ImageImport.Source

PHASES = {
    "receive": gettext_lazy("Receiving the file"),
    "fetch": gettext_lazy("Fetching"),
    "copy": gettext_lazy("Copying"),
    "install": gettext_lazy("Installing packages"),
    "pack": gettext_lazy("Packing the tree"),
    "verify": gettext_lazy("Checking its digest"),
    "check": gettext_lazy("Looking into it"),
    "convert": gettext_lazy("Converting"),
}


@dataclass(frozen=True)
class ImportWords:
    """`share` is None where nobody knows how much there is to come."""

    row: ImageImport
    headline: str
    progress: str
    share: float | None
    origin: str


def words_for(row: ImageImport) -> ImportWords:
    is_moving = row.state in (State.RECEIVING, State.RUNNING)
    return ImportWords(
        row, _headline(row), _progress(row) if is_moving else "",
        row.done / row.total if is_moving and row.total else None, origin(row),
    )  # fmt: skip


def origin(row: ImageImport) -> str:
    match row.source:
        case Source.URL:
            return fetching.without_query(row.place)
        case Source.DEBIAN:
            return _("Debian's packages, built on this computer")
    return row.place


def _headline(row: ImageImport) -> str:
    match row.state:
        case State.RECEIVING | State.RUNNING:
            return str(PHASES.get(row.phase, _("Beginning")))
        case State.WAITING:
            return _("Waits to be tried again") if row.error else _("Waits for its turn")
        case State.DONE:
            return _("Taken in")
        case State.FAILED:
            return _("Failed")
    return _("Cancelled by %(who)s") % {"who": row.cancelled_by}


def _progress(row: ImageImport) -> str:
    if row.phase == "install":
        return _("%(done)d of %(total)d packages") % {"done": row.done, "total": row.total}
    return share_of(row.done, row.total) if row.total else size(row.done) if row.done else ""
