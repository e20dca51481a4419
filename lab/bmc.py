"""A practice server's BMC: IPMI 2.0 over LAN, by pyghmi's server classes driven from our own event loop.

What pyghmi 1.6.19 leaves open and is closed here (sections are of the IPMI 2.0 specification, revision 1.1):
- it answers any cipher suite with suite 3, on which its own client crashes: other proposals are refused (13.17);
- a wrong name or password gets silence: it gets the status code of 13.20 and 13.24;
- boot flags lose their persistent bit and are read back in another form than they were set in (28.13);
- sessions are never forgotten: after 60 s of silence they are (6.12.15);
- its I/O thread may block or oversleep with several BMCs in one process: no thread here, one socket per BMC;
- a retransmitted power command acts twice: it acts once and gets the same answer.
"""

import asyncio
import hmac
import logging
import struct
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private import constants
from pyghmi.ipmi.private.serversession import IpmiServer, ServerSession
from pyghmi.ipmi.private.session import Session

from lab.errors import LabError
from lab.guest import BootDevice, BootOverride, Guest, GuestIsOff

log = logging.getLogger(__name__)

SESSION_SECONDS = 60.0  # 6.12.15: the inactivity time-out
MAX_SESSIONS = 32
RETRANSMIT_SECONDS = 10.0  # the same sequence number and command within this is the same request

OPERATOR = 3  # privilege levels, 6.8
OK, BUSY, NOT_SUPPORTED_NOW = 0x00, 0xC0, 0xD5  # completion codes, 5.2
BAD_LENGTH, BAD_FIELD, NOT_PRIVILEGED, BAD_PARAMETER = 0xC7, 0xCC, 0xD4, 0x80
NO_MATCHING_SUITE, UNAUTHORIZED_NAME, BAD_INTEGRITY_VALUE = 0x11, 0x0D, 0x0F  # RMCP+ status codes, 13.24
SUITE_3 = (1, 1, 1)  # RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128: table 22-20

_BOOT_CODES: dict[int, BootDevice] = {0: "default", 1: "network", 2: "disk"}  # boot flags, data 2: table 28-14
_BOOT_BITS = {device: code << 2 for code, device in _BOOT_CODES.items()}
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error)

Address = tuple[str, int]


