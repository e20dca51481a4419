"""What notices say. The payload's form is documented in docs/notices.md; its version grows when a field goes."""

from typing import Any

from django.conf import settings
from django.utils.timezone import now
from django.utils.translation import override

from installs.advice import advice_for
from installs.methods import METHODS
from installs.models import Install, Notice, Wave
from installs.words import is_unconfirmed
from installs.written import may_be_written

VERSION = 1


def payload_of(install: Install, kind: Notice.Kind) -> dict[str, Any]:
    """The JSON of the webhook; the mail is made from the same."""
    machine = install.machine
    with override("en"):  # one language for machines that read it, whoever pressed the button
        failed = kind == Notice.Kind.FAILED
        return _envelope(kind) | {
            "data": {
                "install": install.pk,
                "is_inspection": install.is_inspection,
                "operation": None if install.image else install.method,
                "machine": machine.name,
                "cluster": machine.cluster.name if machine.cluster else None,
                "site": machine.site.name,
                "is_practice": machine.is_practice,
                "image": install.image.name if install.image else None,
                "cause": install.cause if failed else None,
                "error": install.error if failed else None,
                "step": install.failed_step or None,
                "step_label": _label(install) or None,
                "advice": advice_for(install.cause).text if failed else None,
                "left_behind": install.left_behind or None,
                "may_be_written": may_be_written(install),
                "task": install.operator_task or None,
                "deadline": install.deadline.isoformat() if install.deadline else None,
                "goes_on_as": _next_of(install),
                "requested_by": install.requested_by,
                "queued_at": install.queued_at.isoformat(),
                "ended_at": install.ended_at.isoformat() if install.ended_at else None,
                "is_unconfirmed": is_unconfirmed(install),
                "url": address_of(install) + ("task/" if _is_by_hand(install, kind) else ""),
            }
        }


def payload_of_wave(wave: Wave, kind: Notice.Kind) -> dict[str, Any]:
    """Without names of machines: a target may be told of one cluster only, a wave goes over several."""
    machines = wave.machines.all()
    return _envelope(kind) | {
        "data": {
            "wave": wave.pk,
            "image": wave.image.name,
            "machines": len(machines),
            "ended_badly": machines.ended_badly().count(),
            "under_way": machines.live().count(),
            "not_begun": machines.waiting().count(),
            "stops_at": wave.stop_at,
            "requested_by": wave.requested_by,
            "approved_by": wave.approved_by,
            "ended_at": wave.ended_at.isoformat() if wave.ended_at else None,
            "url": f"{settings.PAGES_URL.rstrip('/')}/waves/{wave.pk}/",
        }
    }


def test_payload(*, by: str) -> dict[str, Any]:
    return _envelope(Notice.Kind.TEST) | {"data": {"message": "This is a test notice of Dodai.", "requested_by": by}}


def address_of(install: Install) -> str:
    """Written out: installs also end in the provisioning listener, which does not have the pages' URLs."""
    return f"{settings.PAGES_URL.rstrip('/')}/installs/{install.pk}/"


def subject_of(payload: dict[str, Any]) -> str:
    data = payload["data"]
    match payload["type"]:
        case Notice.Kind.TEST:
            return "Dodai: test notice"
        case Notice.Kind.FAILED:
            what = "inspection" if data["is_inspection"] else data.get("operation") or "install"
            return f"Dodai: {what} of {data['machine']} failed ({data['cause']})"
        case Notice.Kind.INSTALLED:
            doubt = " (not confirmed: the OS answers, but has not called itself)" if data.get("is_unconfirmed") else ""
            return f"Dodai: {data['machine']} is installed with {data['image']}{doubt}"
        case Notice.Kind.OPERATOR:
            return f"Dodai: {data['machine']} waits for an operator"
        case Notice.Kind.WAVE_STOPPED:
            return f"Dodai: wave {data['wave']} of {data['image']} stopped after {data['ended_badly']} bad ends"
    return f"Dodai: {data.get('operation') or 'install'} of {data['machine']} was cancelled"


def text_of(payload: dict[str, Any]) -> str:
    """The plain text of a mail."""
    data = payload["data"]
    if payload["type"] == Notice.Kind.TEST:
        return f"{data['message']}\nAsked for by {data['requested_by']}.\n"
    if payload["type"] == Notice.Kind.WAVE_STOPPED:
        counts = f"{data['machines']} machines: {data['not_begun']} not begun, {data['under_way']} under way."
        return f"{subject_of(payload)}\n\n{counts}\nApproved by {data['approved_by']}.\n\n{data['url']}\n"
    goes_on_as = data.get("goes_on_as")  # notices of an older Dodai may still be on their way
    lines = [
        ("Machine", data["machine"]), ("Cluster", data["cluster"]), ("Image", data["image"]),
        ("Step", data["step_label"] if data["cause"] else None), ("Cause", data["cause"]), ("Next", data["advice"]),
        ("Left behind", data["left_behind"]), ("Given up at", data.get("deadline")), ("Goes on as install", goes_on_as),
        ("Asked for by", data["requested_by"]), ("Ended at", data["ended_at"]),
    ]  # fmt: skip
    facts = "\n".join(f"{name}: {value}" for name, value in lines if value)
    return f"{data['error'] or data.get('task') or subject_of(payload)}\n\n{facts}\n\n{data['url']}\n"


def _envelope(kind: Notice.Kind) -> dict[str, Any]:
    return {"version": VERSION, "type": str(kind.value), "timestamp": now().isoformat()}


def _is_by_hand(install: Install, kind: Notice.Kind) -> bool:
    """Whether there is a page with a checklist to go to; other tasks stand on the install's own."""
    method = METHODS.get(install.method)
    return kind == Notice.Kind.OPERATOR and method is not None and method.by_operator


def _next_of(install: Install) -> int | None:
    """The attempt that goes on with a fallback."""
    return install.retries.filter(fallback__gt=0).values_list("pk", flat=True).first()


def _label(install: Install) -> str:
    method = METHODS.get(install.method)
    return dict(method.milestones).get(install.failed_step, install.failed_step) if method else ""
