"""Asks, as a machine that boots from the network would, who answers DHCP (RFC 2131, PXE 2.1). Takes no address."""

import fcntl
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

SERVER_PORT, CLIENT_PORT, PXE_PORT, TFTP_PORT = 67, 68, 4011, 69
SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFFLAGS = 0x8915, 0x891B, 0x8913  # linux/sockios.h
IFF_UP, IFF_BROADCAST, IFF_LOOPBACK = 0x1, 0x2, 0x8
DISCOVER, REQUEST = 1, 3
COOKIE = b"\x63\x82\x53\x63"
BROADCAST_FLAG = 0x8000
WAITS_SECONDS = (2.0, 4.0)  # servers first try by ping, for up to 3 s, whether the address is free
PXE_SECONDS = 1.0
TFTP_TRIES = 2
ASKED_URL = re.compile(rb"https?://[!-~]+?/boot\.ipxe(?=[?\s])")
UEFI_X64 = b"\x00\x07"  # RFC 4578, 2.1
WANTED = bytes((1, 3, 6, 43, 54, 60, 66, 67, 175))
NAMES_HELD_BACK = ("veth", "docker", "br-", "virbr", "vnet")
"""Interfaces of containers and virtual machines, where no server stands."""


@dataclass(frozen=True)
class Interface:
    name: str
    address: str
    netmask: str


@dataclass(frozen=True)
class Offer:
    """What one server answered. `address` is "" where it only adds boot information (proxyDHCP)."""

    server: str
    address: str
    next_server: str
    boot_file: str
    must_be_asked: bool = False
    """It says what to boot only to those who ask its port for PXE (PXE 2.1, 2.2.3)."""


def interfaces() -> list[Interface]:
    """Those with an IPv4 address that may reach servers."""
    found = []
    for _, name in sorted(socket.if_nameindex()):
        if name.startswith(NAMES_HELD_BACK):
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = struct.pack("256s", name.encode())
            try:
                flags = struct.unpack_from("H", fcntl.ioctl(probe, SIOCGIFFLAGS, request), 16)[0]
                address, netmask = (
                    socket.inet_ntoa(fcntl.ioctl(probe, number, request)[20:24])
                    for number in (SIOCGIFADDR, SIOCGIFNETMASK)
                )
            except OSError:
                continue  # it has no IPv4 address
        if flags & IFF_UP and flags & IFF_BROADCAST and not flags & IFF_LOOPBACK:
            found.append(Interface(name, address, netmask))
    return found


def both(interface: Interface) -> tuple[list[Offer], list[Offer]]:
    """Who answers firmware, and what the same servers answer iPXE: one after the other, as servers do one at a time."""
    plain = offers(interface)
    as_ipxe = offers(interface, as_ipxe=True, enough=len(plain)) if plain else []
    return plain, [_followed(offer) for offer in as_ipxe]


def offers(interface: Interface, *, as_ipxe: bool = False, enough: int | None = None) -> list[Offer]:
    """Who answers on this interface, each server once, no longer than until so many are `enough`.

    Raises PermissionError without root, or OSError.
    """
    found = _broadcast(interface.name, as_ipxe=as_ipxe, enough=enough)
    return [_asked_for_pxe(offer, interface, as_ipxe=as_ipxe) if offer.must_be_asked else offer for offer in found]


