"""Hands a warm machine to its owner: into its OS over SSH, then its ports into the cluster's VLAN. Keys before VLAN."""

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext, gettext_noop

from installs import settings_document
from installs.handover import doors, entering, keypair
from installs.handover.outcome import CONNECT, End, Outcome
from installs.handover.session import OVERTIME_SECONDS, WHOLE_SECONDS
from installs.handover.words import ENGLISH
from installs.lifecycle import State as InstallState
from installs.methods.base import Next, StepFailed, Work
from installs.methods.base import Outcome as StepOutcome
from installs.methods.operations.base import PortOperation, cluster_of, problems_of_cluster
from installs.models import Event, Install, add_event
from installs.ports import which
from machines import lifecycle
from machines.lifecycle import State
from machines.models import Machine

WENT_IN, DONE = "going-in", "handed-over"
WRONG_HOST, CAUSE = "wrong-host", "hand-over"
BY = "dodai"


class HandOver(PortOperation):
    """Told `install`, by which its OS came, and `cluster`. Cluster, owner and addresses stand in the machine's row."""

    slug = "hand-over"
    label = gettext_noop("Hand-over")
    steps = ("go_in", "join_vlan", "check_ports")
    waits = {}
    milestones = (
        ("go_in", gettext_noop("Into its OS over SSH")),
        ("join_vlan", gettext_noop("Switch ports")),
        ("check_ports", gettext_noop("Switches asked where they are")),
    )
    done_label = gettext_noop("Handed over")
    possible_in = frozenset({State.WARM})

    def machine_problems(self, machine: Machine, told: dict[str, Any]) -> list[str]:
        problems = problems_of_cluster(told)
        if not problems and told.get("cluster") != machine.cluster_id:
            words = gettext("%(name)s is no longer a member of the cluster it was asked for: ask for the machine anew.")
            problems.append(words % {"name": machine.name})
        if _pool_install(machine, told) is None:
            words = gettext("%(name)s is not ready for an owner by that install: choose another machine.")
            problems.append(words % {"name": machine.name})
        return problems

    def facts(self, machine: Machine, told: dict[str, Any]) -> dict[str, Any]:
        return which.joining(machine, cluster_of(told))

    def go_in(self, work: Work) -> StepOutcome:
        said = set(work.install.events.filter(kind=Event.Kind.NOTE).values_list("name", flat=True))
        if DONE in said:
            return Next()
        pool = Install.objects.select_related("machine__site").get(pk=work.install.plan["told"]["install"])
        if WENT_IN not in said:
            work.note("", name=WENT_IN)
        outcome = _enter(work, pool)
        if outcome.is_done:
            return Next()
        _note_steps(work.install, outcome)
        step = ENGLISH[outcome.failed_step]
        cause = WRONG_HOST if outcome.end == End.WRONG_HOST else CAUSE
        raise StepFailed(f"{work.machine.name} was not handed over: {step}: {outcome.cause}", cause=cause)

    def finished(self, install: Install, machine: Machine) -> None:
        machine.state = lifecycle.after(machine.state, "hand_over")

    def failed(self, install: Install, machine: Machine) -> None:
        """One that nobody went into is as warm as before; the key of another one is worth nothing any more."""
        if machine.state != State.WARM or not install.events.filter(name=WENT_IN).exists():
            return
        if install.cause == WRONG_HOST:
            machine.state = lifecycle.after(machine.state, "mark_broken")
            machine.broken_by, machine.broken_why, machine.unerased = BY, install.error[:255], True
            return
        machine.state, machine.image_name = lifecycle.after(machine.state, "hand_over_failed"), ""
        keypair.forget_those_of(machine)


def _pool_install(machine: Machine, told: dict[str, Any]) -> Install | None:
    ended_well = Install.objects.filter(machine=machine, is_for_pool=True, state=InstallState.INSTALLED)
    newest = ended_well.order_by("-pk").first()
    return newest if newest and newest.pk == told.get("install") else None


def _enter(work: Work, pool: Install) -> Outcome:
    """By the first address at which it answers. Somebody else at one of them is told, if it is at none."""
    told = settings_document.document_of(work.machine, pool.plan)
    outcome = Outcome(End.SILENT, failed_step=CONNECT, cause="Dodai knows no address of it")
    for address, port in doors.of(pool):
        # Longer than going in may take: a worker that is frozen meanwhile must not be overtaken by another one.
        work.hold(timedelta(seconds=WHOLE_SECONDS + 2 * OVERTIME_SECONDS))
        found = entering.hand_over(
            pool, told, address=address, port=port, noted=lambda outcome: _note_done(work.install, outcome)
        )
        if outcome.end != End.WRONG_HOST or found.is_done:
            outcome = found
        if found.end != End.WRONG_HOST and (found.end, found.failed_step) != (End.SILENT, CONNECT):
            return found
    return outcome


def _note_done(install: Install, outcome: Outcome) -> None:
    _note_steps(install, outcome)
    add_event(install, Event.Kind.NOTE, DONE)


def _note_steps(install: Install, outcome: Outcome) -> None:
    for step in outcome.done:
        words = f"Hand-over: {ENGLISH[step.name]} ({step.seconds:.2f} s)"
        add_event(install, Event.Kind.NOTE, f"hand-over-{step.name}", text=words, data={"seconds": step.seconds})
