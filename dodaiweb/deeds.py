"""What people did on pages to things that keep no history of their own, in the log that the admin keeps.

The log has who, when and the thing; `Deed` says in one word what was done, and pages say it in the reader's language.
"""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, TextChoices
from django.utils.translation import gettext_lazy as _

NAMED = 200  # characters of a thing's name


class Deed(TextChoices):
    """The label is the sentence; `%(what)s` is the thing."""

    ADDED = "added", _("added %(what)s")
    CHANGED = "changed", _("changed %(what)s")
    REMOVED = "removed", _("removed %(what)s")
    TESTED = "tested", _("sent a test to %(what)s")
    RETIRED = "retired", _("retired %(what)s")
    BROUGHT_BACK = "brought-back", _("brought back %(what)s")
    FORGOT = "forgot", _("forgot %(what)s")
    PRACTICE_REMOVED = "practice-removed", _("removed the practice servers")
    PRACTICE_WANTED = "practice-wanted", _("brought back the practice servers")
    UNLOCKED = "unlocked", _("unlocked logging in for %(what)s")


FLAGS = {Deed.ADDED: ADDITION, Deed.REMOVED: DELETION, Deed.FORGOT: DELETION}
BY_FLAG = {ADDITION: Deed.ADDED, CHANGE: Deed.CHANGED, DELETION: Deed.REMOVED}


def note(user: Any, deed: Deed, thing: Model | None = None) -> None:
    """Keep that `user` did it, while `thing` still has its number."""
    kind = ContentType.objects.get_for_model(thing) if thing else None
    LogEntry.objects.create(
        user_id=user.pk, content_type=kind, object_id=str(thing.pk) if thing else None,
        object_repr=str(thing or "")[:NAMED], action_flag=FLAGS.get(deed, CHANGE), change_message=deed.value,
    )  # fmt: skip


def words_of(entry: LogEntry) -> str:
    """One row of the log. Reads its content type: select it with the row."""
    deed = Deed(entry.change_message) if entry.change_message in Deed else BY_FLAG[entry.action_flag]
    kind = entry.content_type.name if entry.content_type else ""
    return str(deed.label) % {"what": f"{kind} {entry.object_repr}".strip()}
