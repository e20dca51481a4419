"""IPMI 2.0 over LAN, through pyghmi, by the commands of the IPMI 2.0 specification, chapter 28 (chassis)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.private.session import Session

from machines.power.base import BmcEndpoint, BootDevice, Power, PowerDriver, PowerError, PowerRefused
from machines.power.child import call_in_child

CHASSIS, APPLICATION = 0x00, 0x06
GET_SYSTEM_GUID = 0x37  # 22.14
GET_STATUS, CONTROL, SET_BOOT_OPTIONS, GET_BOOT_OPTIONS = 0x01, 0x02, 0x08, 0x09
DOWN, UP, HARD_RESET, SOFT_SHUTDOWN = 0x00, 0x01, 0x03, 0x05
BOOT_FLAG_VALID_CLEARING, BOOT_FLAGS = 3, 5  # boot option parameters, table 28-14
VALID, PERSISTENT, EFI = 0x80, 0x40, 0x20
KEEP_FLAGS_60_S = 0x08  # do not forget the flags when no restart follows within a minute
DEVICE_BITS = {BootDevice.DEFAULT: 0x00, BootDevice.NETWORK: 0x04, BootDevice.DISK: 0x08}
NOT_IN_THIS_STATE = 0xD5
PRIVILEGES = {"operator": 3, "administrator": 4}  # table 22-18
SHA1_SUITE = 3  # table 22-20; pyghmi tries 17 first
REFUSALS = {
    0xC1: "does not know this command",
    0xD4: "does not allow this user to do it",
    0xD6: "has this command switched off",
}

Call = Callable[[Session], Any]


class Sha1Session(Session):  # type: ignore[misc] # pyghmi has no types
    """Proposes cipher suite 3 at once: some BMCs fall silent when they are asked for 17."""

    def _initsession(self) -> None:
        super()._initsession()
        self.attemptedhash = 1


class IpmiPower(PowerDriver):
    slug = "ipmi"
    label = "IPMI 2.0"

    def state(self) -> Power:
        read: Power = self._in_session(_state)
        return read

    def on(self) -> None:
        self._control(UP)

    def off(self) -> None:
        self._control(DOWN)

    def soft_off(self) -> None:
        self._control(SOFT_SHUTDOWN)

    def reset(self) -> None:
        self._control(HARD_RESET)

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        flags = VALID | (PERSISTENT if persistent else 0) | (EFI if self.endpoint.uefi else 0)
        if device == BootDevice.DEFAULT:
            flags = 0
        self._in_session(partial(_set_boot, flags=flags, bits=DEVICE_BITS[device]))

    def boot_device(self) -> BootDevice | None:
        return _device(self._in_session(partial(_raw, command=GET_BOOT_OPTIONS, data=(BOOT_FLAGS, 0, 0))))

    def describe(self) -> dict[str, str]:
        """What a test wants to know, in one session: `power`, `boot` and the system's `guid` in hexadecimal or ""."""
        told: dict[str, str] = self._in_session(_describe)
        return told

    def _control(self, command: int) -> None:
        self._in_session(partial(_raw, command=CONTROL, data=(command,)))

    def _in_session(self, call: Call) -> Any:
        return call_in_child(partial(_log_in_and, call, self.endpoint), whom=str(self.endpoint))


def _log_in_and(call: Call, endpoint: BmcEndpoint) -> Any:
    """In the child: log in, do it, log out. Credentials go as bytes, pyghmi mixes str and bytes up."""
    with _errors(endpoint):
        kind = Sha1Session if endpoint.cipher_suite == SHA1_SUITE else Session
        session = kind(
            bmc=endpoint.host,
            userid=endpoint.username.encode(),
            password=endpoint.password.encode(),
            port=endpoint.port,
            privlevel=PRIVILEGES.get(endpoint.privilege),
        )
        if getattr(session, "broken", False) or not session.logged:
            raise IpmiException("Session no longer connected")
        try:
            return call(session)
        finally:
            session.logout()


def _raw(session: Session, *, command: int, data: tuple[int, ...] = (), netfn: int = CHASSIS) -> bytes:
    answer = session.raw_command(netfn=netfn, command=command, data=data)
    if "error" in answer:
        raise IpmiException(str(answer["error"]), code=int(answer.get("code", 0)))
    return bytes(answer["data"])


def _state(session: Session) -> Power:
    """In the child, as is all that reads an answer: one too short for its meaning must end nothing but the call."""
    return Power.ON if _raw(session, command=GET_STATUS)[0] & 0x01 else Power.OFF


def _set_boot(session: Session, *, flags: int, bits: int) -> None:
    _raw(session, command=SET_BOOT_OPTIONS, data=(BOOT_FLAG_VALID_CLEARING, KEEP_FLAGS_60_S))
    _raw(session, command=SET_BOOT_OPTIONS, data=(BOOT_FLAGS, flags, bits, 0, 0, 0))


def _device(options: bytes) -> BootDevice | None:
    if len(options) < 4:
        return None
    if options[1] & 0x80 or not options[2] & VALID:
        return BootDevice.DEFAULT
    bits = options[3] & 0x3C
    return next((device for device, value in DEVICE_BITS.items() if value == bits), None)


def _describe(session: Session) -> dict[str, str]:
    """The power must be readable; a BMC without the other two is still of use."""
    told = {"power": str(_state(session)), "boot": "", "guid": ""}
    with suppress(IpmiException):
        told["boot"] = str(_device(_raw(session, command=GET_BOOT_OPTIONS, data=(BOOT_FLAGS, 0, 0))) or "")
    with suppress(IpmiException):
        guid = _raw(session, command=GET_SYSTEM_GUID, netfn=APPLICATION)
        told["guid"] = guid.hex() if len(guid) == 16 else ""
    return told


@contextmanager
def _errors(endpoint: BmcEndpoint) -> Iterator[None]:
    try:
        yield
    except IpmiException as exc:
        text, code = str(exc), getattr(exc, "ipmicode", 0)
        lowered = text.lower()
        if "password" in lowered or "unauthorized name" in lowered or "incorrect" in lowered:
            raise PowerRefused(f"{endpoint} refused the user or password: correct them in the inventory") from exc
        if "role" in lowered and "insufficient" not in lowered:  # RAKP status codes 09h and 0Ah, table 13-15
            asked = endpoint.privilege or "administrator"
            raise PowerRefused(f"{endpoint} does not give this user the rights of {asked}") from exc
        if code in REFUSALS:
            raise PowerRefused(f"{endpoint} {REFUSALS[code]}") from exc
        if code == NOT_IN_THIS_STATE:
            raise PowerRefused(f"{endpoint} cannot do this while the machine is in its present power state") from exc
        if "timeout" in lowered or "no longer connected" in lowered or lowered == "none":
            raise PowerError(f"{endpoint} does not answer: is its address right, is it plugged in?") from exc
        raise PowerError(f"{endpoint}: {text}") from exc
    except OSError as exc:
        raise PowerError(f"{endpoint} cannot be reached: {exc.strerror or exc}") from exc
