"""The first run: `.venv` is made, believed only when whole, repaired, and entered. On tiny packages made here."""

import base64
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from dodaiweb import bootstrap
from dodaiweb.options import ROOT

PROGRAM = """
import sys
{before}
from dodaiweb import bootstrap
bootstrap.enter(development="dev" in sys.argv)
import probe
print(probe.VERSION, sys.prefix, *sys.argv[1:])
"""
WITH_UV = pytest.mark.skipif(not shutil.which("uv"), reason="uv is not there")


class Checkout:
    """A folder with our set-up code and requirements of its own: wheels beside them, no index asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "wheels").mkdir(parents=True)
        (folder / "dodaiweb").mkdir()
        for name in ("__init__.py", "bootstrap.py", "debian.py"):
            shutil.copy(ROOT / "dodaiweb" / name, folder / "dodaiweb")
        self.program()
        self.require("1.0")
        self.path = os.environ["PATH"]

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv" / "dodai-stamp.json"

    @property
    def packages(self) -> Path:
        return next((self.folder / ".venv" / "lib").glob("python*")) / "site-packages"

    def program(self, before: str = "") -> None:
        (self.folder / "manage.py").write_text(PROGRAM.format(before=before))

    def require(self, version: str, *, digest: str | None = None) -> None:
        wheel = make_wheel(self.folder / "wheels", version)
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines = (
            f"--no-index\n--find-links {(self.folder / 'wheels').as_uri()}\nprobe=={version} --hash=sha256:{digest}\n"
        )
        (self.folder / "requirements.txt").write_text(lines)
        (self.folder / "requirements-dev.txt").write_text(lines + "# and more\n")

    def without_uv(self) -> "Checkout":
        """Hide uv, but keep everything else that PATH has."""
        tools = self.folder / "tools"
        tools.mkdir()
        for folder in reversed(os.environ["PATH"].split(os.pathsep)):
            for program in ("sh", "apt-get", "env"):
                if (Path(folder) / program).exists():
                    (tools / program).unlink(missing_ok=True)
                    (tools / program).symlink_to(Path(folder) / program)
        self.path = str(tools)
        return self

    def with_program(self, name: str, script: str) -> None:
        tools = self.folder / "fakes"
        tools.mkdir(exist_ok=True)
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
        self.path = f"{tools}{os.pathsep}{self.path}"

    def start(self, *arguments: str, cwd: Path | str = "/") -> "subprocess.Popen[str]":
        python = getattr(sys, "_base_executable", sys.executable)
        return subprocess.Popen(
            [python, str(self.folder / "manage.py"), *arguments],
            cwd=cwd,
            env={**os.environ, "PATH": self.path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


def test_the_first_run_makes_it_and_the_second_goes_straight_in(checkout):
    first, second = checkout.run("one", "two words"), checkout.run("one")
    assert first.stdout == f"1.0 {checkout.folder}/.venv one two words\n"
    assert "Setting up .venv from requirements.txt" in first.stderr
    assert second.stdout == f"1.0 {checkout.folder}/.venv one\n"
    assert second.stderr == ""


def test_without_uv_pip_does_it(checkout):
    pytest.importorskip("ensurepip", reason="Debian's python3-venv is not there")
    assert checkout.without_uv().run().stdout.startswith("1.0 ")


def test_inside_its_own_python_it_does_nothing(checkout):
    checkout.run()
    command = [checkout.folder / ".venv" / "bin" / "python", checkout.folder / "manage.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    assert (done.stdout, done.stderr) == (f"1.0 {checkout.folder}/.venv\n", "")


def test_changed_requirements_are_installed(checkout):
    checkout.run()
    checkout.require("2.0")
    assert checkout.run().stdout.startswith("2.0 ")


def test_development_packages_come_on_top_and_stay(checkout):
    checkout.run()
    assert "requirements-dev.txt" in checkout.run("dev").stderr
    assert checkout.run().stderr == ""
    assert checkout.run("dev").stderr == ""


def test_a_wrong_digest_is_refused_and_leaves_nothing_believed(checkout):
    checkout.require("1.0", digest="0" * 64)
    refused = checkout.run(code=1)
    assert "could not be installed" in refused.stderr
    assert not checkout.stamp.exists()
    checkout.require("1.0")
    assert checkout.run().stdout.startswith("1.0 ")


def _lose_a_module(checkout: Checkout) -> None:
    (checkout.packages / "probe.py").unlink()


def _lose_the_interpreter(checkout: Checkout) -> None:
    python = checkout.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")


def _lose_the_stamp(checkout: Checkout) -> None:
    checkout.stamp.unlink()


def _garble_the_stamp(checkout: Checkout) -> None:
    checkout.stamp.write_text('{"requirements": ')


def _lose_almost_all(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder / ".venv" / "lib")
    shutil.rmtree(checkout.folder / ".venv" / "bin")


@pytest.mark.parametrize(
    "damage", [_lose_a_module, _lose_the_interpreter, _lose_the_stamp, _garble_the_stamp, _lose_almost_all]
)
def test_a_broken_one_is_repaired(checkout, damage):
    checkout.run()
    damage(checkout)
    repaired = checkout.run()
    assert repaired.stdout.startswith("1.0 ")
    assert "Setting up" in repaired.stderr
    assert checkout.run().stderr == ""


def test_one_that_was_copied_with_its_folder_is_made_anew(checkout, tmp_path):
    checkout.run()
    shutil.copytree(checkout.folder, tmp_path / "copy", symlinks=True)
    done = subprocess.run(
        [sys.executable, tmp_path / "copy" / "manage.py"], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == f"1.0 {tmp_path}/copy/.venv\n"


@WITH_UV
def test_two_first_runs_at_once_do_not_fight(checkout):
    processes = [checkout.start(str(number)) for number in range(3)]
    ends = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    assert sum("Setting up" in err for _, err in ends) == 1


def test_an_interrupted_one_is_not_believed_and_a_left_over_installer_is_waited_for(checkout):
    half = f"mkdir -p '{checkout.folder}/.venv/bin'; touch '{checkout.folder}/.venv/bin/python'; exec sleep 600"
    checkout.with_program("uv", f'[ "$1" = --version ] && exit 0\n{half}')
    interrupted = checkout.start()
    _until((checkout.folder / ".venv" / "bin" / "python").exists)
    interrupted.kill()  # the installer lives on in the same session
    interrupted.wait(timeout=60)
    checkout.path = os.environ["PATH"]
    second = checkout.start()
    _until(lambda: "waiting" in second.stderr.readline())
    os.killpg(interrupted.pid, signal.SIGKILL)
    out, err = second.communicate(timeout=300)
    assert out.startswith("1.0 "), err


def test_ctrl_c_says_so_and_leaves_nothing_believed(checkout):
    checkout.with_program("uv", f'[ "$1" = --version ] && exit 0\ntouch "{checkout.folder}/began"; exec sleep 600')
    process = checkout.start()
    _until((checkout.folder / "began").exists)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not checkout.stamp.exists()


@pytest.mark.parametrize(("user", "words"), [(1000, "sudo apt-get install"), (0, "with apt (as root)")])
def test_without_debians_venv_package_it_says_what_is_missing(checkout, user, words):
    checkout.without_uv().with_program("apt-get", f'echo "$@" >> "{checkout.folder}/asked"; exit 100')
    checkout.program(f"import os; sys.modules['ensurepip'] = None; os.geteuid = lambda: {user}")
    refused = checkout.run(code=1)
    assert words in refused.stderr
    assert re.search(r"python3\.\d+-venv", refused.stderr)
    assert (checkout.folder / "asked").exists() == (user == 0)


def test_an_old_python_is_told_what_is_needed(checkout):
    checkout.program("sys.version_info = (3, 9, 2)")
    assert "needs Python 3.11 or newer; this is 3.9.2" in checkout.run(code=1).stderr


def test_our_requirements_are_pinned_hashed_and_name_no_place():
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert len(pins(text)) > 20
        assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text) if re.match("[a-z]", block))
        assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|^/", text, re.MULTILINE)


def test_development_pins_agree_with_those_of_the_program():
    runtime, development = (pins((ROOT / f"requirements{part}.txt").read_text()) for part in ("", "-dev"))
    assert runtime.items() <= development.items()


def test_the_manage_script_is_executable_and_needs_only_python():
    assert (ROOT / "manage.py").stat().st_mode & stat.S_IXUSR
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from dodaiweb import bootstrap, options"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=180)


def test_this_very_run_is_in_a_whole_environment():
    if Path(sys.prefix) != bootstrap.VENV:
        pytest.skip("pytest was started from another environment")
    assert bootstrap.is_ready(development=True)


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.MULTILINE))


def make_wheel(folder: Path, version: str) -> Path:
    """A wheel of one module, `probe`, that knows its version."""
    info = f"probe-{version}.dist-info"
    files = {
        "probe.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: probe\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    path = folder / f"probe-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(zipfile.ZipInfo(name), text)  # a fixed date: the same bytes each time
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _until(question, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)