class GuestBmc(Bmc, asyncio.DatagramProtocol):  # type: ignore[misc] # pyghmi has no types
    """Answers on one UDP port for one guest."""

    def __init__(self, guest: Guest) -> None:
        # Not IpmiServer.__init__: that opens the socket itself and hands it to pyghmi's I/O thread.
        profile = guest.profile
        self.guest = guest
        self.port = profile.bmc_port
        self.uuid = uuid.UUID(profile.uuid)
        self.authdata = {profile.bmc_user: profile.bmc_password}
        self.kg = None
        self.revision = self.deviceid = self.additionaldevices = self.mfgid = self.prodid = 0
        self.firmwaremajor, self.firmwareminor, self.ipmiversion = 1, 0, 2
        # 22.13: channel 1, IPMI 2.0 only, named users only.
        self.authcap = bytes((0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0))
        self.sessions: dict[Address, GuestSession] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Raises LabError when another program has the port."""
        profile, loop = self.guest.profile, asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, local_addr=(profile.bmc_host, profile.bmc_port))
        except OSError as exc:
            raise LabError(
                f"{profile.name}: its BMC's UDP port {profile.bmc_host}:{profile.bmc_port} cannot be opened: {exc}. "
                f"End the program that has it, then start the lab again."
            ) from exc

    def close(self) -> None:
        if self._sweep:
            self._sweep.cancel()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.serversocket = _Wire(self._transport)
        self._forget_idle()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        packet = bytearray(data)
        if len(packet) < 16 or packet[0] != 6 or packet[2:4] != b"\xff\x07":  # not IPMI over RMCP, version 1
            return
        try:
            if _stands_alone(packet):
                self.sessionless_data(packet, addr)
            elif session := self.sessions.get(addr):
                session.touched_at = asyncio.get_running_loop().time()
                session._handle_ipmi_packet(packet, sockaddr=addr, qent=(data, addr, None, True))
        except _MALFORMED as exc:
            log.warning("%s: a malformed packet from %s: %r", self.guest.profile.name, addr, exc)

    def sessionless_data(self, data: bytearray, sockaddr: Address) -> None:
        if data[4] != 6 or data[5] & 0x3F != constants.payload_types["rmcpplusopenreq"]:
            IpmiServer.sessionless_data(self, data, sockaddr)
            return
        session = GuestSession(self, sockaddr, data[16:])
        if session.is_refused:
            return
        while len(self.sessions) >= MAX_SESSIONS:
            self.sessions.pop(min(self.sessions, key=lambda address: self.sessions[address].touched_at))
        self.sessions[sockaddr] = session

    def get_power_state(self) -> str:
        return "on" if self.guest.is_on else "off"

    def get_system_guid(self) -> uuid.UUID:
        return self.uuid

    def cold_reset(self) -> int:
        return OK

    def control_chassis(self, request: dict[str, Any], session: "GuestSession") -> None:
        """28.3: the answer goes out when the deed is done."""
        if not request["data"]:
            return session.answer(BAD_LENGTH)
        if session.clientpriv < OPERATOR:
            return session.answer(NOT_PRIVILEGED)
        act = self._act(request["data"][0] & 0x0F)
        if act is None:
            return session.answer(BAD_FIELD)
        key = (session.seqlun, request["data"][0])
        if session.repeats(key):
            return None
        session.control = control = Control(key, Reply.to(session))
        task = asyncio.get_running_loop().create_task(self._control(session, control, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    def set_system_boot_options(self, request: dict[str, Any], session: "GuestSession") -> None:
        """28.12. The acknowledge and in-progress parameters are taken and mean nothing here."""
        data = request["data"]
        if not data or (data[0] & 0x7F == 5 and len(data) < 3):
            return session.answer(BAD_LENGTH)
        if session.clientpriv < OPERATOR:
            return session.answer(NOT_PRIVILEGED)
        if data[0] & 0x7F != 5:
            return session.answer(OK if data[0] & 0x7F in (0, 3, 4) else BAD_PARAMETER)
        device = _BOOT_CODES.get(data[2] >> 2 & 0x0F)
        if device is None:  # there is no CD drive and no set-up menu to boot into
            return session.answer(BAD_FIELD)
        override = BootOverride()
        if data[1] & 0x80 and device != "default":
            override = BootOverride(device, persistent=bool(data[1] & 0x40), uefi=bool(data[1] & 0x20))
        reply = Reply.to(session)
        task = asyncio.get_running_loop().create_task(self._answer(reply, self.guest.set_boot(override)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    def get_system_boot_options(self, request: dict[str, Any], session: "GuestSession") -> None:
        if not request["data"]:
            return session.answer(BAD_LENGTH)
        if request["data"][0] & 0x7F != 5:
            return session.answer(BAD_PARAMETER)
        override = self.guest.override
        flags = 0
        if override.device != "default":
            flags = 0x80 | (0x40 if override.persistent else 0) | (0x20 if override.uefi else 0)
        return session.answer(OK, data=(1, 5, flags, _BOOT_BITS[override.device], 0, 0, 0))

    def _act(self, directive: int) -> Callable[[], Awaitable[None]] | None:
        guest = self.guest
        return {
            0: guest.power_off,
            1: guest.power_on,
            2: guest.power_cycle,
            3: guest.reset,
            4: guest.interrupt,
            5: guest.soft_off,
        }.get(directive)

    async def _control(self, session: "GuestSession", control: "Control", act: Callable[[], Awaitable[None]]) -> None:
        control.code = await self._answer(control.reply, act())
        control.done_at = asyncio.get_running_loop().time()

    async def _answer(self, reply: "Reply", deed: Awaitable[None]) -> int:
        """Do the deed, then send its completion code."""
        code = OK
        try:
            await deed
        except GuestIsOff:
            code = NOT_SUPPORTED_NOW
        except LabError as exc:
            log.error("%s", exc)
            code = BUSY
        reply.send(code)
        return code

    def _forget_idle(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - SESSION_SECONDS
        for address in [address for address, session in self.sessions.items() if session.touched_at < oldest]:
            del self.sessions[address]
        self._sweep = loop.call_later(SESSION_SECONDS / 4, self._forget_idle)


class GuestSession(ServerSession):  # type: ignore[misc] # pyghmi has no types
    """One client's session with one BMC."""

    def __new__(cls, *_: object) -> "GuestSession":
        return object.__new__(cls)  # pyghmi's own wants its constructor's arguments

    def __init__(self, bmc: GuestBmc, address: Address, request: bytearray) -> None:
        self.is_refused = False
        self.clientpriv = 2  # 6.8: a session starts as USER
        self.control: Control | None = None
        self.touched_at = asyncio.get_running_loop().time()
        self.k1 = self.kuid = None
        self.localsid = -1
        super().__init__(bmc.authdata, bmc.kg, address, bmc.serversocket, request, bmc.uuid, bmc=bmc)
        Session.bmc_handlers.pop(address, None)  # pyghmi's own table would grow with every client for ever

    def create_open_session_response(self, request: bytearray) -> bytearray:
        # 13.17: the proposed algorithms stand in the fifth byte of each of three eight-byte blocks.
        if (request[12], request[20], request[28]) != SUITE_3:
            self.is_refused = True
            return bytearray((request[0], NO_MATCHING_SUITE, 0, 0)) + request[4:8]
        response: bytearray = super().create_open_session_response(request)
        return response

    def _got_rakp1(self, data: bytearray) -> None:
        name = bytes(data[28 : 28 + data[27]]).decode(errors="replace")
        if name not in self.authdata:
            return self._refuse("rakp2", data[0], UNAUTHORIZED_NAME)
        super()._got_rakp1(data[: 28 + data[27]])
        return None

    def _got_rakp3(self, data: bytearray) -> None:
        if self.kuid is None:  # no RAKP message 1 before it
            return None
        proof = self.Rc + self.clientsessionid + bytes((self.rolem, len(self.username))) + self.username
        if not hmac.compare_digest(hmac.digest(self.kuid, bytes(proof), "sha1"), bytes(data[8:28])):
            return self._refuse("rakp4", data[0], BAD_INTEGRITY_VALUE)
        super()._got_rakp3(data)
        return None

    def answer(self, code: int, data: tuple[int, ...] = ()) -> None:
        self.send_ipmi_response(code=code, data=data)

    def close_server_session(self) -> None:
        self.bmc.sessions.pop(self.sockaddr, None)

    def repeats(self, key: tuple[int, int]) -> bool:
        """True for a retransmitted power command; one that was answered is answered again."""
        last, now = self.control, asyncio.get_running_loop().time()
        if last is None or last.key != key or (last.done_at and now - last.done_at > RETRANSMIT_SECONDS):
            return False
        if last.code is not None:
            last.reply.send(last.code)
        return True

    def _refuse(self, payload: str, tag: int, status: int) -> None:
        answer = bytearray((tag, status, 0, 0)) + self.clientsessionid
        self.send_payload(answer, constants.payload_types[payload], retry=False)


