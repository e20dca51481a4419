"""What time alone makes happen. Any number of watchdogs may run it, in any process."""

import logging
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils.timezone import now

from installs import ending, flow
from installs.claim import holder_has_ended
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import BOOT_FLAG_LOST, Event, Install, add_event
from installs.rows import lock, ring
from machines.clock import boot_id, boot_seconds
from machines.lifecycle import State as MachineState
from machines.models import Beat, Machine, PowerCommand
from machines.power.base import Power

logger = logging.getLogger(__name__)

WATCHDOG = "watchdog"
UNTOUCHED = "Nothing was written."
GAP_THAT_COUNTS = timedelta(seconds=15)
STEP_THAT_COUNTS = timedelta(seconds=2)
NEGLECTED_AFTER = timedelta(seconds=5)
HELP_SECONDS = 0.8  # of each turn, and the step that is under way then
OFF_BELIEVED_AFTER = timedelta(seconds=6)  # two readings, so that one reset is not taken for a loss
DEADLINES = ("quiet_until", "give_up_at", "look_again_at", "waits_since")


def sweep() -> None:
    """Stop what is overdue, begin what is queued, and ring for what is due."""
    beat()
    for install_id in _ids(Install.objects.overdue()):
        _give_up(install_id)
    for install_id in _ids(Install.objects.filter(state=State.WAITING, machine__power_state=Power.OFF)):
        _notice_power_loss(install_id)
    _free_claims_of_the_dead()
    flow.begin_next()
    if Install.objects.due().exists():
        ring()
    if _is_neglected():
        _do_what_workers_would()


def started() -> None:
    """A watchdog begins: tell live installs that Dodai was stopped and is there again."""
    last = Beat.objects.filter(pk=WATCHDOG).first()
    gap = now() - last.at if last else timedelta()
    if last and gap < GAP_THAT_COUNTS:  # a longer one is told by `beat`, which also moves the deadlines
        _tell_of_gap(last, gap)


def beat() -> timedelta:
    """Note that Dodai is alive. If it was not, or the clock was stepped, move all deadlines by that much."""
    with transaction.atomic():
        moment, seconds = now(), boot_seconds()
        last = Beat.objects.select_for_update().filter(pk=WATCHDOG).first()
        Beat.objects.update_or_create(
            name=WATCHDOG, defaults={"at": moment, "boot_id": boot_id(), "boot_seconds": seconds}
        )
        if last is None:
            return timedelta()
        wall = moment - last.at
        real = timedelta(seconds=seconds - last.boot_seconds) if last.boot_id == boot_id() else wall
        stepped, slept = wall - real, real
        shift = stepped = stepped if abs(stepped) >= STEP_THAT_COUNTS else timedelta()
        if slept >= GAP_THAT_COUNTS:
            shift += slept
            _tell_of_gap(last, slept)
        if shift:
            # What was set since the clock was stepped, by a process that was quicker than this one, is right already.
            _move_deadlines(shift, stepped, but_since=last.at + stepped if stepped else moment)
        return shift


def _move_deadlines(by: timedelta, stepped: timedelta, *, but_since: datetime) -> None:
    """When to look again moves only with the clock: nobody gains by a look that comes later still."""
    moment = now()
    for install in Install.objects.live().select_for_update(of=("self",)):
        moved = {}
        for column in DEADLINES:
            value, shift = getattr(install, column), stepped if column == "look_again_at" else by
            if value is not None and shift and not but_since <= value - _length(install, column) <= moment:
                moved[column] = value + shift
        if moved:
            Install.objects.filter(pk=install.pk).update(**moved)
    if stepped:
        _move_erasures(stepped, but_since, moment)
    if by < timedelta():  # the wall clock went back: what was to come soon would else wait for it
        Install.objects.filter(lease_until__isnull=False).update(lease_until=F("lease_until") + by)
        Machine.objects.update(power_poll_at=F("power_poll_at") + by)
        PowerCommand.objects.filter(ended_at=None).update(again_at=F("again_at") + by, lease_until=None)
    logger.warning("deadlines moved by %s", by)


def _move_erasures(by: timedelta, but_since: datetime, moment: datetime) -> None:
    """The end of the time to undo, which begins as a release ends. It goes on while Dodai is down."""
    fresh = Install.objects.filter(method="release", ended_at__range=(but_since, moment)).values("machine")
    kept = Machine.objects.filter(state=MachineState.RELEASING, erase_at__isnull=False)
    kept.exclude(pk__in=fresh).update(erase_at=F("erase_at") + by)


def _length(install: Install, column: str) -> timedelta:
    """How long before this deadline it was set."""
    value = getattr(install, column)
    if column == "quiet_until":
        return install.silence or timedelta()
    if column != "give_up_at":
        return timedelta()
    if install.state == State.STOPPING:
        return ending.STOPPING_MAY_TAKE
    return value - install.waits_since if install.awaited and install.waits_since else flow.may_take(install)


