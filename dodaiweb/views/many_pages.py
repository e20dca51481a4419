"""Pages that do one thing to many machines: a plan to approve, a question to answer, and what came of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from dodaiweb.asked import number as row_number
from dodaiweb.views.decisions import AsideForm
from installs import actions, digests, many
from installs.forecast import forecasts
from installs.images.boot_match import match
from installs.methods import METHODS
from installs.models import Image
from installs.network_words import place_words
from installs.releasing import release
from machines import actions as machine_actions
from machines import many as many_machines
from machines import verbs
from machines.many import Confirmation, Result, chosen
from machines.models import Cluster, Machine

AGAIN = "again"
RESULTS = "many_results"  # in the session
POWER_LABELS = {
    "on": gettext_lazy("Switch on"), "soft": gettext_lazy("Shut down"), "off": gettext_lazy("Switch off"),
    "reset": gettext_lazy("Reset"), "status": gettext_lazy("Read power"),
}  # fmt: skip
HARSH = ("off", "reset", "soft")

seeing = permission_required("machines.view_machine", raise_exception=True)


@dataclass(frozen=True)
class Question:
    """A verb for many machines. `possible` is its name in machines/verbs.py."""

    label: "str | Promise"
    possible: str
    note: "str | Promise"
    needs: str = "machines.operate_machine"


QUESTIONS = {
    "power": Question(gettext_lazy("Power"), "power", gettext_lazy("Each command is carried out within seconds.")),
    "inspect": Question(
        gettext_lazy("Inspect"), "inspect",
        gettext_lazy("Each restarts into a ramdisk that reads its hardware and writes nothing; it is off afterwards."),
    ),
    "aside": Question(
        gettext_lazy("Set aside"), "set_aside",
        gettext_lazy("Nothing can be installed on them until somebody takes them back. Their power is left as it is."),
    ),
    "cluster": Question(
        gettext_lazy("Cluster"), "choose_cluster",
        gettext_lazy("Their ports, where they are entered, are moved to the VLAN of the cluster."),
        needs="machines.install_machine",
    ),
}  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@seeing
def plan_many(request: HttpRequest) -> HttpResponse:
    """The plan of one image for many machines; a POST approves exactly the list that was shown."""
    asked = request.POST if request.method == "POST" else request.GET
    machines, made, problem = _machines(request), None, ""
    image, again = _image(asked.get("image", "")), asked.get("image") == AGAIN
    try:
        made = many.plans(machines, image, again=again) if machines and (image or again) else None
    except many.Refused as exc:
        problem = str(exc)
    if request.method == "POST":
        return _start(request, machines, made, problem)
    return _show_plans(request, machines, made, problem)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@seeing
def many_page(request: HttpRequest, verb: str) -> HttpResponse:
    """Ask once more, naming each machine, and then do it; the results have a page of their own."""
    if verb not in QUESTIONS:
        raise Http404
    if request.method != "POST":
        return _ask(request, verb, _machines(request))
    if not request.user.has_perm(QUESTIONS[verb].needs):
        raise PermissionDenied
    return DO[verb](request, _machines(request))


@require_safe
@never_cache
@seeing
def many_results(request: HttpRequest) -> HttpResponse:
    """What came of the last thing that this user did to many machines."""
    found = [Result(**each) for each in request.session.get(RESULTS, [])]
    return render(request, "machines/many_results.html", {
        "done": [result for result in found if result.is_done],
        "refused": [result for result in found if not result.is_done],
    })  # fmt: skip


def _start(request: HttpRequest, machines: list[Machine], made: many.ManyPlans | None, problem: str) -> HttpResponse:
    if not request.user.has_perm("machines.install_machine"):
        raise PermissionDenied
    if made is None or not made.possible:
        return _show_plans(request, machines, made, problem or _("Nothing here can be installed."), status=422)
    if facts := digests.changed(request.POST.get("approved", ""), made.parts):
        words = _("Changed since this list was shown: %(what)s. Look at it again.") % {"what": ", ".join(facts)}
        return _show_plans(request, machines, made, words, status=409)
    if missing := made.confirmation.problem(request.POST):
        return _show_plans(request, machines, made, missing, status=422)
    try:
        return _tell(request, many.start(made, by=request.user.get_username()))
    except many.Refused as exc:
        return _show_plans(request, machines, made, str(exc), status=409)


def _show_plans(
    request: HttpRequest, machines: list[Machine], made: many.ManyPlans | None, problem: str, *, status: int = 200
) -> HttpResponse:
    asked = request.POST if request.method == "POST" else request.GET
    may = request.user.has_perm("machines.install_machine")
    over = many.why_too_many(made, by=request.user.get_username()) if made and may else ""
    lines = made.possible if made else []
    ready = [(line.machine, line.plan.image) for line in lines if line.plan and line.plan.image]
    values = {
        "forecasts": forecasts(ready),
        **prospects(ready), "last": many.last_attempts(machines),
        "machines": machines, "ids": _ids(machines), "plans": made, "problem": problem or over, "methods": METHODS,
        "is_too_many": bool(over),
        "images": list(Image.objects.filter(retired_at=None)), "image": asked.get("image", ""),
        "address": reverse("plan_many") + f"?image={asked.get('image', '')}&machines={_ids(machines)}",
    }  # fmt: skip
    return render(request, "installs/plan_many.html", values, status=status)


def prospects(ready: list[tuple[Machine, Image]]) -> dict[str, Any]:
    """Will each start from its image, and where is it in the network? By machine; a query a table, not a machine."""
    prefetch_related_objects(
        [machine for machine, _image in ready], "cluster__vlan", "disks", "interfaces__switch",
        "site__provision_vlan",
    )  # fmt: skip
    return {
        "matches": {machine.pk: match(image, machine) for machine, image in ready},
        "places": {machine.pk: place_words(machine) for machine, _image in ready},
    }


def _ask(
    request: HttpRequest, verb: str, machines: list[Machine], *, problem: str = "", form: AsideForm | None = None
) -> HttpResponse:
    question = QUESTIONS[verb]
    able = [machine for machine in machines if question.possible in verbs.possible(machine)]
    values: dict[str, Any] = {
        "verb": verb, "question": question, "able": able, "problem": problem, "ids": _ids(machines),
        "unable": [(machine, _why_not(machine)) for machine in machines if machine not in able],
        "used": many_machines.used(able), "confirmation": _confirmation(able),
        "power_labels": POWER_LABELS, "clusters": Cluster.objects.all(), "form": form or AsideForm(),
        "may": request.user.has_perm(question.needs),
        "address": reverse("many", args=[verb]) + f"?machines={_ids(machines)}",
    }  # fmt: skip
    return render(request, "machines/many.html", values, status=422 if problem or form else 200)


def _power(request: HttpRequest, machines: list[Machine]) -> HttpResponse:
    action, by = request.POST.get("action", ""), request.user.get_username()
    able = [machine for machine in machines if "power" in verbs.possible(machine)]
    if action in HARSH and (missing := _confirmation(able).problem(request.POST)):
        return _ask(request, "power", machines, problem=missing)

    def ask(machine: Machine) -> str:
        machine_actions.request_power(machine, action, by=by)
        return str(POWER_LABELS[action])

    return _tell(request, _each(machines, "power", ask))


def _inspect(request: HttpRequest, machines: list[Machine]) -> HttpResponse:
    able = [machine for machine in machines if "inspect" in verbs.possible(machine)]
    if missing := _confirmation(able).problem(request.POST):
        return _ask(request, "inspect", machines, problem=missing)

    def inspect(machine: Machine) -> str:
        try:
            actions.start_inspection(machine, by=request.user.get_username())
        except actions.Refused as exc:
            raise machine_actions.Refused(str(exc)) from exc
        return _("is being inspected")

    return _tell(request, _each(machines, "inspect", inspect))


def _aside(request: HttpRequest, machines: list[Machine]) -> HttpResponse:
    form = AsideForm(request.POST)
    if not form.is_valid():
        return _ask(request, "aside", machines, form=form)

    def set_aside(machine: Machine) -> str:
        machine_actions.set_aside(machine, by=request.user.get_username(), **form.cleaned_data)
        return _("is set aside")

    return _tell(request, _each(machines, "aside", set_aside))


def _cluster(request: HttpRequest, machines: list[Machine]) -> HttpResponse:
    number = request.POST.get("cluster", "")
    found = Cluster.objects.filter(pk=row_number(number)).first()
    if number and found is None:
        return _ask(request, "cluster", machines, problem=_("This cluster is gone: choose another one."))

    def choose(machine: Machine) -> str:
        try:
            if release.move_to(machine, found, by=request.user.get_username()):
                return _("is being moved")
        except actions.Refused as exc:
            raise machine_actions.Refused(str(exc)) from exc
        return _("is in the cluster %(cluster)s now") % {"cluster": found} if found else _("is in no cluster now")

    return _tell(request, _each(machines, "cluster", choose))


DO: dict[str, Callable[[HttpRequest, list[Machine]], HttpResponse]] = {
    "power": _power, "inspect": _inspect, "aside": _aside, "cluster": _cluster,
}  # fmt: skip


def _each(machines: list[Machine], verb: str, do: Callable[[Machine], str]) -> list[Result]:
    def if_possible(machine: Machine) -> str:
        if QUESTIONS[verb].possible not in verbs.possible(machine):
            raise machine_actions.Refused(f"{machine.name} {_why_not(machine)}")
        return do(machine)

    return many_machines.each(machines, if_possible)


def _why_not(machine: Machine) -> str:
    """Goes on after the machine's name."""
    if machine.handled_by:
        return _("is in the hands of %(who)s: cancel that first") % {"who": machine.handled_by}
    if machine.protected:
        return _("is protected: take the protection off first")
    if machine.state in many_machines.OUT_OF_SERVICE:
        return _("is %(state)s") % {"state": str(machine.get_state_display()).lower()}
    return _("has no BMC that can be asked")


def _machines(request: HttpRequest) -> list[Machine]:
    try:
        return chosen(request.POST if request.method == "POST" else request.GET)
    except machine_actions.Refused as exc:
        messages.error(request, str(exc))
        return []


def _image(number: str) -> Image | None:
    return Image.objects.filter(pk=row_number(number), retired_at=None).first()


def _ids(machines: list[Machine]) -> str:
    return ",".join(str(machine.pk) for machine in machines)


def _confirmation(machines: list[Machine]) -> Confirmation:
    return Confirmation(len(machines), tuple(machine.name for machine in many_machines.used(machines)))


def _tell(request: HttpRequest, results: list[Result]) -> HttpResponse:
    request.session[RESULTS] = [result.as_dict() for result in results]
    return redirect("many_results")
