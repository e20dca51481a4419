"""A network for guests that boot by their firmware's own PXE: bridge, taps, DHCP and TFTP in a namespace of its own.

Needs root. The namespace has no name: the kernel removes it, with all that is in it, when the lab's processes have
ended, so that even a killed lab leaves nothing behind. Nothing in it is routed: a guest reaches the bridge's address,
where dnsmasq answers DHCP and TFTP and two relays carry connections to Dodai's two ports, and nothing else.
"""

import asyncio
import ctypes
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from lab import needs
from lab.errors import LabError
from lab.profiles import SERVER_ADDRESS, Profile, guest_urls
from lab.qemu import Cable, Ports
from lab.relay import Relay

log = logging.getLogger(__name__)
T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # sched.h
COMMAND_SECONDS = 20
STOP_SECONDS = 3
_BACKLOG = 64
# iPXE waits 13 s for a router advertisement that does not come; a lifetime of 0 says that nothing is routed.
_IPV6_NETWORK = "fd00:d0da:1ab::"


class NativeNetwork:
    """`is_up` and `reason` say whether it works, and if not, why: guests then boot by QEMU's iPXE ROM."""

    def __init__(self, ports: Ports) -> None:
        self.is_up = False
        self.reason = "no practice server wants it"
        self._ports = ports
        self._namespace: int | None = None
        self._dnsmasq: subprocess.Popen[bytes] | None = None
        self._relays: list[Relay] = []
        self._taps: dict[str, str] = {}

    async def start(self, profiles: list[Profile]) -> None:
        """Never fails: what is impossible here becomes the reason."""
        if not profiles:
            return
        self._taps = {profile.name: f"tap{number}" for number, profile in enumerate(profiles)}
        try:
            _check_possible()
            await self._build(profiles[0])
        except (LabError, OSError) as exc:
            await self.stop()
            self.reason = f"not possible, QEMU's iPXE ROM is used instead: {exc}"
            log.warning("firmware's own PXE: %s", self.reason)

    async def stop(self) -> None:
        self.is_up, self.reason = False, "the lab is stopping"
        for relay in self._relays:
            await relay.stop()
        if self._dnsmasq:
            await asyncio.to_thread(_end, self._dnsmasq)
        if self._namespace is not None:
            os.close(self._namespace)
        self._relays, self._dnsmasq, self._namespace = [], None, None

    def cable(self, profile: Profile) -> Cable | None:
        """None for a guest that is not on this network."""
        if not self.is_up or profile.name not in self._taps:
            return None
        netdev = f"tap,id=net0,ifname={self._taps[profile.name]},script=no,downscript=no"
        return Cable(netdev, ipxe_rom=False, prefix=self._inside())

    async def _build(self, profile: Profile) -> None:
        self._namespace = _in_thread(_new_namespace)
        await asyncio.to_thread(self._lay_cables)
        for port in dict.fromkeys((self._ports.provision, self._ports.image)):
            listening = _in_thread(partial(_listen_inside, self._namespace, port))
            relay = Relay(listening, self._ports.host, port)
            self._relays.append(relay)
            await relay.start()
        provision_url, _ = guest_urls(self._ports.provision, self._ports.image)
        self._start_dnsmasq(f"{provision_url}/boot.ipxe")
        self.is_up, self.reason = True, "works"

    def _lay_cables(self) -> None:
        lines = [
            "link add br0 type bridge stp_state 0 forward_delay 0",
            f"address add {SERVER_ADDRESS}/24 dev br0",
            f"address add {_IPV6_NETWORK}1/64 dev br0 nodad",
            "link set br0 up",
        ]
        for tap in self._taps.values():
            lines += [
                f"tuntap add {tap} mode tap",
                f"link set {tap} master br0",
                f"link set {tap} type bridge_slave isolated on",  # guests do not see one another
                f"link set {tap} up",
            ]
        command = [*self._inside(), needs.program("ip") or "ip", "-batch", "-"]
        try:
            done = subprocess.run(
                command, input="\n".join(lines), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as exc:
            raise LabError(f"ip did not end within {COMMAND_SECONDS} s") from exc
        if done.returncode:
            raise LabError(f"ip: {done.stderr.strip()}")

    def _start_dnsmasq(self, boot_url: str) -> None:
        command = [*self._inside(), "setpriv", "--pdeathsig", "KILL", "--", needs.program("dnsmasq") or "dnsmasq"]
        self._dnsmasq = subprocess.Popen(
            [*command, *_dnsmasq_options(boot_url)], stdin=subprocess.DEVNULL, start_new_session=True
        )
        loop, pidfd = asyncio.get_running_loop(), os.pidfd_open(self._dnsmasq.pid)

        def ended() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            if self.is_up:
                self.is_up, self.reason = False, "its dnsmasq ended; QEMU's iPXE ROM is used instead"
                log.error("firmware's own PXE: %s", self.reason)

        loop.add_reader(pidfd, ended)

    def _inside(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self._namespace}", "--")


def _check_possible() -> None:
    if os.geteuid() != 0:
        raise LabError("it needs root")
    if missing := needs.missing_for_namespace():
        raise LabError(f"Debian packages are missing: apt-get install {' '.join(missing)}")
    if not needs.TUN_DEVICE.exists():
        raise LabError(f"{needs.TUN_DEVICE} does not exist")


def _dnsmasq_options(boot_url: str) -> list[str]:
    """Everything is said here, nothing read from files or written to them."""
    return [
        "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--leasefile-ro", "--log-facility=-",
        "--port=0",
        "--user=root", "--group=root",  # a change of user would make the kernel forget that it ends with the lab
        "--interface=br0", "--except-interface=lo", "--bind-interfaces", "--quiet-dhcp", "--quiet-ra", "--quiet-tftp",
        "--dhcp-range=10.0.2.15,10.0.2.90,255.255.255.0,1h", "--dhcp-authoritative", "--no-ping",
        "--dhcp-option=option:router", "--dhcp-option=option:dns-server",  # there is neither
        "--dhcp-match=set:ipxe,175", "--dhcp-match=set:efi,option:client-arch,7",
        "--dhcp-match=set:efi,option:client-arch,9",
        f"--dhcp-boot=tag:ipxe,{boot_url}", "--dhcp-boot=tag:!ipxe,tag:efi,snponly.efi",
        "--dhcp-boot=tag:!ipxe,tag:!efi,undionly.kpxe",
        "--enable-tftp=br0", f"--tftp-root={needs.IPXE_FOLDER}",
        f"--dhcp-range={_IPV6_NETWORK},ra-only", "--enable-ra", "--ra-param=br0,10,0",
    ]  # fmt: skip


def _new_namespace() -> int:
    """A descriptor of a new network namespace, which lives as long as somebody holds it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"a network namespace: {os.strerror(ctypes.get_errno())}")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _listen_inside(namespace: int, port: int) -> socket.socket:
    """A socket belongs for ever to the namespace it was made in, whoever uses it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"entering the namespace: {os.strerror(ctypes.get_errno())}")
    listening = socket.create_server((SERVER_ADDRESS, port), backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


def _in_thread(work: Callable[[], T]) -> T:
    """In a thread of its own, which ends: a namespace is a property of the thread that entered it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