def _tell_of_gap(last: Beat, slept: timedelta) -> None:
    for install in Install.objects.live():
        share = f" at {100 * install.done_bytes // install.total_bytes} %" if install.total_bytes else ""
        doing = f"{install.phase}{share}" if install.phase else install.awaited or "waiting"
        text = (
            f"Dodai itself was down for {slept.total_seconds():.0f} s (from {last.at:%H:%M:%S}) during {doing}; "
            f"this time does not count against the machine."
        )
        add_event(install, Event.Kind.NOTE, "dodai-down", text=text)


def _free_claims_of_the_dead() -> None:
    """A worker of this computer that was killed holds nothing any more: no need to wait until its leases run out."""
    held = Install.objects.live().filter(lease_until__gt=now()).values_list("pk", "owner", "fence")
    for install_id, owner, fence in held:
        if holder_has_ended(owner):
            Install.objects.filter(pk=install_id, owner=owner, fence=fence).update(lease_until=None)
            logger.warning("install %s: its worker has ended, another one goes on", install_id)


def _give_up(install_id: int) -> None:
    with transaction.atomic():
        install = lock(install_id)
        if not Install.objects.overdue().filter(pk=install_id).exists():
            return
        if not (flow.go_on_if_said(install) or flow.look_once_more(install)):
            ending.stop_locked(install, cause=_overdue_cause(install), error=_overdue_words(install))


def _overdue_cause(install: Install) -> str:
    if METHODS[install.method].by_operator:
        return "no-operator"
    return {"install": "no-netboot", "inspected": "no-netboot", "installed": "no-first-boot"}.get(
        _awaited(install), "silent"
    )


def _awaited(install: Install) -> str:
    """What its step waits for; also where a last look for it goes on."""
    method = METHODS[install.method]
    return install.awaited or method.waits.get(method.steps[install.step], "")


def _overdue_words(install: Install) -> str:
    name = install.machine.name
    silent = f" for {install.silence.total_seconds() / 60:.0f} min" if install.silence else ""
    match _awaited(install):
        case "taken":
            return f"{name}: no operator took it on{silent}. {UNTOUCHED}"
        case "installed" if METHODS[install.method].by_operator:
            return f"{name}: the operator who took it on did not say how it went{silent}."
        case "install" | "inspected" if install.boots.exists():
            return f"{name} booted the ramdisk, which then said nothing{silent}: look at its console. {UNTOUCHED}"
        case "install" | "inspected" if install.events.filter(name=BOOT_FLAG_LOST).exists():
            return (
                f"{name} did not boot from the network{silent}: its BMC did not keep the boot device that it was told. "
                f"Set the boot order of its machine type to network first, then retry. {UNTOUCHED}"
            )
        case "install" | "inspected":
            return f"{name} did not boot from the network{silent}: check boot order, cable and DHCP lines. {UNTOUCHED}"
        case "installed":
            return f"{name} was written, but its OS did not call{silent}: look at its console."
        case "install_reboot" | "deleted":
            return f"{name} fell silent{silent} during {install.phase or 'the installer'}: look at its console."
    step = METHODS[install.method].steps[install.step].replace("_", " ")
    return f"{name}: the step {step!r} took longer than it may"


def _notice_power_loss(install_id: int) -> None:
    """A machine that is off says nothing more: no need to wait out its silence."""
    with transaction.atomic():
        install = lock(install_id)
        machine, since = install.machine, install.waits_since
        if install.state != State.WAITING or not install.awaited or install.operator_task or since is None:
            return
        off_since = machine.power_since
        if off_since is None or machine.power_seen_at is None or machine.power_state != Power.OFF:
            return
        believed = machine.power_seen_at - max(off_since, since) >= OFF_BELIEVED_AFTER
        if believed and machine.power_seen_at > since:
            doing = f"during {install.phase}" if install.phase else f"while Dodai waited for {install.awaited!r}"
            ending.stop_locked(install, cause="power-lost", error=f"{machine.name} went off {doing}.")


def _is_neglected() -> bool:
    """No worker came although one was rung: the queue may be away. The watchdog then helps itself."""
    untouched = Q(look_again_at=None, give_up_at__lt=now() + flow.STEP_CAP - NEGLECTED_AFTER)
    return Install.objects.due().filter(untouched | Q(look_again_at__lt=now() - NEGLECTED_AFTER)).exists()


def _do_what_workers_would() -> None:
    until = time.monotonic() + HELP_SECONDS
    while flow.run_due() and time.monotonic() < until:
        pass


def _ids(installs: object) -> list[int]:
    return list(installs.values_list("pk", flat=True))  # type: ignore[attr-defined]
