"""SSH switches to test against: paramiko's own server, with the manners of five makes. They write down each line."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko

USER, PASSWORD = "dodai", "canary-of-a-switch"
ACCEPT_SECONDS = 60


@dataclass
class Device:
    """`vlans` by port: an access port's number, or "trunk". `lines` is everything that was said to it, in order."""

    make: str
    vlans: dict[str, int | str]
    known_vlans: set[int] = field(default_factory=lambda: {1, 10, 210})
    lines: list[str] = field(default_factory=list)
    lies: bool = False
    """It takes a line and does nothing."""
    hostile: bytes = b""
    """Said instead of its first prompt, again and again."""
    refuses_login: bool = False
    interface: str = ""

    def prompt(self) -> str:
        if self.make in ("sonic", "cumulus"):
            return "dodai@leaf:~$ "
        return "leaf(config-if)#" if self.interface else "leaf(config)#" if self.config else "leaf#"

    config: bool = False

    def answer(self, line: str) -> str:
        self.lines.append(line)
        return {"sonic": self._sonic, "cumulus": self._cumulus}.get(self.make, self._industry)(line)

    def _industry(self, line: str) -> str:
        """The command line that Cisco and Arista share."""
        if line in ("configure terminal", "config term"):
            self.config = True
        elif line in ("end", "exit"):
            self.config, self.interface = False, ""
        elif found := re.fullmatch(r"interface (\S+)", line):
            if found[1] not in self.vlans:
                return "% Invalid input detected at '^' marker."
            self.interface = found[1]
        elif found := re.fullmatch(r"switchport access vlan (\d+)", line):
            if not self.lies:
                self.vlans[self.interface] = int(found[1])
        elif found := re.fullmatch(r"show interfaces? (\S+) switchport", line):
            return self._switchport(found[1])
        elif line.startswith("terminal width"):
            return "Width set to 511 columns."
        elif line == "terminal length 0":
            return "Pagination disabled."
        elif line.startswith(("write", "copy")):
            return "[OK]"
        return ""

    def _switchport(self, port: str) -> str:
        if port not in self.vlans:
            return "% Invalid input detected at '^' marker."
        vlan = self.vlans[port]
        mode = "trunk" if vlan == "trunk" else "access" if self.make == "nxos" else "static access"
        number = 1 if vlan == "trunk" else vlan
        name = f"VLAN{number:04}" if number in self.known_vlans else "Inactive"
        lines = [f"Name: {port}", "Switchport: Enabled"]
        if self.make != "nxos":
            lines.append(f"Administrative Mode: {mode}")
        lines += [
            f"Operational Mode: {mode if self.make == 'nxos' else 'down'}",
            f"Access Mode VLAN: {number} ({name})",
        ]
        return "\r\n".join([*lines, "Trunking Native Mode VLAN: 1 (default)"])

    def _sonic(self, line: str) -> str:
        if line == "show vlan config":
            rows = [f"Vlan{vlan}   {vlan}  {port}  untagged" for port, vlan in self.vlans.items() if vlan != "trunk"]
            rows += [f"Vlan{vlan}  {vlan}  {port}  tagged" for port, at in self.vlans.items() if at == "trunk"
                     for vlan in (10, 20)]  # fmt: skip
            return "\r\n".join(["Name       VID  Member      Mode", "-------  -----  ----------  --------", *rows])
        if found := re.fullmatch(r"sudo config vlan member del (\d+) (\S+)", line):
            if self.vlans.get(found[2]) != int(found[1]):
                return f"Error: {found[2]} is not a member of Vlan{found[1]}"
            self.vlans.pop(found[2])
        elif found := re.fullmatch(r"sudo config vlan member add --untagged (\d+) (\S+)", line):
            if int(found[1]) not in self.known_vlans:
                return f"Usage: config vlan member add\r\nError: Vlan{found[1]} does not exist"
            self.vlans[found[2]] = 10 if self.lies else int(found[1])
        return ""

    def _cumulus(self, line: str) -> str:
        if found := re.fullmatch(r"bridge -json vlan show dev (\S+)", line):
            vlan = self.vlans.get(found[1])
            numbers = [10, 20] if vlan == "trunk" else [vlan] if vlan else []
            flags = '["PVID","Egress Untagged"]'
            told = ",".join(f'{{"vlan":{number},"flags":{flags if len(numbers) == 1 else "[]"}}}' for number in numbers)
            return f'[{{"ifname":"{found[1]}","vlans":[{told}]}}]'
        if found := re.fullmatch(r"nv set interface (\S+) bridge domain br_default access (\d+)", line):
            if not self.lies:
                self.vlans[found[1]] = int(found[2])
        elif line == "nv config apply -y":
            return "applied [rev_id: 3]"
        return ""


@dataclass
class Listening:
    port: int
    key: str
    """As ssh-keyscan prints it, without the address."""
    passwords: list[str] = field(default_factory=list)


@contextmanager
def listening(device: Device) -> Iterator[Listening]:
    """The device behind a port of 127.0.0.1."""
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        told = Listening(server.getsockname()[1], f"{key.get_name()} {key.get_base64()}")
        over = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, key, device, told, over), daemon=True)
        thread.start()
        try:
            yield told
        finally:
            over.set()
            thread.join(60)


def _serve(
    server: socket.socket, key: paramiko.PKey, device: Device, told: Listening, over: threading.Event
) -> None:  # fmt: skip
    while not over.is_set():
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        try:
            transport.start_server(server=_Manners(device, told))
            channel = transport.accept(ACCEPT_SECONDS)
            if channel:
                _talk(channel, device, over)
        except (paramiko.SSHException, OSError, EOFError):
            pass  # who asked has gone: the tests say whether that was right
        finally:
            transport.close()


class _Manners(paramiko.ServerInterface):
    def __init__(self, device: Device, told: Listening) -> None:
        self.device = device
        self.told = told

    def check_auth_password(self, username: str, password: str) -> int:
        self.told.passwords.append(password)
        good = (username, password) == (USER, PASSWORD) and not self.device.refuses_login
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED if kind == "session" else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_pty_request(self, *_: object) -> bool:
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return True


def _talk(channel: paramiko.Channel, device: Device, over: threading.Event) -> None:
    channel.settimeout(0.2)
    device.config, device.interface = False, ""
    while device.hostile and not over.is_set():
        channel.sendall(device.hostile)
    channel.sendall(f"\r\n{device.prompt()}".encode())
    for line in _lines(channel, over):
        if line in ("exit", "logout") and not device.config:
            return
        said = device.answer(line) if line else ""
        channel.sendall((f"{line}\r\n" + (f"{said}\r\n" if said else "") + device.prompt()).encode())


def _lines(channel: paramiko.Channel, over: threading.Event) -> Iterator[str]:
    buffer = b""
    while not over.is_set():
        try:
            data = channel.recv(4096)
        except TimeoutError:
            continue
        if not data:
            return
        buffer += data
        while match := re.search(rb"[\r\n]+", buffer):
            line, buffer = buffer[: match.start()], buffer[match.end() :]
            yield line.decode().strip()


Build = Callable[..., Device]
