"""Checks of the network that machines boot from."""

import http.client
import ipaddress
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from django.conf import settings

from dodaiweb.doctor import Finding, dhcp_probe
from installs import reach
from machines.models import Bmc, Machine

NAMED = 5
MOST_INTERFACES = 8
FORBIDDEN_PATHS = ("/", "/login/", "/admin/", "/machines/", "/events/", "/static/css/dodai.css")
SECONDS = 3.0


def urls_lead_here() -> Iterator[Finding]:
    found = reach.check()
    for site, problems in found.items():
        for problem in problems:
            code = "url-wrong" if problem.is_certain else "url-unsure"
            yield Finding(code, {"site": site.name, "problem": problem.code, "values": problem.values})
    if found and not any(found.values()):
        yield Finding("urls-right", {"url": settings.PROVISION_URL})


def listeners_are_apart() -> Iterator[Finding]:
    """Machines are not trusted: what they can reach must not serve a page."""
    for name, url in (("provision", settings.PROVISION_URL), ("images", settings.IMAGE_URL)):
        parts = urlsplit(url)
        mixed = [path for path in FORBIDDEN_PATHS if _status(parts.hostname, parts.port, path) not in (None, 404)]
        if mixed:
            yield Finding("listeners-mixed", {"url": url, "paths": ", ".join(mixed)})
        elif _status(parts.hostname, parts.port, "/") is None:
            yield Finding("listener-silent", {"url": url, "name": name})
        else:
            yield Finding("listener-apart", {"url": url})


def dhcp() -> Iterator[Finding]:
    """Who answers a machine that boots from the network."""
    needed = Machine.objects.real().exists()
    if not dhcp_probe.is_root():
        yield Finding("dhcp-needs-root")
        return
    cards = dhcp_probe.interfaces()[:MOST_INTERFACES]
    with ThreadPoolExecutor(max_workers=MOST_INTERFACES) as pool:  # each waits some seconds for late answers
        asked = [(card.name, pool.submit(dhcp_probe.both, card)) for card in cards]
        for name, answers in asked:
            try:
                plain, as_ipxe = answers.result()
            except OSError as exc:
                yield Finding("dhcp-unknown", {"interface": name, "reason": exc.strerror or type(exc).__name__})
                continue
            yield from judge(name, plain, as_ipxe, needed=needed)


def judge(
    interface: str, plain: list[dhcp_probe.Offer], as_ipxe: list[dhcp_probe.Offer], *, needed: bool
) -> Iterator[Finding]:
    """What the answers mean: one server gives addresses, one says what to boot, and iPXE is sent to Dodai."""
    where = {"interface": interface}
    if not plain:
        yield Finding("dhcp-nobody" if needed else "dhcp-nobody-yet", where)
        return
    giving = sorted(offer.server for offer in plain if offer.address)
    telling = [offer for offer in plain if offer.boot_file]
    silent = sorted(offer.server for offer in plain if offer.must_be_asked and not offer.boot_file)
    yield Finding("dhcp-server", where | {"servers": ", ".join(giving) or "-", "boot": _boots(telling) or "-"})
    if len(giving) > 1:
        yield Finding("dhcp-several", where | {"servers": ", ".join(giving)})
    if not giving:
        yield Finding("dhcp-no-addresses", where)
    if silent:
        yield Finding("dhcp-proxy", where | {"servers": ", ".join(silent)})
        return
    if not telling:
        yield Finding("dhcp-no-boot" if needed else "dhcp-no-boot-yet", where)
        return
    if len({offer.server for offer in telling}) > 1:
        yield Finding("dhcp-two-boots", where | {"boot": _boots(telling)})
    ours = f"{settings.PROVISION_URL}/boot.ipxe"
    found = sorted({offer.boot_file for offer in as_ipxe if offer.boot_file})
    code = "dhcp-boots-us" if found == [ours] else ("dhcp-boots-others" if needed else "dhcp-boots-others-yet")
    yield Finding(code, where | {"found": ", ".join(found) or "-", "ours": ours})


def bmcs_are_apart() -> Iterator[Finding]:
    """Whoever breaks into a server must not find the BMCs beside it."""
    host = urlsplit(settings.PROVISION_URL).hostname or ""
    network = next((_network(card) for card in dhcp_probe.interfaces() if card.address == host), None)
    if network is None:
        return
    real = Bmc.objects.filter(machine__site__is_practice=False).exclude(host="")
    inside = [name for name, bmc_host in real.values_list("machine__name", "host") if _is_in(bmc_host, network)]
    if inside:
        names = ", ".join(inside[:NAMED])
        yield Finding("bmcs-beside", {"count": len(inside), "names": names, "network": str(network)})


def _boots(offers: list[dhcp_probe.Offer]) -> str:
    return ", ".join(f"{offer.boot_file} ({offer.server})" for offer in offers)


def _status(host: str | None, port: int | None, path: str) -> int | None:
    connection = http.client.HTTPConnection(host or "", port or 80, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _network(card: dhcp_probe.Interface) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{card.address}/{card.netmask}", strict=False)


def _is_in(host: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
