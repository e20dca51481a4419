"""What an installer reads: the template of the image with the facts of one machine, checked before anything starts."""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from dodaiweb import keys
from installs import celled, settings_document
from installs.cell.answers import DISK_WORDS
from installs.cell_words import words_for
from installs.images import metadata
from installs.methods.installer import source, variables
from installs.models import Image, Install
from machines.models import Machine

PURPOSE = "answers of an install"
SECRET_NAME = re.compile(r"\bsecrets\.([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Made:
    """`text` is what the installer reads, `before` shell that runs once the grant is there; `problems` are in words."""

    text: str
    before: str
    problems: list[str]


def make(image: Image, plan: dict[str, Any], machine: Machine, *, with_secrets: bool) -> Made:
    """Read the template where it is, render and check it. Secrets are dummies unless asked for.

    Raises source.NoSource and celled.CellProblem.
    """
    template = source.text_of(image.metadata, metadata.secrets_of(image))
    known = variables.of(image)
    dummies = {name: variables.dummy(name) for name in known}
    has_file = bool(image.sha256)
    made = from_template(image.method, template, image.metadata, values(machine, plan, dummies), has_file=has_file)
    if not with_secrets or made.problems:
        return made
    made = from_template(image.method, template, image.metadata, values(machine, plan, known), has_file=has_file)
    # What a parser says of a line may quote it, and now the line may hold a secret.
    told = (
        [_("With its secret variables the answer file is not understood: look at their values.")]
        if made.problems
        else []
    )
    return Made(made.text, made.before, told)


def from_template(
    kind: str, template: str, settings: dict[str, Any], given: dict[str, Any], *, has_file: bool
) -> Made:  # fmt: skip
    options = {"release": settings.get("release", ""), "has_source": has_file or "inst." in settings.get("options", "")}
    found = celled.answers(kind, template, given, options)
    return Made(found["text"], found["before"], [words_for(problem) for problem in found["problems"]])


def values(machine: Machine, plan: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    """The variables of a template. All plain values: no template reaches into Dodai through them."""
    told = settings_document.document_of(machine, plan)
    host, _dot, domain = told["hostname"].partition(".")
    return {
        "hostname": told["hostname"], "host": host, "domain": domain, "timezone": told["timezone"],
        "keys": told["authorized_keys"], "accounts": told["accounts"], "kernel_args": told["kernel_args"],
        "network": told["network"], "bonds": told["bonds"], "vlans": told["vlans"],
        "disk": _disk(plan),
        "machine": {"name": machine.name, "serial": machine.serial, "uuid": machine.uuid,
                    "type": str(machine.type or ""), "memory_bytes": machine.facts.get("memory_bytes"),
                    "macs": [card.mac for card in machine.interfaces.all()]},
        "tree": tree(plan), "image": {"name": plan["image"]["name"]}, "secrets": secrets,
    }  # fmt: skip


def made_up(secrets: dict[str, str]) -> dict[str, Any]:
    """The same variables for no machine at all: a template is looked at before anybody chooses one."""
    plan = {
        "image_url": "http://192.0.2.1", "image": {"sha256": "0" * 64, "name": "image"},
        "disk": {"serial": "SERIAL", "wwn": "", "size_bytes": 1 << 40},
    }  # fmt: skip
    card = {
        "mac": "52:54:00:00:00:01",
        "role": "service",
        "bond": "",
        "address": "192.0.2.9/24",
        "gateway": "192.0.2.1",
        "dns": ["192.0.2.1"],
    }
    machine = {
        "name": "node1", "serial": "SERIAL", "uuid": "", "type": "", "memory_bytes": 1 << 36, "macs": [card["mac"]],
    }  # fmt: skip
    return {
        "hostname": "node1.example.org", "host": "node1", "domain": "example.org", "timezone": "UTC",
        "kernel_args": "", "keys": ["ssh-ed25519 AAAA key"], "accounts": [],
        "network": [card], "bonds": [], "vlans": [], "disk": _disk(plan),
        "machine": machine, "tree": tree(plan), "image": {"name": "image"}, "secrets": secrets,
    }  # fmt: skip


def _disk(plan: dict[str, Any]) -> dict[str, Any]:
    """The granted disk. Its names are put in on the machine, which alone knows them."""
    known = plan.get("disk") or {}
    facts = {name: known.get(name) for name in ("serial", "wwn", "size_bytes")}
    return {"id": DISK_WORDS[0], "node": DISK_WORDS[1], **facts}


def tree(plan: dict[str, Any]) -> dict[str, str]:
    """Where the files of the image's ISO are served: the URL, and the parts that installers ask for one by one."""
    digest = plan["image"]["sha256"]
    url = f"{plan['image_url']}/tree/{digest}" if digest else ""
    host, _slash, path = url.partition("://")[2].partition("/")
    return {"url": url, "host": host, "path": f"/{path}" if path else ""}


def missing_secrets(image: Image) -> list[str]:
    """Names that the template in the image asks for and nobody has entered. A template elsewhere is read later."""
    asked = set(SECRET_NAME.findall(str(image.metadata.get("answers") or "")))
    return sorted(asked - set(variables.of(image)))


def sealed(made: Made) -> str:
    return keys.encrypt(json.dumps({"text": made.text, "before": made.before}), purpose=PURPOSE)


def of_install(install: Install) -> tuple[str, str]:
    """(text, before) as they were frozen for this attempt; two empty texts while they are not made."""
    if not install.answers_sealed:
        return "", ""
    found = json.loads(keys.decrypt(install.answers_sealed, purpose=PURPOSE))
    return found["text"], found["before"]


def in_words(problems: list[str]) -> str:
    """One sentence of them for a failure: the first few say enough."""
    more = len(problems) - 3
    return " ".join(problems[:3]) + (" " + _("And %(n)d more.") % {"n": more} if more > 0 else "")


__all__ = ["Made", "in_words", "make", "metadata", "missing_secrets", "of_install", "sealed", "tree", "values"]
