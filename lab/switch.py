"""The lab's switch: VLANs by port, moved while everything runs.

A guest's card is QEMU's `-netdev stream` on one end of a Unix socket pair, whose other end is plugged in here. A frame
is its length, four bytes with the highest first, and its bytes (QEMU's net/stream.c). Ports are access ports: no frame
carries a tag, and a frame never leaves by a port of another VLAN.
"""

import asyncio
import contextlib
import json
import logging
import socket
import struct
from pathlib import Path

from lab.errors import LabError

log = logging.getLogger(__name__)

VLANS = range(1, 4095)  # IEEE 802.1Q, 9.6
FIRST_VLAN = 1
LONGEST_FRAME = 1 << 17  # QEMU sends at most 68 KiB; whoever announces more is no QEMU
ADDRESSES_KEPT = 4096  # of all guests; one that invents more only has its frames flooded
QUEUE_BYTES = 1 << 21  # a port that takes its frames more slowly loses some, as on real switches
HEADER = struct.Struct(">I")


class Switch:
    """All methods belong to one event loop. What the ports are in is kept in `path`, as a real switch keeps it."""

    def __init__(self, names: list[str], path: Path | None = None) -> None:
        self._path = path
        kept = _kept(path)
        self._vlans: dict[str, int | None] = {name: kept.get(name, FIRST_VLAN) for name in names}
        self._plugs: dict[str, _Plug] = {}
        self._homes: dict[tuple[int, bytes], str] = {}

    @property
    def vlans(self) -> dict[str, int | None]:
        """Port -> its VLAN; None for one that reaches nobody."""
        return dict(self._vlans)

    def move(self, name: str, vlan: int | None) -> None:
        """Put a port into a VLAN, or into none. Raises LabError for what is no port or no VLAN."""
        if name not in self._vlans:
            raise LabError(f"the lab's switch has no port {name!r}; there are {', '.join(self._vlans)}")
        if vlan is not None and (type(vlan) is not int or vlan not in VLANS):
            raise LabError(f"{vlan!r} is no VLAN: {VLANS.start} to {VLANS.stop - 1}")
        if self._vlans[name] == vlan:
            return
        self._vlans[name] = vlan
        self._forget(name)
        if self._path:
            _keep(self._path, self._vlans)
        log.info("the lab's switch: port %s is in %s", name, f"VLAN {vlan}" if vlan else "no VLAN")

    async def plug(self, name: str) -> socket.socket:
        """A cable into this port; whoever gets its end closes it. What was plugged in there before is out."""
        if name not in self._vlans:
            raise LabError(f"the lab's switch has no port {name!r}")
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
        self._unplug(name)
        plug = self._plugs[name] = _Plug(self, name)
        await asyncio.get_running_loop().create_unix_connection(lambda: plug, sock=ours)
        return theirs

    def close(self) -> None:
        for name in list(self._plugs):
            self._unplug(name)

    def take(self, name: str, frame: bytes) -> None:
        """A frame that came in by a port: learn who lives there, and pass it on within its VLAN."""
        vlan = self._vlans[name]
        if vlan is None or len(frame) < 14:
            return
        to, sender = frame[:6], frame[6:12]
        if not sender[0] & 1 and ((vlan, sender) in self._homes or len(self._homes) < ADDRESSES_KEPT):
            self._homes[vlan, sender] = name
        home = self._homes.get((vlan, to))
        for other in [home] if home else list(self._plugs):
            if other != name and self._vlans[other] == vlan and (plug := self._plugs.get(other)):
                plug.send(frame)

    def lost(self, plug: "_Plug") -> None:
        """The other end of a cable was pulled out."""
        if self._plugs.get(plug.name) is plug:
            del self._plugs[plug.name]
            self._forget(plug.name)

    def _forget(self, name: str) -> None:
        self._homes = {key: home for key, home in self._homes.items() if home != name}

    def _unplug(self, name: str) -> None:
        if plug := self._plugs.pop(name, None):
            self._forget(name)
            plug.close()


class _Plug(asyncio.Protocol):
    """One end of a cable, in a port."""

    def __init__(self, switch: Switch, name: str) -> None:
        self.name = name
        self._switch = switch
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def send(self, frame: bytes) -> None:
        if self._transport and self._transport.get_write_buffer_size() < QUEUE_BYTES:
            self._transport.write(HEADER.pack(len(frame)) + frame)

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer, 0
        buffer += data
        while len(buffer) - at >= HEADER.size:
            [length] = HEADER.unpack_from(buffer, at)
            if length > LONGEST_FRAME:
                log.warning("the lab's switch: port %s speaks no frames, it is unplugged", self.name)
                self.close()
                return
            if len(buffer) - at - HEADER.size < length:
                break
            at += HEADER.size
            self._switch.take(self.name, bytes(buffer[at : at + length]))
            at += length
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._switch.lost(self)


def _kept(path: Path | None) -> dict[str, int | None]:
    """What the ports were in when the lab ran last; nothing where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if path:
            found = json.loads(path.read_text())
            return {name: vlan for name, vlan in found.items() if vlan is None or vlan in VLANS}
    return {}


def _keep(path: Path, vlans: dict[str, int | None]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(vlans))
    new.replace(path)
