"""Writes the rows of installs. Everything that changes one goes through here."""

from installs import lifecycle
from installs.models import Event, Install, add_event
from machines import doorbell

JOB = "installs.jobs.look"


def lock(install_id: int) -> Install:
    """Without the long columns: they are fetched where they are used, which no event of a machine does."""
    found = Install.objects.select_for_update(of=("self",)).select_related("machine")
    return found.defer("error_detail", "machine__facts").get(pk=install_id)


def change(install: Install, event: str, *, by: str = "", text: str = "", **fields: object) -> None:
    """The one place where an install's state changes: through the table, on a locked row, with a trace."""
    fields["state"] = lifecycle.after(install.state, event)
    save(install, **fields)
    add_event(install, Event.Kind.STATE, event, by=by, text=text)


def save(install: Install, **fields: object) -> None:
    for name, value in fields.items():
        setattr(install, name, value)
    install.save(update_fields=list(fields))
    doorbell.tell_pages(install=install.pk, machine=install.machine_id)


def ring() -> None:
    """Have a worker look for due installs, once this transaction is committed."""
    doorbell.ring(JOB)
