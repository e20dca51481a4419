"""Steps that move the ports of a machine as its plan says. One that cannot stops the install, and names the port."""

from datetime import timedelta

from django.db import transaction
from django.utils.timezone import now

from installs.methods.base import Again, Next, Outcome, StepFailed, Work
from installs.models import Event, add_event
from installs.notices import outbox
from machines import cabling
from machines.models import Interface, PortMove
from machines.network.base import NetworkError, NetworkRefused
from machines.network.move import Move, State, place

CAUSE = "port"
TRIES = 4
BUSY_PAUSE, FIRST_PAUSE, LOOK_AGAIN = timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=3)
PEOPLE_MAY_TAKE = timedelta(hours=2)
SWEPT_AFTER = PEOPLE_MAY_TAKE + timedelta(minutes=5)
SWITCH_WAIT_SECONDS = 1.0  # a worker has other things to do than to wait for a switch that is busy
CALL_TAKES = timedelta(seconds=10)  # more than any word to a switch

Places = dict[Interface, int | None]


def put(work: Work, where: str) -> Outcome:
    """Move all ports of the plan that have this place (BOOT, HOME of which.py), all or none."""
    places = places_of(work, where)
    return move(work, places) if places else Next()


def move(work: Work, places: Places) -> Outcome:
    """Raises StepFailed; where people are to do it this waits for them."""
    if asked := _asked(work):
        return _wait(work, asked)
    _look_for_refusals(work, places)
    work.hold(timedelta(seconds=SWITCH_WAIT_SECONDS) + CALL_TAKES * (4 * len(places) + 1))
    try:
        moves = cabling.move_cards(places, by=str(work.install), wait_seconds=SWITCH_WAIT_SECONDS, check=work.lock)
    except cabling.SwitchBusy:
        return Again(BUSY_PAUSE)
    except NetworkRefused as exc:
        raise StepFailed(_why(work, exc), cause=CAUSE) from exc
    except NetworkError as exc:
        return _try_again(work, exc)
    if any(each.state == State.ASKED for each in moves):
        return _ask(work)
    _forget_task(work)
    return Next(note="; ".join(map(_told, moves)))


def check(work: Work, where: str) -> Outcome:
    """Ask the switches where the ports are now: what they say counts, not what was sent."""
    places = places_of(work, where)
    if not places:
        return Next()
    work.hold(CALL_TAKES * (len(places) + 1))
    try:
        found = cabling.read_cards(places)
    except NetworkRefused as exc:
        raise StepFailed(_why(work, exc), cause=CAUSE) from exc
    except NetworkError as exc:
        return _try_again(work, exc)
    for card, vlan in places.items():
        if vlan is not None and found[card] != vlan:
            words = f"{card.switch} port {card.switch_port} is in {place(found[card])} instead of {place(vlan)}"
            raise StepFailed(_why(work, words), cause=CAUSE)
    return Next()


def places_of(work: Work, where: str) -> Places:
    """As the plan has them. Raises StepFailed where the cabling was changed after it was approved."""
    entries = [entry for entry in work.install.plan.get("ports", ()) if where in entry]
    if not entries:
        return {}
    cards = {card.mac: card for card in work.machine.interfaces.select_related("switch", "machine__site")}
    places: Places = {}
    for entry in entries:
        card = cards.get(entry["mac"])
        if card is None or (str(card.switch), card.switch_port) != (entry["switch"], entry["port"]):
            words = f"{entry['mac']} is no longer entered at {entry['switch']} port {entry['port']}: nothing was sent"
            raise StepFailed(_why(work, words), cause=CAUSE)
        places[card] = entry[where]
    return places


def task_of(work: Work) -> str:
    """What people are asked; which ports stands on the machine's page."""
    return f"{work.machine.name}: move its switch ports as its page says, and confirm it there"


def _asked(work: Work) -> list[PortMove]:
    return [row for row in cabling.open_moves(work.machine.pk) if row.asked_by == str(work.install)]


def _ask(work: Work) -> Again:
    install = work.install
    if task_of(work) not in install.operator_task:
        install.operator_task = "; ".join(filter(None, (install.operator_task, task_of(work))))[-255:]
    # Sweep gives up a little later than the step itself does, which knows what nobody did.
    work.keep(operator_task=install.operator_task, give_up_at=now() + SWEPT_AFTER)
    with transaction.atomic():
        outbox.note_task(install)
    return Again(LOOK_AGAIN)


def _wait(work: Work, asked: list[PortMove]) -> Again:
    if min(row.asked_at for row in asked) + PEOPLE_MAY_TAKE < now():
        ports = ", ".join(f"{row.switch} port {row.port}" for row in asked)
        hours = PEOPLE_MAY_TAKE / timedelta(hours=1)
        raise StepFailed(_why(work, f"nobody moved {ports} within {hours:.0f} hours"), cause=CAUSE)
    # A worker may have died after the ports were asked for, before it said so.
    return Again(LOOK_AGAIN) if task_of(work) in work.install.operator_task else _ask(work)


def _look_for_refusals(work: Work, places: Places) -> None:
    """Raises StepFailed where a person said that it cannot be done."""
    told = PortMove.objects.filter(interface__in=places, asked_by=str(work.install)).exclude(ended_by="")
    newest = told.order_by("-pk").select_related("switch").first()
    if newest and newest.state == PortMove.State.FAILED:
        words = f"{newest.switch} port {newest.port}: {newest.ended_by} says: {newest.problem}"
        raise StepFailed(_why(work, words), cause=CAUSE)


def _forget_task(work: Work) -> None:
    if task_of(work) in work.install.operator_task:
        left = work.install.operator_task.removesuffix(task_of(work)).removesuffix("; ")
        work.keep(operator_task=left)


def _try_again(work: Work, problem: NetworkError) -> Again:
    work.hold(CALL_TAKES)  # whoever was stopped meanwhile says nothing
    work.install.tries += 1
    if work.install.tries >= TRIES:
        raise StepFailed(f"{_why(work, problem)} (tried {work.install.tries} times)", cause=CAUSE)
    add_event(work.install, Event.Kind.NOTE, "port-error", text=f"{problem}; trying again")
    return Again(FIRST_PAUSE * 2 ** (work.install.tries - 1))


def _why(work: Work, problem: object) -> str:
    return f"{work.machine.name}: its switch ports could not be moved: {problem}"


def _told(move: Move) -> str:
    if move.state == State.STAYED:
        return f"{move.port} is in {place(move.after)}"
    return f"{move.port}: {place(move.before)} → {place(move.after)}"
