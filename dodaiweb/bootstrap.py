"""Makes `.venv` from the pinned requirements and carries on inside it. Standard library only.

A stamp, written last, says what was installed; without a fitting stamp nothing in `.venv` is believed.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from dodaiweb import debian

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dodai-stamp.json"
LOCK = ROOT / ".venv.lock"
OLDEST_PYTHON = (3, 11)
INSTALL_DEADLINE_SECONDS = 1800
_REENTERED = "DODAI_BOOTSTRAP_PID"


class SetupError(Exception):
    """Setting up did not work; the text says what to do."""


def enter(*, development: bool = False) -> None:
    """Return inside a complete `.venv`, making it or re-executing this command in it as needed."""
    try:
        _enter(development)
    except SetupError as error:
        sys.exit(f"Dodai could not set itself up: {error}")
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted; the next start does it afresh.")


def _enter(development: bool) -> None:
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(f"it needs Python {_dotted(OLDEST_PYTHON)} or newer; this is {_dotted(sys.version_info[:3])}.")
    if not is_ready(development=development):
        with _locked() as lock:
            if not is_ready(development=development):  # another run may have done it while we waited
                _install(development, lock)
    elif _inside():
        os.environ.pop(_REENTERED, None)
        return
    _reexecute(development)


def is_ready(*, development: bool) -> bool:
    """Whether `.venv` is complete and made from the requirements as they are now."""
    stamp = _complete_stamp()
    return stamp is not None and stamp.get(_requirements(development).name) == _digest(_requirements(development))


def _complete_stamp() -> dict[str, str] | None:
    """The digests that `.venv` was installed from, by file name; None unless everything installed is still there."""
    try:
        stamp = json.loads(STAMP.read_text())
        present = set(os.listdir(stamp["packages"]))
        whole = present.issuperset(stamp["entries"]) and stamp["python"] == os.path.realpath(PYTHON)
        return dict(stamp["requirements"]) if whole and os.access(PYTHON, os.X_OK) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _requirements(development: bool) -> Path:
    return ROOT / ("requirements-dev.txt" if development else "requirements.txt")


def _digest(requirements: Path) -> str:
    # The folder is part of it: a copied .venv still points at the place it was made in.
    return hashlib.sha256(requirements.read_bytes() + os.fsencode(VENV)).hexdigest()


def _inside() -> bool:
    return os.path.realpath(sys.prefix) == os.path.realpath(VENV)


@contextmanager
def _locked() -> Iterator[int]:
    """Hold the set-up lock. Yields its descriptor: installers inherit it, so that an orphaned one still holds it."""
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another run is setting up .venv; waiting for it.")
            _flock_by(descriptor, time.monotonic() + INSTALL_DEADLINE_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _flock_by(descriptor: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.2)
    raise SetupError(f"another run has held {LOCK} for {INSTALL_DEADLINE_SECONDS} s; end it and try again.")


def _install(development: bool, lock: int) -> None:
    started = time.monotonic()
    requirements = _requirements(development)
    reusable = _complete_stamp() is not None and _runs([str(PYTHON), "-c", "import sys"])
    _say(f"Setting up {VENV.name} from {requirements.name} ...")
    STAMP.unlink(missing_ok=True)  # from here until the new stamp nothing is believed
    if not reusable and VENV.exists():
        _say(f"Removing what is left of an older or incomplete {VENV.name}.")
        shutil.rmtree(VENV)
    if not (_with_uv(requirements, lock) or _with_pip(requirements, lock)):
        raise SetupError(f"the packages of {requirements.name} could not be installed; the reason is above.")
    _write_stamp(development)
    _say(f"{VENV.name} is ready after {time.monotonic() - started:.0f} s.")


def _with_uv(requirements: Path, lock: int) -> bool:
    uv = shutil.which("uv")
    if not uv or not _runs([uv, "--version"]):
        return False
    if not PYTHON.exists() and not _run([uv, "venv", "--quiet", "--python", _base_python(), str(VENV)], lock):
        return False
    install = ["pip", "install", "--python", str(PYTHON), "--require-hashes", "-r", str(requirements)]
    return _run([uv, *install], lock)


def _with_pip(requirements: Path, lock: int) -> bool:
    pip = [str(PYTHON), "-m", "pip"]
    if not (PYTHON.exists() and _runs([*pip, "--version"])):  # uv makes a .venv without pip
        _require_ensurepip()
        if not _run([_base_python(), "-m", "venv", "--clear", str(VENV)], lock):
            return False
    options = ["--require-hashes", "--progress-bar", "off", "--disable-pip-version-check"]
    return _run([*pip, "install", *options, "-r", str(requirements)], lock)


def _require_ensurepip() -> None:
    if importlib.util.find_spec("ensurepip"):
        return
    package = f"python{_dotted(sys.version_info[:2])}-venv"
    if not debian.install([package], "Making .venv"):
        raise SetupError(f"Python's venv module is not whole without {package}.")


def _base_python() -> str:
    """The interpreter that a new `.venv` is made from, also when this one runs in some other environment."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _write_stamp(development: bool) -> None:
    packages = VENV / "lib" / f"python{_dotted(sys.version_info[:2])}" / "site-packages"
    files = [_requirements(False), _requirements(True)] if development else [_requirements(False)]
    stamp = {
        "requirements": {file.name: _digest(file) for file in files},
        "python": os.path.realpath(PYTHON),
        "packages": str(packages),
        "entries": sorted(name for name in os.listdir(packages) if name != "__pycache__"),
    }
    temporary = STAMP.with_suffix(".new")
    with temporary.open("w") as file:
        json.dump(stamp, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(STAMP)


def _reexecute(development: bool) -> NoReturn:
    if os.environ.get(_REENTERED) == f"{os.getpid()} {development}":  # exec keeps the pid: we have been here
        STAMP.unlink(missing_ok=True)
        raise SetupError(f"{PYTHON} does not start inside {VENV}. Start again: it will be made afresh.")
    os.environ[_REENTERED] = f"{os.getpid()} {development}"
    sys.stdout.flush()
    sys.stderr.flush()
    script = os.path.abspath(sys.argv[0])
    os.execv(PYTHON, [str(PYTHON), script, *sys.argv[1:]])  # noqa: S606 - our own Python, no shell wanted


def _runs(command: list[str]) -> bool:
    """Whether a short command works; its output is of no interest."""
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command: list[str], lock: int) -> bool:
    """Run an installer with its progress on stderr: stdout belongs to the command that the user asked for."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            pass_fds=[lock],
            check=False,
            timeout=INSTALL_DEADLINE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(str(error))
        return False
    return done.returncode == 0


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
