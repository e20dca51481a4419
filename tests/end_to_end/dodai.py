"""A real Dodai with real practice servers, used as an operator would: by its commands and over HTTP."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dodaiweb.processes import children_of
from tests import canaries, disk_secrets
from tests.real_up import MANAGE, READY, comm, descendants, free_ports, leaks

READY_SECONDS = 180
PREPARED_SECONDS = 900  # packages are fetched, and three machines inspected, on a computer that may be busy
INSTALL_SECONDS = 900  # one takes a minute where nothing else runs
COMMAND_SECONDS = 180
BOOT_SECONDS = 400
SSH_SECONDS = 120  # keys are agreed upon by emulated processors, too
STOP_SECONDS = 60


@dataclass
class Dodai:
    """One `up` on a data folder of its own; it may be stopped and started again."""

    data: Path
    ports: tuple[int, int] = field(default_factory=free_ports)
    servers: int = 3
    process: subprocess.Popen[bytes] | None = None
    seen: dict[str, bytes] = field(default_factory=dict)  # command lines and environments at its ends

    @property
    def output(self) -> Path:
        """What `up` has printed, all its runs."""
        return self.data.with_name(f"{self.data.name}-output.txt")

    def start(self) -> re.Match[str]:
        """Start it and wait for its line `ready: ...`; groups url, user, password."""
        before = self.output.stat().st_size if self.output.exists() else 0
        words = ("up", "--data", str(self.data), "--port", str(self.ports[0]), "--provision-port", str(self.ports[1]),
                 "--lab", str(self.servers))  # fmt: skip
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(MANAGE), *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                env=_environment(),
            )  # fmt: skip
        return self.wait_for(READY, seconds=READY_SECONDS, after=before)

    def wait_for(self, pattern: str, *, seconds: float, after: int = 0) -> re.Match[str]:
        """The first match in what `up` has printed after that many bytes."""

        def found() -> re.Match[str] | None:
            text = self.output.read_bytes()[after:].decode(errors="replace")
            match = re.search(pattern, text, re.MULTILINE)
            assert match or self.is_running, f"up ended without {pattern!r}:\n{text}"
            return match

        return wait_until(found, seconds=seconds, what=f"{pattern!r} in {self.output}")

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pids(self) -> list[int]:
        """`up` and everything below it, the practice servers too."""
        return descendants(self.process.pid) if self.process else []

    @property
    def workers(self) -> list[int]:
        """Without the processes that they start for single calls to BMCs, which have the same name."""
        assert self.process
        return [pid for pid in children_of(self.process.pid) if comm(pid).startswith("worker-")]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        assert self.process
        if self.is_running:
            self.seen |= canaries.in_processes(self.pids)
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def leaks(self) -> list[str]:
        """Which secrets stand in what it printed, or in what its processes were started with."""
        return leaks(self.data, self.output.read_text(errors="replace"), self.seen)

    def manage(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command in another terminal, which knows the data folder and nothing else."""
        return subprocess.run(
            self._command(*words), env=_environment(self.data), cwd="/", input=input, capture_output=True, text=True,
            timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip

    def must(self, *words: str) -> str:
        """The output of a command that has to succeed."""
        done = self.manage(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def database(self, code: str) -> Any:
        """Run code with the models at hand; the value of its last line, an expression, comes back."""
        *lines, last = code.strip().splitlines()
        program = "\n".join((
            "import json", "from datetime import timedelta", "from django.utils.timezone import now",
            "from installs.models import Image, Install", "from machines.models import Disk, Machine",
            *lines, f"print('value', json.dumps({last}, default=str))",
        ))  # fmt: skip
        printed = self.must("shell", "--verbosity", "0", "--command", program)
        return json.loads(printed.rpartition("value ")[2])

    def install(self, machine: str, image: str) -> "Following":
        """`install --confirm MACHINE --wait --json` in a terminal of its own."""
        folder = self.data.with_name("installs")
        folder.mkdir(exist_ok=True)
        name = f"{machine}-{len(list(folder.glob('*.json')))}"
        lines, errors = folder / f"{name}.json", folder / f"{name}.err"
        with lines.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                self._command("install", machine, image, "--confirm", machine, "--wait", "--json"),
                env=_environment(self.data), cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        return Following(machine, process, lines, errors, self)

    def last_install(self, machine: str) -> dict[str, Any]:
        return self.database(
            f"Install.objects.filter(machine__name={machine!r}).values('id', 'state', 'cause', 'error', 'left_behind', "
            f"'granted_at', 'failed_step').order_by('-pk')[0]"
        )

    def lab(self, machine: str) -> dict[str, Any]:
        """What `lab status --json` says of one practice server."""
        status = json.loads(self.must("lab", "status", "--json"))
        return next(each for each in status["machines"] if each["name"] == machine)

    def console(self, machine: str) -> str:
        path = self.data / "lab" / machine / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def ssh_key(self) -> Path:
        """The private half of the key that installs put into every system."""
        return self.data.with_name("ssh-key")

    def give_key(self) -> None:
        public = make_key(self.ssh_key).with_suffix(".pub").read_text().strip()
        self.database(
            f"from installs.models import SshKey\nSshKey.objects.create(name='test', public_key={public!r}).pk"
        )

    def ssh(self, machine: str, command: str, *, key: Path, account: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command in the system that is up on that server."""
        port = re.search(r"-p (\d+) ", self.must("lab", "ssh", machine))
        assert port
        no_questions = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                        "IdentitiesOnly=yes", "IdentityAgent=none", "ConnectTimeout=60")  # fmt: skip
        options = [word for option in no_questions for word in ("-o", option)]
        return subprocess.run(
            ["ssh", "-F", "none", "-i", str(key), "-p", port[1], *options, f"{account}@127.0.0.1", command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SSH_SECONDS, check=False,
        )  # fmt: skip

    def boot_answer(self, machine: str) -> str:
        """What the provisioning listener tells the machine's firmware now."""
        url = f"http://127.0.0.1:{self.ports[1]}/boot.ipxe?mac={self.lab(machine)['mac']}&platform=efi"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, str(MANAGE), *words]


@dataclass
class Following:
    """An install that is followed from outside."""

    machine: str
    process: subprocess.Popen[bytes]
    printed: Path
    errors: Path
    dodai: Dodai

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has printed so far: kind, name, text, seconds."""
        text = self.printed.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def names(self, kind: str) -> list[str]:
        return [line["name"] for line in self.lines if line["kind"] == kind]

    def wait_for(self, kind: str, name: str, *, seconds: float = INSTALL_SECONDS) -> None:
        def found() -> bool:
            is_over = self.process.poll() is not None
            said = name in self.names(kind)
            assert said or not is_over, f"{self.machine} ended before {kind} {name}:\n{self.story()}"
            return said

        wait_until(found, seconds=seconds, what=f"{kind} {name} of {self.machine}", story=self.story)

    def wait(self, *, seconds: float = INSTALL_SECONDS) -> int:
        """Its exit code."""
        wait_until(
            lambda: self.process.poll() is not None, seconds=seconds, what=f"the end of {self.machine}'s install",
            story=self.story,
        )  # fmt: skip
        return self.process.wait()

    def story(self) -> str:
        """For a failing test: what it printed, and the machine's last words."""
        return f"{self.printed.read_text()}{self.errors.read_text()}\n{self.dodai.console(self.machine)[-3000:]}"


@dataclass(frozen=True)
class KeptDisk:
    """A practice server's disk as it was at one moment."""

    disk: Path
    copy: Path

    @classmethod
    def of(cls, dodai: Dodai, machine: str) -> "KeptDisk":
        """Switches the machine off first: one that runs from its disk writes on it."""
        switch_off(dodai, machine)
        disk = Path(dodai.lab(machine)["disk"])
        return cls(disk, Path(shutil.copy2(disk, disk.with_suffix(".before"))))

    def is_untouched(self) -> bool:
        """Whether every byte is as it was. The machine must be off."""
        done = subprocess.run(
            ["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", str(self.copy), str(self.disk)],
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return done.returncode == 0


def look_for_secrets(dodai: Dodai, machine: str, work: Path, *, folders: tuple[str, ...] = ("/",)) -> None:
    """Raises AssertionError where its disk holds one that it was told, or one of Dodai's. It is shut down softly first.

    The first-boot token is spent by now: its file is gone, its bytes may still be in a block that nothing uses.
    """
    dodai.must("power", machine, "soft")
    wait_until(lambda: dodai.lab(machine)["power"] == "off", seconds=240, what=f"{machine} to be off")
    told = dodai.database(f"from tests.disk_secrets import tokens_of\ntokens_of({machine!r})")
    secrets = told | disk_secrets.boot_tokens(dodai.console(machine)) | canaries.of_folder(dodai.data)
    disk = disk_secrets.raw(Path(dodai.lab(machine)["disk"]), work / f"{machine}.raw")
    spent = {name for name in secrets if name.startswith("first-boot")}
    assert disk_secrets.found(secrets | {"its name": machine}, disk) - spent == {"its name"}
    trees = disk_secrets.unpack(disk, work / machine, folders=folders)
    assert disk_secrets.found(secrets | {"its name": machine}, *trees) == {"its name"}
    assert [path.name for tree in trees for path in (tree / "etc/dodai").iterdir()] == ["network"]
    disk.unlink()


def make_key(path: Path) -> Path:
    """A new SSH key; its public half lies beside it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True, timeout=30
    )
    return path


def assert_only_its_key_opens(dodai: Dodai, machine: str, other: Path) -> None:
    """The system that is up on that server lets in who has the key of its install, and not who has another one."""
    inside = dodai.ssh(machine, "hostname", key=dodai.ssh_key)
    assert (inside.returncode, inside.stdout) == (0, f"{machine}\n"), (
        f"{inside.stderr}\n{dodai.console(machine)[-3000:]}"
    )
    refused = dodai.ssh(machine, "hostname", key=other)
    assert refused.returncode == 255 and "Permission denied" in refused.stderr, refused.stderr


def install_each(dodai: Dodai, chosen: dict[str, str]) -> dict[str, Following]:
    """Install an image on each of these machines, at once; returns when all have ended."""
    begun = {machine: dodai.install(machine, image) for machine, image in chosen.items()}
    for install in begun.values():
        install.wait()
    return begun


def assert_starts_from_its_disk(dodai: Dodai, machine: str, other: Path) -> None:
    """Switched on, the server that is off starts `tiny` from its disk, which only the key of its install opens."""
    before = len(dodai.console(machine))
    dodai.must("power", machine, "on")
    wait_until(
        lambda: f"tiny: up as {machine}" in dodai.console(machine)[before:], seconds=BOOT_SECONDS,
        what=f"a boot of {machine}", story=lambda: dodai.console(machine)[-3000:],
    )  # fmt: skip
    assert "dodai_script=" not in dodai.console(machine)[before:]
    assert_only_its_key_opens(dodai, machine, other)


def switch_off(dodai: Dodai, machine: str) -> None:
    dodai.must("power", machine, "off")
    wait_until(lambda: dodai.lab(machine)["power"] == "off", seconds=120, what=f"{machine} to be off")


def wait_until(found: Callable[[], Any], *, seconds: float, what: str, story: Callable[[], str] = lambda: "") -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s\n{story()}")


def _environment(data: Path | None = None) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("DODAI_", "DJANGO_"))}
    kept = {name: value for name, value in os.environ.items() if name == "DODAI_LAB_PROCESSORS"}
    return plain | kept | ({"DODAI_DATA": str(data)} if data else {})
