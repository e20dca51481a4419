"""T18: machines were told an address that does not lead to Dodai, or Dodai is away from it for long."""

import contextlib
import shlex
import socket
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dodaiweb import startup
from dodaiweb.doctor import network
from installs import actions, scripts
from installs.models import Install
from machines.models import Site
from tests import installing
from tests.test_scripts import ROOT, of_lib

HALF_AN_HOUR = 1800
LONGEST_PAUSE = 60
SHOWN = "With an address that machines cannot use nothing is installed; the start and the check-up name it"
PATIENT = "What runs on machines asks for half an hour, with pauses, where nobody answers"


@pytest.fixture
def somebody_else() -> Iterator[str]:
    """Another program's address."""
    server = HTTPServer(("127.0.0.2", 0), BaseHTTPRequestHandler)  # 501 to everything
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.2:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address that is kept free: connections to it are refused."""
    with contextlib.closing(socket.socket()) as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}"


@pytest.mark.django_db
@pytest.mark.parametrize("told", ["provision_url", "image_url"])
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001", "http://no.such.name.invalid:8001",
     "https://10.0.0.2:8001", "http://10.0.0.2:port", "10.0.0.2:8001", "http://", "another program"],
)  # fmt: skip
def test_t18_a_wrong_address_is_named_and_nothing_is_begun(
    guarantee, somebody_else: str, monkeypatch, capsys, told: str, url: str
) -> None:
    machine, image = installing.make_machine(), installing.make_image()
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)
    monkeypatch.setattr("installs.reach.is_loopback", _is_loopback_but_for_a_test)
    wrong = somebody_else if url == "another program" else url
    Site.objects.update(**{told: wrong})
    with guarantee("T18", SHOWN).trial():
        startup._tell_of_reach()
        assert wrong in capsys.readouterr().out
        with pytest.raises(actions.Refused) as refused:
            actions.start_install(machine, image, by="tester")
        assert wrong in str(refused.value)
        assert "url-wrong" in {finding.code for finding in network.urls_lead_here()}
        assert not Install.objects.exists()


def _is_loopback_but_for_a_test(url: str) -> bool:
    """The other program of these tests has no other address to be at."""
    return any(word in url for word in ("127.0.0.1", "localhost", "[::1]"))


def first_boot(url: str, folder: Path) -> str:
    """The installed OS: its call that it is up."""
    (folder / "dodai").mkdir()
    (folder / "dodai/first-boot.url").write_text(f"{url}/first-boot/{'t' * 43}\n")
    return scripts.render("first_boot.sh").replace("/etc/", f"{folder}/").replace("=/etc", f"={folder}")


def ramdisk(url: str, folder: Path) -> str:
    """The ramdisk: its question for the script."""
    text = (ROOT / "installs/ramdisk/files/init").read_text().partition("\numask 077\n")[0]
    return f"""{text.replace("/run/dodai", str(folder))}
        uptime_seconds() {{ echo $(($(tr '\\n' + <{folder}/sleeps)0)); }}
        restart() {{ exit 1; }}
        SCRIPT={url}/script/{"t" * 43}; fetch_script"""


def installer(url: str, folder: Path) -> str:
    """The installer: an event."""
    return f"""set -Eeuo pipefail; WORK={folder}; LOG={folder}/log; SERVER={url}
        RETRY_SECONDS=$(sed -n 's/^readonly RETRY_SECONDS=//p' {ROOT}/templates/scripts/lib.sh); LONGEST_PAUSE=60
        say() {{ :; }}; stop_worker() {{ :; }}
        {of_lib("call", "take_status", "pause_of", "post_with_bash", "post")}
        echo x >{folder}/header; echo '{{}}' >{folder}/event.json
        post event/install {folder}/event.json"""


@pytest.mark.parametrize("script", [first_boot, ramdisk, installer])
def test_t18_scripts_ask_for_half_an_hour(guarantee, tmp_path: Path, script) -> None:
    """Time passes only where they sleep."""
    (tmp_path / "sleeps").touch()
    sleep = f'sleep() {{ echo "$1" >>{shlex.quote(str(tmp_path))}/sleeps; SECONDS=$((SECONDS + $1)); }}\n'
    with guarantee("T18", PATIENT).trial(), nobody() as url:
        done = subprocess.run(
            ["bash", "-c", sleep + script(url, tmp_path)], capture_output=True, text=True, timeout=300, check=False
        )
        slept = [int(line) for line in (tmp_path / "sleeps").read_text().split()]
        assert done.returncode == 1, done.stderr
        assert HALF_AN_HOUR - LONGEST_PAUSE <= sum(slept) <= HALF_AN_HOUR + LONGEST_PAUSE
        assert 1 <= min(slept) <= max(slept) <= LONGEST_PAUSE
