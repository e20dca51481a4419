"""Whether machines can reach Dodai by the URLs that they are told: looked at by workers, read by plans and pages."""

import contextlib
import http.client
import ipaddress
import secrets
import socket
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as N_

from dodaiweb import hello
from machines import doorbell
from machines.models import Machine, Site

JOB = "installs.jobs.check_reach"
EVERY = timedelta(minutes=10)
SECONDS = 3.0
LARGEST_ANSWER = 200
MOST_ADDRESSES = 4
WORDS = {
    "bad-url": N_("%(url)s is no URL that machines can use: write it like http://10.0.0.2:8001."),
    "loopback": N_(
        "Dodai listens on this computer only (%(url)s), no machine can reach it: start it with --provision-host."
    ),
    "no-name": N_("The name in %(url)s does not resolve: correct it, or write the address itself."),
    "somebody-else": N_(
        "Another program answers at %(url)s: correct the URL, or --provision-host and --provision-port."
    ),
    "nobody": N_(
        "Nobody answers at %(url)s, an address of this computer: start Dodai with --provision-host %(host)s, and look "
        "at its firewall."
    ),
    "not-from-here": N_(
        "%(url)s cannot be reached from this computer. Machines may have another way; if they do not boot, look at "
        "the firewall and at the address."
    ),
}
CERTAIN = frozenset(WORDS) - {"not-from-here"}
"""What no machine can get around: installs are refused."""


@dataclass(frozen=True)
class Problem:
    """One URL that does not lead here."""

    code: str
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def is_certain(self) -> bool:
        return self.code in CERTAIN

    @property
    def words(self) -> str:
        return _(WORDS[self.code]) % self.values


def urls(site: Site) -> dict[str, str]:
    """What its machines are told, by listener."""
    return {"provision": site.provision_url or settings.PROVISION_URL, "images": site.image_url or settings.IMAGE_URL}


def problems(site: Site) -> list[Problem]:
    """What is known to be wrong now, without asking the network: what is plain to see, and the last look's result."""
    told = urls(site)
    if site.is_practice:
        return []
    plain = [Problem("loopback", {"url": url}) for url in told.values() if is_loopback(url)]
    report = site.reach_report
    if plain or report.get("urls") != told:
        return plain[:1]
    return [Problem(item["code"], item["values"]) for item in report.get("problems", ()) if item.get("code") in WORDS]


def why_refused(site: Site) -> list[str]:
    """Why nothing can be installed on machines of this site, in words."""
    return [problem.words for problem in problems(site) if problem.is_certain]


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def sites_in_use() -> Iterable[Site]:
    """Sites that have real machines."""
    return Site.objects.filter(Exists(Machine.objects.real().filter(site=OuterRef("pk"))))


def check() -> dict[Site, list[Problem]]:
    """Look at the URLs of all sites with real machines, and store what was found. May take some seconds."""
    known: dict[tuple[str, str], list[Problem]] = {}
    found = {}
    for site in list(sites_in_use()):
        told = urls(site)
        for pair in told.items():
            if pair not in known:
                known[pair] = list(look(*pair))
        found[site] = [problem for pair in told.items() for problem in known[pair]]
        stored = {"at": now().isoformat(), "urls": told, "problems": [asdict(problem) for problem in found[site]]}
        if stored["problems"] != site.reach_report.get("problems"):
            doorbell.tell_pages()
        Site.objects.filter(pk=site.pk).update(reach_report=stored)
    return found


def look(listener: str, url: str) -> Iterator[Problem]:
    """What is wrong with one URL, as seen from this computer; nothing when it leads to our own listener."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host = None
    if parts.scheme != "http" or not host:
        yield Problem("bad-url", {"url": url})
        return
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        yield Problem("no-name", {"url": url})
        return
    addresses = list(dict.fromkeys(str(info[4][0]) for info in resolved))[:MOST_ADDRESSES]
    if any(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        yield Problem("loopback", {"url": url})
        return
    for address in addresses:
        if code := _greet(address, port, listener):
            yield Problem(code, {"url": url, "host": address})
            return


def ring_if_old() -> None:
    """Have a worker look again, now and then."""
    oldest = (site.reach_report.get("at") for site in sites_in_use())
    if any(at is None or datetime.fromisoformat(at) < now() - EVERY for at in oldest):
        doorbell.ring(JOB)


def _greet(address: str, port: int, listener: str) -> str:
    """The code of what is wrong at one address, "" for our own listener."""
    nonce = secrets.token_hex(16)
    connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
    try:
        connection.request("GET", hello.PATH + nonce)
        body = connection.getresponse().read(LARGEST_ANSWER).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as exc:
        if isinstance(exc, http.client.HTTPException):
            return "somebody-else"
        return "nobody" if _is_ours(address) else "not-from-here"
    finally:
        connection.close()
    return "" if body == hello.proof(settings.DATA, nonce, listener=listener) else "somebody-else"


def _is_ours(address: str) -> bool:
    """Whether it is an address of this computer: only those can be bound."""
    with contextlib.suppress(OSError):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            return True
    return False
