"""Read ports: an operator asks, a worker asks the switch, and its page says what each port is in."""

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils.timezone import now

from machines import cabling, doorbell
from machines.models import Interface, Switch
from machines.network import driver_for
from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, SwitchPort, plain
from machines.network.move import place

logger = logging.getLogger(__name__)

JOB = "machines.jobs.read_ports"
MOST_PORTS = 200  # of one reading
MOST_ONE_BY_ONE = 48  # where the switch refuses one of them: each may take a log-in
ASKED_AGAIN_AFTER = timedelta(minutes=3)


def request(switches: Iterable[int], *, by: str) -> int:
    """Have the ports of these switches read; how many switches."""
    asked = Switch.objects.filter(pk__in=list(switches)).update(read_asked_at=now(), read_asked_by=by)
    doorbell.ring(JOB)
    return asked


def ring_for_due() -> None:
    """Have a worker read what was asked for and not read, as its ring was lost or it was killed."""
    if _due(now() - ASKED_AGAIN_AFTER).exists():
        doorbell.ring(JOB)


def run_due() -> None:
    """Read every switch that somebody wants read."""
    for number, asked_at in _due(now()).values_list("pk", "read_asked_at"):
        # Taken by whoever changes it first; a worker that dies leaves it to the next ring.
        mine = Switch.objects.filter(pk=number, read_asked_at=asked_at)
        if mine.update(read_asked_at=now() + ASKED_AGAIN_AFTER):
            _read(Switch.objects.get(pk=number))


def _due(moment: Any) -> Any:
    return Switch.objects.filter(Q(read_asked_at__lte=moment))


def _read(switch: Switch) -> None:
    report = _report(switch)
    Switch.objects.filter(pk=switch.pk).update(read_report=report, read_at=now(), read_asked_at=None)
    doorbell.tell_pages()
    logger.info("the switch %s: %d ports read for %s", switch.name, len(report), switch.read_asked_by)


def _report(switch: Switch) -> list[dict[str, Any]]:
    """A row a port: {port, vlan, place, allowed, cards, problem}. A problem alone stands where the switch is silent."""
    allowed = switch.rules()
    cards = Interface.objects.filter(switch=switch).select_related("machine").order_by("switch_port")
    names = list(dict.fromkeys([*(card.switch_port for card in cards if card.switch_port), *sorted(allowed.ports)]))
    ports = [SwitchPort(switch.name, name, cabling.told(switch, name)) for name in names[:MOST_PORTS]]
    try:
        rows = list(_rows(driver_for(switch.endpoint()), ports))
    except NetworkError as exc:
        return [{"port": "", "problem": plain(exc)}]
    for row in rows:
        row["allowed"] = row["port"] in allowed.ports
        row["cards"] = [f"{card.machine.name} {card.mac}" for card in cards if card.switch_port == row["port"]]
    return rows


def _rows(driver: NetworkDriver, ports: list[SwitchPort]) -> Iterator[dict[str, Any]]:
    """Raises NetworkError when the switch is silent; a port that it refuses to tell of has a row that says so."""
    try:
        found = driver.read_all(ports)
    except NetworkRefused as exc:
        if len(ports) < 2:
            yield from ({"port": port.name, "problem": plain(exc)} for port in ports)
            return
        for port in ports[:MOST_ONE_BY_ONE]:
            yield from _rows(driver, [port])
    else:
        yield from ({"port": port.name, "vlan": found[port.name], "place": place(found[port.name])} for port in ports)
