"""Moves installs through the steps of their methods.

The row in the database is the truth. A job on the queue is a doorbell: it says "look", and carries nothing.
A worker claims the next due row (another owner, a higher fence, a lease), does one step with no lock held,
renews its claim right before each effect, and stores the outcome only if the claim is still its own.
Losing a job, running it twice, or a worker that dies or freezes anywhere changes nothing: see `sweep`.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F
from django.utils.timezone import now

from installs import ending, lifecycle, untouchable
from installs.claim import LEASE, Claim, ClaimLost, new_owner
from installs.lifecycle import State
from installs.methods import METHODS
from installs.methods.base import Again, InstallMethod, Next, Outcome, StepFailed, WaitFor
from installs.models import Event, Install, add_alert, add_event, count_repeat
from installs.notices import outbox
from installs.rows import change, lock, ring, save
from machines.power.base import NeedsOperator, PowerError, PowerRefused

logger = logging.getLogger(__name__)

STEP_CAP = timedelta(minutes=5)
POWER_TRIES = 5
FIRST_PAUSE = timedelta(seconds=2)
LAST_LOOK = timedelta(seconds=40)  # two workers may die in it, and a third one still looks
PARALLEL_INSTALLS = 40  # at a site; more wait in the queue and are told their place
_COMMANDS_FAILED = "The commands for first boot ended with %(code)s: see /var/log/dodai-first-boot.log on the machine."


def begin_next() -> int:
    """Begin queued installs, oldest first, as far as their sites allow. Returns how many began."""
    began = 0
    waiting = Install.objects.filter(state=State.QUEUED).order_by("pk").values_list("pk", "machine__site_id", "method")
    light = [method.slug for method in METHODS.values() if method.by_operator or method.is_light]
    for install_id, site_id, method in list(waiting):
        with transaction.atomic():
            going_on = Install.objects.filter(
                machine__site_id=site_id, state__in=[State.RUNNING, State.WAITING, State.STOPPING]
            ).exclude(method__in=light)
            if method not in light and going_on.count() >= PARALLEL_INSTALLS:
                continue
            install = lock(install_id)
            if install.state != State.QUEUED:
                continue
            cause, error = untouchable.why(install.machine)
            if cause:
                ending.stop_locked(install, cause=cause, error=error)
                continue
            change(install, "begin", started_at=now(), give_up_at=now() + STEP_CAP, power_off_to_stop=False)
            _note_step(install)
            began += 1
    return began


def run_due() -> bool:
    """Do one step of one due install. False when nothing was due. Never raises for what a step did."""
    claim = _claim()
    if claim is None:
        return False
    try:
        _work_on(claim)
    except ClaimLost:
        logger.warning("install %s: another worker took over", claim.install.pk)
    return True


def may_speak(install: Install, boot_id: str) -> bool:
    """Whether a kernel boot still counts: while the attempt goes on, and after the grant only the one that has it."""
    return install.state in lifecycle.GOING_ON and install.granted_boot_id in ("", boot_id)


def receive(
    install_id: int,
    name: str,
    *,
    boot_id: str | None = None,
    address: str | None = None,
    data: Mapping[str, object] | None = None,
    by: str = "",
) -> str:
    """The machine said `name`; the caller has checked its token. Answers applied, duplicate, late or ended.

    `boot_id` is the kernel boot of the ramdisk that speaks, None when the installed OS does, or the operator `by`.
    """
    with transaction.atomic():
        install = lock(install_id)
        if install.state in lifecycle.ENDED:
            return ending.receive_late(install, name, address=address)
        if install.state == State.STOPPING:
            return ending.receive_late(install, name, address=address)
        if boot_id is not None and not may_speak(install, boot_id):
            return "ended"
        if name == "install_reboot" and install.granted_boot_id != boot_id:
            return "unknown"  # who was not granted wrote nothing, and must not move the install on
        earlier = install.events.filter(kind=Event.Kind.MACHINE, name=name).first()
        if earlier:
            count_repeat(earlier)
            _heard(install)
            return "duplicate"
        passed = _step_after_events(install) > (METHODS[install.method].step_after(name) or 0)
        add_event(install, Event.Kind.MACHINE, name, address=address, data=data or {}, by=by)
        if code := (data or {}).get("commands"):
            add_alert(install, "first-boot-commands", _COMMANDS_FAILED % {"code": code})
        _heard(install)
        if install.state == State.WAITING:
            go_on_if_said(install)
        return "late" if passed else "applied"


def go_on_if_said(install: Install) -> bool:
    """Leave the present step if the machine has already said what ends it, or something later. The row is locked."""
    target = _step_after_events(install)
    if target <= install.step or install.state not in (State.RUNNING, State.WAITING):
        return False
    if install.state == State.WAITING:
        change(install, "resume", awaited="", silence=None, quiet_until=None, operator_task="")
    _go_to(install, METHODS[install.method], target)
    return True


def look_once_more(install: Install) -> bool:
    """A wait was in vain: have a worker look whether its end has come all the same. The row is locked.

    False if there is nothing to look for, or that time is over too.
    """
    method = METHODS[install.method]
    if install.state != State.WAITING or not install.awaited or method.steps[install.step] not in method.last_looks:
        return False
    moment = now()
    change(install, "resume", awaited="", quiet_until=None, look_again_at=moment, give_up_at=moment + LAST_LOOK)
    ring()
    return True


def may_take(install: Install) -> timedelta:
    """How long the present step may take, where it waits for no word of the machine."""
    method = METHODS[install.method]
    return LAST_LOOK if method.steps[install.step] in method.last_looks else STEP_CAP


def _claim() -> Claim | None:
    with transaction.atomic():
        due = Install.objects.due().select_related("machine__type", "machine__site", "machine__bmc", "image")
        locking = due.select_for_update(of=("self",), skip_locked=connection.features.has_select_for_update_skip_locked)
        install = locking.first()
        if install is None:
            return None
        if install.state == State.WAITING:
            change(install, "resume", look_again_at=None)
        save(install, owner=new_owner(), fence=F("fence") + 1, lease_until=now() + LEASE)
        install.refresh_from_db(fields=["fence"])
        return Claim(install)


def _work_on(claim: Claim) -> None:
    install = claim.install
    if install.state == State.STOPPING:
        ending.end(claim)
        return
    method = METHODS[install.method]
    outcome: Outcome | StepFailed
    if _step_after_events(install) > install.step:
        _store(claim, method, Next())  # the machine is past this step: an earlier worker died after its effect
        return
    try:
        _refuse_untouchable(install)
        # Talks to hardware, so no lock is held: the machine's calls must get in meanwhile.
        step = method.steps[install.step]
        outcome = method.run(method.last_looks.get(step, step), claim)
    except ClaimLost:
        raise
    except StepFailed as exc:
        outcome = exc
    except NeedsOperator as exc:
        outcome = _ask_operator(claim, str(exc))
    except PowerRefused as exc:
        outcome = StepFailed(str(exc), cause="bmc-refused")
    except PowerError as exc:
        outcome = _try_again(install, exc)
    except Exception as exc:
        logger.exception("install %s: step %s", install.pk, method.steps[install.step])
        outcome = StepFailed(f"a fault in Dodai itself ({type(exc).__name__}): see the worker's log", cause="bug")
    _store(claim, method, outcome)


def _refuse_untouchable(install: Install) -> None:
    """Before the grant nothing was written yet, and stopping leaves the machine as it is. Raises StepFailed."""
    cause, error = untouchable.why(install.machine)
    if cause and install.granted_at is None:
        raise StepFailed(error, cause=cause)


def _store(claim: Claim, method: InstallMethod, outcome: Outcome | StepFailed) -> None:
    with transaction.atomic():
        install = lock(claim.install.pk)
        claim.check(install)
        free: dict[str, object] = {"owner": "", "lease_until": None}
        match outcome:
            case StepFailed():
                ending.stop_locked(install, cause=outcome.cause, error=str(outcome))
            case Next(note):
                save(install, **free)
                if note:
                    add_event(install, Event.Kind.NOTE, "note", text=note)
                _go_to(install, method, max(install.step + 1, _step_after_events(install)))
            case WaitFor():
                raise AssertionError(f"{method.slug}: a step that waits stands in `waits` and has no effect")
            case Again(after):
                save(install, **free)
                change(install, "wait", awaited="", look_again_at=now() + after, tries=claim.install.tries)


def _go_to(install: Install, method: InstallMethod, step: int) -> None:
    while step < len(method.steps) and not method.needs(method.steps[step], install):
        step += 1
    if step == len(method.steps):
        ending.finish(install)
        return
    save(install, step=step, tries=0, look_again_at=None, give_up_at=now() + STEP_CAP)
    _note_step(install)
    if method.steps[step] in method.waits:
        _wait(install, method)
    else:
        ring()


def _wait(install: Install, method: InstallMethod) -> None:
    """A step that only waits needs no worker: it begins in the transaction that reached it."""
    step = method.steps[install.step]
    match method.run(step, Claim(install)):
        case WaitFor(silence, cap, task):
            moment = now()
            change(
                install, "wait", awaited=method.waits[step], silence=silence, quiet_until=moment + silence,
                give_up_at=moment + cap, waits_since=moment, operator_task=task[:255] or install.operator_task,
            )  # fmt: skip
            if install.operator_task:
                outbox.note_task(install)
            go_on_if_said(install)
        case other:
            raise AssertionError(f"{method.slug}: step {step} must wait, it returned {other}")


def _step_after_events(install: Install) -> int:
    """The furthest step that what the machine has said allows: lost events do not hold it up."""
    names = install.events.filter(kind=Event.Kind.MACHINE).values_list("name", flat=True)
    return max((METHODS[install.method].step_after(name) or 0 for name in names), default=0)


def _heard(install: Install) -> None:
    if install.state == State.WAITING and install.silence:
        save(install, quiet_until=now() + install.silence)


def _note_step(install: Install) -> None:
    add_event(install, Event.Kind.STEP, METHODS[install.method].steps[install.step])


def _try_again(install: Install, error: PowerError) -> Again | StepFailed:
    install.tries += 1
    if install.tries >= POWER_TRIES:
        return StepFailed(f"{error} (tried {install.tries} times)", cause="bmc-silent")
    add_event(install, Event.Kind.NOTE, "power-error", text=f"{error}; trying again")
    return Again(FIRST_PAUSE * 2 ** (install.tries - 1))


def _ask_operator(claim: Claim, task: str) -> Next:
    """A machine without a BMC: say what to do, and go on to wait for it."""
    with transaction.atomic():
        install = lock(claim.install.pk)
        claim.check(install)
        tasks = [task] if not install.operator_task else [install.operator_task, task.partition(": ")[2]]
        save(install, operator_task="; ".join(tasks)[:255])
        add_event(install, Event.Kind.NOTE, "operator", text=task)
    return Next()