@dataclass(frozen=True)
class Reply:
    """Where an answer belongs that is given later: the session meanwhile may have had other requests."""

    session: GuestSession
    addressing: tuple[int, int, int, int, int]

    @classmethod
    def to(cls, session: GuestSession) -> "Reply":
        """The answer to the request that the session is taking just now."""
        return cls(session, _addressing(session))

    def send(self, code: int) -> None:
        _address(self.session, self.addressing)
        self.session.answer(code)


@dataclass
class Control:
    """A chassis control request and, once done, its answer."""

    key: tuple[int, int]
    reply: Reply
    code: int | None = None
    done_at: float = 0.0


class _Wire:
    """What pyghmi needs of a socket."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def setblocking(self, blocking: bool) -> None:
        """Its event loop's socket never blocks."""

    def sendto(self, packet: bytes | bytearray, address: Address) -> None:
        self._transport.sendto(bytes(packet), address)


def _stands_alone(packet: bytearray) -> bool:
    """Whether the packet belongs to no session yet (13.6): capability queries and the opening of a session."""
    if packet[4] != 6:
        return packet[9:13] == b"\0\0\0\0"
    kind = packet[5] & 0x3F
    return kind == constants.payload_types["rmcpplusopenreq"] or (kind == 0 and packet[6:10] == b"\0\0\0\0")


def _addressing(session: GuestSession) -> tuple[int, int, int, int, int]:
    return session.clientaddr, session.clientnetfn, session.clientcommand, session.seqlun, session.rqlun


def _address(session: GuestSession, addressing: tuple[int, int, int, int, int]) -> None:
    session.clientaddr, session.clientnetfn, session.clientcommand, session.seqlun, session.rqlun = addressing
