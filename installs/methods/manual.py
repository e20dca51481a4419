"""A person installs the machine by hand, by the image's checklist, and says here how it went.

Dodai switches nothing and writes nothing: the person's *taken* stands where other methods have the write grant, and
their *installed* where the OS calls. Both wait for people, so their deadlines are the image's own.
"""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from installs.methods.base import Next, Outcome, WaitFor, Work
from installs.methods.port_steps import PortSteps
from installs.models import Image
from machines.models import Disk, Machine

LONGEST_MINUTES = 14 * 24 * 60
CHECKLIST_CHARACTERS = 20_000


class ManualForm(forms.Form):
    checklist = forms.CharField(
        label=gettext_lazy("checklist"), max_length=CHECKLIST_CHARACTERS, strip=False,
        widget=forms.Textarea(attrs={"rows": 14, "cols": 80}),
        help_text=gettext_lazy("What the operator does, in Markdown. It is frozen when an install is asked for."),
    )  # fmt: skip
    answer_minutes = forms.IntegerField(
        label=gettext_lazy("minutes until somebody takes it"), min_value=1, max_value=LONGEST_MINUTES, initial=240
    )
    work_minutes = forms.IntegerField(
        label=gettext_lazy("minutes until it is done"), min_value=1, max_value=LONGEST_MINUTES, initial=480
    )


class Manual(PortSteps):
    slug = "manual"
    label = gettext_noop("By an operator")
    steps = ("call", "answer", "by_hand", "join_vlan")
    waits = {"answer": "taken", "by_hand": "installed"}
    milestones = (
        ("call", gettext_noop("Calling an operator")),
        ("answer", gettext_noop("Waiting for an operator")),
        ("by_hand", gettext_noop("An operator is at work")),
    )
    kinds = ("",)
    metadata_form = ManualForm
    writes_disks = False
    by_operator = True

    def call(self, work: Work) -> Outcome:
        return Next(note=f"An operator is called for {work.machine.name}.")

    def answer(self, work: Work) -> Outcome:
        return _until(work, "answer_minutes", task=_task(work))

    def by_hand(self, work: Work) -> Outcome:
        return _until(work, "work_minutes", task=_task(work))

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        if str(image.metadata.get("checklist", "")).strip():
            return []
        return [_("%(image)s has no checklist: enter it in the inventory.") % {"image": image.name}]

    def warnings(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        words = _("An operator installs %(name)s by hand: what is on its disks may be lost.")
        return [words % {"name": machine.name}]

    def boots_network(self, received: set[str]) -> bool:
        return False

    def script(self, plan: dict[str, Any]) -> str:
        return ""


def _task(work: Work) -> str:
    return f"{work.machine.name}: install {work.install.plan['image']['name']} by hand, by its checklist"


def _until(work: Work, key: str, *, task: str) -> WaitFor:
    patience = timedelta(minutes=work.install.plan["image"]["metadata"][key])
    return WaitFor(silence=patience, cap=patience, task=task)
