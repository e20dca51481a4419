"""What can be done with installs. Called by pages, commands and jobs alike."""

from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from installs import caps, digests, ending, plan
from installs.lifecycle import ENDED, State
from installs.methods import METHODS
from installs.models import Event, Image, Install, Script, WaveMachine, add_event
from installs.plan import Plan
from installs.rows import ring
from machines import actions as machine_actions
from machines import doorbell, lifecycle
from machines.models import Machine

WHAT_WAS_APPROVED = ("disk", "image", "layout")


class Refused(Exception):
    """It cannot be done now. The message says why and what to do."""


def start_install(
    machine: Machine,
    image: Image,
    *,
    by: str,
    approved: str | None = None,
    retry_of: Install | None = None,
    of_wave: WaveMachine | None = None,
) -> Install:
    """Queue an install. `approved` is the digest of the plan that was shown; without it the present one counts.

    Raises Refused when something stands in the way, the plan is no longer the one that was approved, or `by` has
    begun as many as their caps allow. `of_wave`, whose wave the caller has locked, lifts the caps.
    """
    with transaction.atomic():
        install = _start(
            machine, lambda fresh: plan.for_install(fresh, _locked(image)), by=by, approved=approved, retry_of=retry_of,
            is_capped=of_wave is None,
        )  # fmt: skip
        if of_wave is not None:
            of_wave.install = install
            of_wave.save(update_fields=["install"])
    return install


def start_inspection(machine: Machine, *, by: str) -> Install:
    """Queue a look at a machine from inside, which writes nothing. Raises Refused."""
    return _start(machine, plan.for_inspection, by=by, approved=None, retry_of=None, is_capped=False)


def retry(install: Install, *, by: str) -> Install:
    """Try again what failed or was cancelled: a new attempt, with a plan of its own. Raises Refused."""
    if install.state not in ENDED - {State.INSTALLED}:
        words = _("%(install)s is %(state)s: only what failed or was cancelled can be tried again")
        raise Refused(words % {"install": install, "state": _state(install)})
    if install.image is None:
        return start_inspection(install.machine, by=by)
    made = plan.for_install(install.machine, install.image)
    if any(made.frozen.get(part) != install.plan.get(part) for part in WHAT_WAS_APPROVED):
        words = _("%(name)s: disk, image or layout changed since that attempt: look at the new plan")
        raise Refused(words % {"name": install.machine.name})
    return start_install(install.machine, install.image, by=by, approved=made.digest, retry_of=install)


def cancel(install: Install, *, by: str) -> None:
    """Stop a live install; it ends once its machine can do no more harm. Raises Refused when it has ended."""
    if not ending.stop(install.pk, cause="cancelled", error=f"cancelled by {by}", wanted=State.CANCELLED, by=by):
        install.refresh_from_db()
        words = _("%(install)s of %(name)s is %(state)s, there is nothing to cancel")
        raise Refused(words % {"install": install, "name": install.machine.name, "state": _state(install)})


def _state(install: Install) -> str:
    return str(State(install.state).label).lower()


def _start(machine, make_plan, *, by, approved, retry_of, is_capped) -> Install:  # type: ignore[no-untyped-def]
    try:
        with transaction.atomic():
            # no_key: many starts at once and the foreign keys of the one that wins would else wait for each other.
            fresh = Machine.objects.select_for_update(of=("self",), no_key=True).get(pk=machine.pk)
            made: Plan = make_plan(fresh)
            if not made.is_possible:
                raise Refused(" ".join(made.problems))
            if approved is not None and (facts := digests.changed(approved, made.parts)):
                words = _("%(name)s: %(what)s changed since this plan was shown: look at the new plan.")
                raise Refused(words % {"name": fresh.name, "what": ", ".join(facts)})
            if is_capped:
                caps.take_one(by)
            install = _create(made, by=by, retry_of=retry_of)
    except caps.OverCap as exc:
        raise Refused(str(exc)) from exc
    except IntegrityError as exc:
        winner = Install.objects.live().filter(machine=machine).first()
        values = {"name": machine.name, "who": winner.requested_by if winner else "?"}
        raise Refused(_("%(name)s: another install, asked by %(who)s, was a moment earlier") % values) from exc
    return install


def _locked(image: Image) -> Image:
    """As it is now, and so until the install is there: nobody deletes an image while an install of it begins."""
    return Image.objects.select_for_update(no_key=True).filter(pk=image.pk).first() or image


def _create(made: Plan, *, by: str, retry_of: Install | None) -> Install:
    machine = made.machine
    install = Install.objects.create(
        machine=machine, image=made.image, method=made.method, plan=made.frozen, plan_digest=made.digest,
        requested_by=by, retry_of=retry_of,
    )  # fmt: skip
    # The script names its attempt; it is frozen here, so that later changes of Dodai's files do not reach it.
    install.plan["attempt"]["id"] = install.pk
    install.save(update_fields=["plan"])
    Script.objects.create(install=install, text=METHODS[made.method].script(install.plan))
    add_event(install, Event.Kind.STATE, "queue", by=by, text=f"plan {install.plan_digest[:12]}")
    machine.handled_by, machine.power_poll_at = str(install), now()  # its power is read often from now on
    if made.image:
        machine.state = lifecycle.after(machine.state, "install")
    machine.save(update_fields=["handled_by", "power_poll_at", "state"])
    machine_actions.drop_power_commands(machine, why=f"{install} took over")
    doorbell.tell_pages(install=install.pk, machine=machine.pk)
    ring()
    return install
