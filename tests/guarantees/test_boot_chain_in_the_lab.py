"""T30: whatever is wrong with Dodai while a machine boots from the network, it ends on the machine's own disk.

BIOS and UEFI, by the firmware's own PXE, with the lines and files that operators are given, and real iPXE from them.
Every machine boots in a network of its own with what is wrong there. Each has a live install: a Dodai that were well
would send it to the ramdisk.
"""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from installs import dhcp
from lab import needs
from tests import least_systems
from tests.boot_network import NETWORK, PORT, ROOT, SERVER, URL, Network, network
from tests.guarantees.away import How, Useless, answers, closes, hangs
from tests.guarantees.tally import is_long, is_time_left, rounds
from tests.practice_lab import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks of their own need root"),
    pytest.mark.skipif(bool(needs.missing()), reason="Debian packages are missing"),
]
AT_ONCE = 5  # faults, in the long form with two machines each
SECONDS = 600  # 60 s on an idle host; 200 s where the installer's files hang
MACS = {"bios": "52:54:00:b1:05:01", "uefi": "52:54:00:0e:f1:01"}
BOTH = tuple(MACS)
NOWHERE = "http://10.9.0.9:8001"  # an address of the network that nobody has
NOISE = random.Random(30).randbytes(900)
NOT_FOUND = answers("404 Not Found")
FILES_PORT = 8002
ARM = """
import sys, django
django.setup()
from tests import installing, scenes
for number, mac in enumerate(sys.argv[3:], 1):
    machine = installing.make_machine(f"node{number}", number=number)
    machine.interfaces.update(mac=mac)
    machine.site.provision_url, machine.site.image_url = sys.argv[1:3]
    machine.site.save()
    install = scenes.start(machine, installing.make_image(f"image{number}"))
    scenes.work()
    install.refresh_from_db()
    assert install.state == "waiting", install.state
"""
Wrong = Callable[["Case"], None]


@dataclass
class Case:
    """One network, both machines in it, and what they find where Dodai should be."""

    net: Network
    data: Path
    files: Useless
    dodai: Useless | None = None
    consoles: dict[str, Path] = field(default_factory=dict)

    def start_dodai(self) -> None:
        """The real provisioning listener on a database with the installs; both machines are to be installed."""
        arm(self.data)
        self.listen()
        for mac in MACS.values():
            wait_until(lambda mac=mac: "dodai_script=" in self.ask(mac), seconds=60, what="an answer with the ramdisk")

    def listen(self) -> None:
        listener = ("-m", "django", "provision", "--host", SERVER, "--port", str(PORT))
        self.net.start(sys.executable, *listener, log="provision", environment=environment(self.data))

    def ask(self, mac: str) -> str:
        """The status line and the whole answer to a boot request; empty if there is none."""
        command = self.net.inside("curl", "--silent", "--include", "--max-time", "30", f"{URL}/boot.ipxe?mac={mac}")
        return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False).stdout

    def boot(self, firmwares: tuple[str, ...], *, url: str) -> None:
        tftp = self.net.folder / "tftp"
        dhcp.put_tftp_files(tftp, url=url)
        lines = dhcp.lines("dnsmasq", url=url, network=dhcp.network_of(NETWORK), tftp_root=str(tftp))
        self.net.serve_dhcp(lines, log="ours")
        self.net.advertise()
        for firmware in firmwares:
            self.net.boot(firmware, MACS[firmware], disk=getattr(least_systems, firmware)(self.net.folder))
            self.consoles[firmware] = self.net.folder / f"{firmware}.console"

    def check(self, firmware: str) -> None:
        """It asked, got nothing of the installer, and is on its disk."""
        console = self.consoles[firmware]
        try:
            wait_until(lambda: _says(console, least_systems.SAYS), seconds=SECONDS, what="the disk")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.story(console)}") from exc
        assert f"{dhcp.SCRIPT} to " in self.net.log("ours"), "it was sent there by the script of the chain"

    def story(self, console: Path) -> str:
        return f"{self.net.folder.name}\n{console.read_text(errors='replace')[-2000:]}\n{self.net.log('ours')[-2000:]}"


def environment(data: Path) -> dict[str, str]:
    return {"DODAI_DATA": str(data), "DODAI_PROVISION_URL": URL, "DJANGO_SETTINGS_MODULE": "dodaiweb.settings"}


