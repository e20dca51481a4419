"""What can be done with installs. Called by pages, commands and jobs alike."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from installs import again, caps, creating, digests, ending, plan
from installs.lifecycle import ENDED, State
from installs.models import Image, Install, WaveMachine
from installs.plan import Plan
from machines.lifecycle import State as MachineState
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
    for_pool: bool = False,
    is_capped: bool = True,
) -> Install:
    """Queue an install. `approved` is the digest of the plan that was shown; without it the present one counts.

    Raises Refused when something stands in the way, the plan is no longer the one that was approved, or `by` has
    begun as many as their caps allow. `of_wave`, whose wave the caller has locked, lifts the caps, as does
    `is_capped`. `for_pool`: the machine then waits for an owner.
    """
    with transaction.atomic():
        install = _start(
            machine, lambda fresh: _plan(fresh, image, for_pool=for_pool), by=by, approved=approved, retry_of=retry_of,
            is_capped=is_capped and of_wave is None, for_pool=for_pool,
        )  # fmt: skip
        if of_wave is not None:
            of_wave.install = install
            of_wave.save(update_fields=["install"])
    return install


def start_inspection(machine: Machine, *, by: str) -> Install:
    """Queue a look at a machine from inside, which writes nothing. Raises Refused."""
    return start_operation(machine, "inspect", by=by)


def start_operation(machine: Machine, slug: str, told: dict[str, Any] | None = None, *, by: str) -> Install:
    """Queue what a method does that puts no image on a machine, told values of JSON. Raises Refused."""
    return _start(
        machine, lambda fresh: plan.for_operation(fresh, slug, told or {}), by=by, approved=None, retry_of=None,
        is_capped=False,
    )  # fmt: skip


def retry(install: Install, *, by: str) -> Install:
    """Try again what failed or was cancelled: a new attempt, with a plan of its own. Raises Refused.

    It begins with the image's own method, also where a fallback was the last that failed.
    """
    if install.state not in ENDED - {State.INSTALLED}:
        words = _("%(install)s is %(state)s: only what failed or was cancelled can be tried again")
        raise Refused(words % {"install": install, "state": _state(install)})
    if install.image is None:
        return _operate_again(install, by=by)
    made, approved = plan.for_install(install.machine, install.image), creating.first_of(install).plan
    if any(made.frozen.get(part) != approved.get(part) for part in WHAT_WAS_APPROVED):
        words = _("%(name)s: disk, image or layout changed since that attempt: look at the new plan")
        raise Refused(words % {"name": install.machine.name})
    return start_install(
        install.machine, install.image, by=by, approved=made.digest, retry_of=install, for_pool=install.is_for_pool
    )


def cancel(install: Install, *, by: str) -> None:
    """Stop a live install; it ends once its machine can do no more harm. Raises Refused when it has ended."""
    if not ending.stop(install.pk, cause="cancelled", error=f"cancelled by {by}", wanted=State.CANCELLED, by=by):
        install.refresh_from_db()
        words = _("%(install)s of %(name)s is %(state)s, there is nothing to cancel")
        raise Refused(words % {"install": install, "name": install.machine.name, "state": _state(install)})


def _operate_again(install: Install, *, by: str) -> Install:
    with transaction.atomic():
        Machine.objects.select_for_update(of=("self",), no_key=True).get(pk=install.machine_id)
        if why := again.why_not(install):
            raise Refused(why)
        return start_operation(install.machine, install.method, install.plan.get("told"), by=by)


def _plan(machine: Machine, image: Image, *, for_pool: bool) -> Plan:
    made = plan.for_install(machine, _locked(image))
    if for_pool and (why := _not_for_pool(machine, made)):
        made.problems.append(why)
    return made


def _not_for_pool(machine: Machine, made: Plan) -> str:
    """Why the pool must not have it, "" where it may. What asks for it chose it before it was locked, and has not
    decided about the data of others, as a person has who types its name.
    """
    if machine.unerased:
        return plan.unerased_words(machine)
    if machine.state == MachineState.WARM:
        return ""
    if machine.state != MachineState.FREE or machine.owner or machine.cluster_id or machine.reservation:
        return _("%(name)s is not free for the pool any more.") % {"name": machine.name}
    return made.typed_because


def _state(install: Install) -> str:
    return str(State(install.state).label).lower()


def _start(machine, make_plan, *, by, approved, retry_of, is_capped, for_pool=False) -> Install:  # type: ignore[no-untyped-def]
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
            install = creating.create(made, by=by, retry_of=retry_of, for_pool=for_pool)
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
