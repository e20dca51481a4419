"""Test BMC: an operator asks, a worker tries it and stores what it found; the driver uses what works."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.timezone import now

from machines import bmc_words, doorbell, identity
from machines.actions import JOB, Refused
from machines.bmc_probe import PROBES, Finding, Works
from machines.bmc_probe.passwords import weaknesses
from machines.models import Bmc, Machine, PowerCommand
from machines.power.base import BmcEndpoint, PowerRefused

ACTION = "test"


def request_test(machine: Machine, *, by: str, accept_certificate: bool = False) -> PowerCommand:
    """Ask for a test of the machine's BMC. Raises Refused.

    With `accept_certificate` the certificate that the BMC shows then is taken for its own, whatever it was before.
    """
    bmc = Bmc.objects.filter(machine=machine).first()
    if bmc is None or bmc.driver not in PROBES:
        raise Refused(f"{machine.name} has no BMC that can be tested: enter one in the inventory")
    try:
        with transaction.atomic():
            machine = Machine.objects.select_for_update().get(pk=machine.pk)
            if machine.handled_by:
                raise Refused(f"{machine.name} is in the hands of {machine.handled_by}: test its BMC afterwards")
            command = PowerCommand.objects.create(machine=machine, action=ACTION, asked_by=by)
            if accept_certificate:
                Bmc.objects.filter(pk=bmc.pk).update(tls_fingerprint="")
    except IntegrityError as exc:
        raise Refused(f"{machine.name}: a power command is already under way, wait for it") from exc
    doorbell.ring(JOB)
    doorbell.tell_pages(machine=machine.pk)
    return command


def carry_out(bmc: Bmc, renew: Callable[[], None]) -> str:
    """Test it and store the report; a line about it. Raises PowerRefused, and what `renew` raises before a log-in."""
    endpoint = bmc.endpoint()
    if not endpoint.host:
        raise PowerRefused(f"{bmc.machine.name} has no BMC address: enter it in the inventory")
    works = PROBES[bmc.driver](replace(endpoint, cipher_suite=None, privilege=""), renew)
    works.findings += [*_about_identity(bmc.machine, works), *_about_address(bmc), *_about_password(bmc, endpoint)]
    renew()
    _store(bmc, works)
    return bmc_words.summary(finding.code for finding in works.findings)


def count_weak_passwords() -> Counter[str]:
    """How many BMCs have a password of each weakness."""
    users = list(_users())
    used_by = Counter(password for _, password in users)
    return Counter(code for user, password in users for code in weaknesses(user, password, used_by=used_by[password]))


def _store(bmc: Bmc, works: Works) -> None:
    """What did not work this time does not replace what worked before."""
    report = {"of": bmc.identity, "usable": works.is_usable, "findings": [asdict(one) for one in works.findings]}
    found: dict[str, Any] = {"tested_at": now(), "test_report": report}
    if works.is_usable:
        found |= {"cipher_suite": works.cipher_suite, "privilege": works.privilege}
        found |= {"tls_fingerprint": works.tls_fingerprint}
    Bmc.objects.filter(pk=bmc.pk).update(**found)


def _about_identity(machine: Machine, works: Works) -> Iterator[Finding]:
    """Another machine's BMC is told by what belongs to that machine only."""
    others = Machine.objects.exclude(pk=machine.pk)
    uuids = [known for text in works.uuids if (known := identity.normal_uuid(text))]
    serials = [known for text in works.serials if (known := identity.normal_serial(text))]
    spellings = {spelling for known in uuids for spelling in (known, identity.swapped_uuid(known))}
    if machine.uuid in spellings and machine.uuid:
        yield Finding("identity-same", {"what": "system UUID"})
    elif twin := others.filter(uuid__in=spellings).exclude(uuid="").first():
        yield Finding("identity-other", {"what": "system UUID", "machine": twin.name})
    elif machine.uuid and uuids:
        yield Finding("identity-differs", {"what": "system UUID", "found": uuids[0], "known": machine.uuid})
    if machine.serial and machine.serial in serials:
        yield Finding("identity-same", {"what": "serial number"})
    elif twin := others.filter(serial__in=serials).exclude(serial="").first():
        yield Finding("identity-other", {"what": "serial number", "machine": twin.name})
    elif machine.serial and serials:
        yield Finding("identity-differs", {"what": "serial number", "found": serials[0], "known": machine.serial})


def _about_address(bmc: Bmc) -> Iterator[Finding]:
    same = Bmc.objects.exclude(pk=bmc.pk).filter(host__iexact=bmc.host, system_id=bmc.system_id)
    for other in same.select_related("machine"):
        if other.driver_port == bmc.driver_port or other.driver != bmc.driver:
            yield Finding("address-shared", {"machine": other.machine.name})


def _about_password(bmc: Bmc, endpoint: BmcEndpoint) -> Iterator[Finding]:
    used_by = sum(password == endpoint.password for _, password in _users())
    for code in weaknesses(endpoint.username, endpoint.password, used_by=used_by):
        yield Finding(code, {"count": used_by})


def _users() -> Iterator[tuple[str, str]]:
    """User and password of each real machine's BMC that can be read; those of practice servers are made up."""
    for bmc in Bmc.objects.filter(driver__in=PROBES, machine__site__is_practice=False).select_related(
        "credentials", "machine"
    ):
        try:
            endpoint = bmc.endpoint()
        except PowerRefused:
            continue
        yield endpoint.username, endpoint.password