def arm(data: Path) -> None:
    run = {"env": os.environ | environment(data), "cwd": ROOT, "check": True, "timeout": 180}
    subprocess.run([sys.executable, "-m", "django", "migrate", "-v", "0"], **run)
    subprocess.run([sys.executable, "-c", ARM, URL, f"http://{SERVER}:{FILES_PORT}", *MACS.values()], **run)


def down(case: Case) -> None:
    """Nothing listens there."""


def listener(how: How) -> Wrong:
    def start(case: Case) -> None:
        case.dodai = Useless(case.net.listen(PORT), how)

    return start


def lost_database(case: Case) -> None:
    """The real listener, started again after its database was lost."""
    case.start_dodai()
    case.net.started[-1].kill()
    case.net.started[-1].wait()
    for path in list(case.data.glob("dodai.sqlite3*")):
        path.rename(path.with_name(f"lost-{path.name}"))
    (case.data / "dodai.sqlite3").mkdir()
    case.listen()
    answer = wait_until(lambda: case.ask(MACS["bios"]), seconds=60, what="an answer")
    assert answer.startswith("HTTP/1.1 503 ")


def only_its_files_are_away(case: Case) -> None:
    case.start_dodai()


@dataclass(frozen=True)
class Fault:
    wrong: Wrong
    url: str = URL
    files: How = NOT_FOUND
    short: tuple[str, ...] = ()
    """The firmwares that try it in CI too."""


FAULTS = {
    "lost-database": Fault(lost_database, short=("uefi",)),
    "down": Fault(down, short=BOTH),
    "500": Fault(listener(answers("500 Internal Server Error", b"oops")), short=BOTH),
    "hanging": Fault(listener(hangs), short=BOTH),
    "503": Fault(listener(answers("503 Service Unavailable", b"away", "Retry-After: 5"))),
    "closes": Fault(listener(closes)),
    "half": Fault(listener(answers("200 OK", b"#!ipxe\necho half", length=500))),
    "nonsense": Fault(listener(answers("200 OK", NOISE)), short=("bios",)),
    "page": Fault(listener(answers("200 OK", b"<!DOCTYPE html><title>Log in</title>"))),
    "nobody-there": Fault(down, url=NOWHERE),
    "files-500": Fault(only_its_files_are_away, files=answers("500 Internal Server Error")),
    "files-hanging": Fault(only_its_files_are_away, files=hangs),
}


@contextlib.contextmanager
def begun(folder: Path, name: str) -> Iterator[Case]:
    """Both machines (in the short form, those that it names) boot where this fault is."""
    fault = FAULTS[name]
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(network(folder))
        case = Case(net, folder / "data", Useless(net.listen(FILES_PORT), fault.files))
        case.data.mkdir()
        stack.callback(case.files.close)
        fault.wrong(case)
        if case.dodai:
            stack.callback(case.dodai.close)
        case.boot(BOTH if is_long() else fault.short, url=fault.url)
        yield case


@pytest.mark.fills_the_time
def test_a_machine_ends_on_its_own_disk_whatever_is_wrong_with_dodai(tmp_path, guarantee):
    tally = guarantee("T30", "Dodai is down, hangs, answers nonsense or lost its database: a netboot ends on the disk")
    chosen = [name for name, fault in FAULTS.items() if fault.short or is_long()]
    for number in range(rounds(1, 3)):
        for at in range(0, len(chosen), AT_ONCE):
            if tally.trials and not is_time_left():
                return
            with contextlib.ExitStack() as stack:
                running = {name: stack.enter_context(begun(tmp_path / f"{name}-{number}", name))
                           for name in chosen[at : at + AT_ONCE]}  # fmt: skip
                for name, case in running.items():
                    for firmware in case.consoles:
                        with tally.trial():
                            case.check(firmware)
                    check_what_was_fetched(name, case)


def check_what_was_fetched(name: str, case: Case) -> None:
    """No initrd is fetched of which a kernel could start; the kernel only where Dodai itself is well."""
    if case.dodai:
        assert {asked.split("?")[0] for asked in case.dodai.asked} <= {"GET /boot.ipxe", "GET /never HTTP/1.1"}
        assert len(case.dodai.asked) >= len(case.consoles), "each has asked"
    asked = {path.partition(" HTTP")[0].rpartition("/")[2] for path in case.files.asked}
    assert asked == ({"vmlinuz"} if name.startswith("files-") else set())


def _says(console: Path, words: str) -> bool:
    return console.exists() and words.encode() in console.read_bytes()