def _broadcast(interface: str, *, as_ipxe: bool, enough: int | None) -> list[Offer]:
    number, mac = os.urandom(4), b"\x02" + os.urandom(5)  # locally administered: no server knows it
    question, found = _question(number, mac, as_ipxe=as_ipxe), {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        asking.bind(("", CLIENT_PORT))
        for wait in WAITS_SECONDS:
            asking.sendto(question, ("255.255.255.255", SERVER_PORT))
            for packet, sender in _heard(asking, wait):
                if (offer := parse(packet, number, sender)) is not None:
                    found[offer.server, bool(offer.address)] = offer
                    if enough is not None and len(found) >= enough:
                        return list(found.values())
    return list(found.values())


def _followed(offer: Offer) -> Offer:
    """Where a script from TFTP sends iPXE stands for the script; unchanged where there is none to be read."""
    if not offer.boot_file.endswith(".ipxe") or "://" in offer.boot_file:
        return offer
    url = ASKED_URL.search(_first_block(offer.next_server or offer.server, offer.boot_file))
    return replace(offer, boot_file=url[0].decode()) if url else offer


def _first_block(server: str, name: str) -> bytes:
    """The beginning of a file, by TFTP (RFC 1350); empty if it does not come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            for _ in range(TFTP_TRIES):
                asking.sendto(b"\0\x01" + name.encode() + b"\0octet\0", (server, TFTP_PORT))
                for packet, sender in _heard(asking, PXE_SECONDS):
                    if sender == server and packet[:4] == b"\0\x03\0\x01":
                        return packet[4:]
        except OSError:
            pass
    return b""


def _asked_for_pxe(offer: Offer, interface: Interface, *, as_ipxe: bool) -> Offer:
    """The same with what its port for PXE says; unchanged where that says nothing."""
    number = os.urandom(4)
    question = _question(number, b"\x02" + os.urandom(5), as_ipxe=as_ipxe, kind=REQUEST, address=interface.address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.bind((interface.address, 0))
            asking.sendto(question, (offer.server, PXE_PORT))
            for packet, sender in _heard(asking, PXE_SECONDS):
                if (answer := parse(packet, number, sender)) is not None and answer.boot_file:
                    return replace(answer, address=offer.address, server=offer.server)
        except OSError:
            pass
    return offer


def parse(packet: bytes, number: bytes, sender: str) -> Offer | None:
    """The offer in a packet, or None for what is no answer to our question."""
    if len(packet) < 240 or packet[0] != 2 or packet[4:8] != number or packet[236:240] != COOKIE:
        return None
    options = dict(_options(packet[240:]))
    address = socket.inet_ntoa(packet[16:20])
    server = options.get(54, b"")
    boot_file = options.get(67) or packet[108:236].split(b"\0")[0]
    return Offer(
        server=socket.inet_ntoa(server) if len(server) == 4 else sender,
        address="" if address == "0.0.0.0" else address,  # noqa: S104 - compared with
        next_server=socket.inet_ntoa(packet[20:24]).replace("0.0.0.0", ""),  # noqa: S104
        boot_file=_text(boot_file),
        must_be_asked=options.get(60, b"").startswith(b"PXEClient") and not boot_file,
    )


def _question(
    number: bytes,
    mac: bytes,
    *,
    as_ipxe: bool,
    kind: int = DISCOVER,
    address: str = "0.0.0.0",  # noqa: S104
) -> bytes:
    client = socket.inet_aton(address)
    head = struct.pack("!BBBB4sHH4s12x16s64x128x", 1, 1, 6, 0, number, 0, BROADCAST_FLAG, client, mac)
    options = [
        (53, bytes((kind,))), (55, WANTED), (60, b"PXEClient:Arch:00007:UNDI:003016"), (93, UEFI_X64),
        (94, b"\x01\x03\x10"), (97, b"\0" + bytes(10) + mac),
    ]  # fmt: skip
    if as_ipxe:
        options += [(77, b"iPXE"), (175, b"\x15\x01\x01")]
    coded = b"".join(bytes((code, len(value))) + value for code, value in options)
    return (head + COOKIE + coded + b"\xff").ljust(300, b"\0")  # RFC 1542, 2.1: some drop what is shorter


def _heard(asking: socket.socket, seconds: float) -> Iterator[tuple[bytes, str]]:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        asking.settimeout(left)
        try:
            packet, sender = asking.recvfrom(2048)
        except TimeoutError:
            return
        yield packet, str(sender[0])


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data) and data[position] != 255:
        if data[position] == 0:
            position += 1
            continue
        if position + 1 >= len(data):
            return
        length = data[position + 1]
        yield data[position], data[position + 2 : position + 2 + length]
        position += 2 + length


def _text(raw: bytes) -> str:
    return "".join(letter for letter in raw.decode(errors="replace").strip("\0")[:200] if letter.isprintable())


def is_root() -> bool:
    return os.geteuid() == 0
