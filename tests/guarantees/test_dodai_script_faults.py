"""The faults of dodai-compute (2012) in what it ran on machines and said to BMCs: D7 to D10, D12 and D13.

The scripts are the rendered ones, run by bash here; the BMCs are real IPMI servers.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.utils.timezone import now

from installs import actions, scripts
from installs.models import Install
from machines.models import Machine
from machines.poll import Poller
from machines.power import driver_for, fake, ipmi
from machines.power.base import BmcEndpoint, Power, PowerError, PowerRefused
from tests import installing, scenes
from tests.guarantees.tally import rounds
from tests.machines.bmcs import PASSWORD, running_bmc
from tests.machines.test_power_commands import poll_until
from tests.test_scripts import HOSTILE, VALUES, choose, functions

SEED = 20121113
NASTY = "'\"\\`$(){}[]<>|&;!*?#~% \t\n\r=-/.aZ9é語COBBLER@"


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", script]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, env=os.environ | environment
    )


def test_d7_words_of_people_stay_words_in_scripts(guarantee, tmp_path):
    """dodai: bare words were replaced in a template; a host named COBBLER or an image `;reboot` became commands."""
    tally = guarantee(
        "D7", "Whatever stands in a value arrives in the script as it is, and none of it is run", seed=SEED
    )
    chance = random.Random(SEED)
    for number in range(rounds(10, 400)):
        values = {f"V{i}": "".join(chance.choices(NASTY, k=chance.randint(0, 40))) for i in range(25)}
        values["V0"] += f"{HOSTILE}$(touch {tmp_path}/pwned)`touch {tmp_path}/pwned`"
        text = scripts.render("boot/granted.sh", settings=values)
        shown = run(text + "".join(f"printf '%s\\0' \"$DODAI_V{i}\"\n" for i in range(25))).stdout
        with tally.trial(25):
            assert shown.split("\0")[:25] == [_as_text_mode(value) for value in values.values()], number
            assert not (tmp_path / "pwned").exists()


def _as_text_mode(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n")  # subprocess' text mode reads line ends so


@pytest.mark.django_db
def test_d7_a_machine_has_a_name_that_can_be_a_host(guarantee):
    tally = guarantee("D7", "A name that no host may have is refused at entry")
    for name in ("a;b", "$(id)", "a b", "a'b", "a\nb", "../x", "-a", "é", "a" * 64, ""):
        with tally.trial(), pytest.raises(ValidationError):
            Machine(name=name, site=installing.main_site()).full_clean()


def test_d8_the_disk_is_chosen_by_what_it_is_and_never_by_its_name(guarantee, tmp_path):
    """dodai: the disk was /dev/sda, whatever that was today."""
    tally = guarantee(
        "D8", "Among shuffled disks only the planned one is chosen; none or two of it stop the install", seed=SEED
    )
    chance = random.Random(SEED)
    for _ in range(rounds(30, 1000)):
        names = chance.sample([f"/dev/{name}" for name in ("sda", "sdb", "vda", "nvme0n1", "nvme1n1", "mmcblk0")], 4)
        there = chance.choice([0, 1, 1, 1, 2])
        rows = [f"{name}|{'DISK-1' if n < there else f'OTHER{n}'}||4294967296|m|0|0" for n, name in enumerate(names)]
        with tally.trial():
            said = choose(tmp_path, chance.sample(rows, len(rows)))
            assert said.startswith(f"{names[0]} " if there == 1 else "FAIL disk: "), (rows, said)


STEPS = (
    "collect_facts choose_disk place_in_memory fetch_image hash_image check_digest plan_partitions number_partitions "
    "prepare_disk mount_new_system uuid_of need_space copy_image remove_image configure_system find_kernel "
    "check_kernel_arguments write_grub_configuration install_grub set_boot_order unmount_all"
).split()


def rehearsal(tmp_path: Path) -> str:
    """install.sh as rendered, its work replaced by steps of which one may fail, its reports noted in a file."""
    text = scripts.render("file_tree/install.sh", **VALUES).replace("WORK=/run/dodai", f"WORK={tmp_path}/work")
    before, begin, main = text.partition('\nsay "installing $IMAGE_NAME"\n')
    assert begin
    stubs = "".join(f'{name}() {{ [[ {name} != "$BROKEN" ]]; }}\n' for name in STEPS)
    return f"""{before}
        {stubs}
        fits_memory() {{ true; }}
        for measure in used copied fetched hashed; do eval "${{measure}}_bytes() {{ echo 0; }}"; done
        sleep() {{ command sleep 0.05; }}
        EPHEMERAL=0; PART=/dev/none; DISK=/dev/none; BOOT_ORDER_TEXT=ok; echo '{{"disks": []}}' >"$WORK/facts.json"
        call() {{
            echo "$1" >>"$WORK/posts"; http_status=200
            echo 'DODAI_GRANTED=yes DODAI_HOSTNAME=node1' >"$WORK/answer"
        }}
        {begin}{main}"""


@pytest.mark.skipif(not shutil.which("jq"), reason="no jq here")
@pytest.mark.parametrize("broken", ["nothing", *STEPS])
def test_d9_a_step_that_fails_is_never_reported_as_installed(guarantee, tmp_path, broken):
    """dodai: no `set -e`; a failed fetch of the image ended in `installed` all the same."""
    tally = guarantee("D9", "Whatever step of the installing script fails, it reports a failure and never success")
    with tally.trial():
        done = run(rehearsal(tmp_path), BROKEN=broken)
        posts = (tmp_path / "work" / "posts").read_text().split()
        is_well = broken == "nothing"
        assert ("event/install_reboot" in posts, "event/failed" in posts) == (is_well, not is_well), done.stdout
        assert (done.returncode == 0) == is_well


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="no curl or openssl here")
def test_d10_an_image_that_is_not_the_approved_one_is_not_unpacked(guarantee, tmp_path):
    """dodai: an image came over plain HTTP, unchecked, straight onto the disk."""
    tally = guarantee(
        "D10", "An image of which one bit, its end or all is another is refused before it is unpacked", seed=SEED
    )
    chance = random.Random(SEED)
    good = chance.randbytes(20_000)
    for number in range(rounds(24, 600)):
        spoilt = _spoilt(good, chance) if number else good
        with tally.trial():
            said = _fetched(tmp_path, spoilt, planned=good)
            assert said == "unpacked" if spoilt == good else said.startswith("FAIL digest: The image "), number


def _spoilt(good: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(good))
    flipped = good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :]
    return chance.choice([flipped, good[:place], good + b"\0", chance.randbytes(len(good))])


def _fetched(tmp_path: Path, served: bytes, *, planned: bytes) -> str:
    (tmp_path / "served").write_bytes(served)
    (tmp_path / "image").unlink(missing_ok=True)
    text = functions("file_tree/image.sh", tmp_path)
    facts = f"IMAGE_URL=file://{tmp_path}/served IMAGE={tmp_path}/image IMAGE_BYTES={len(planned)}"
    script = f"{text}\n{facts} IMAGE_SHA256={sha256(planned).hexdigest()} RETRY_SECONDS=0\n"
    return run(f"{script} fetch_image; (hash_image); check_digest; echo unpacked", MIB="1048576").stdout.strip()


@contextmanager
def listened_to(port: int) -> Iterator[tuple[int, list[bytes]]]:
    """A port that leads to the BMC; with it what was said to the BMC, as it was on the wire."""
    heard: list[bytes] = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        near.bind(("127.0.0.1", 0))
        far.connect(("127.0.0.1", port))
        asker: list[tuple[str, int]] = []

        def forth() -> None:
            with suppress(OSError):
                while True:
                    packet, address = near.recvfrom(4096)
                    asker[:] = [address]
                    heard.append(packet)
                    far.send(packet)

        def back() -> None:
            with suppress(OSError):
                while True:
                    near.sendto(far.recv(4096), asker[0])

        for way in (forth, back):
            threading.Thread(target=way, daemon=True).start()
        yield near.getsockname()[1], heard


def _process_words() -> bytes:
    """Command lines and environments of all processes that may be read."""
    words = []
    for name in ("cmdline", "environ"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            with suppress(OSError):
                words.append(path.read_bytes())
    return b"\n".join(words)


def test_d12_a_bmc_password_is_on_no_command_line_and_not_on_the_wire(guarantee):
    """dodai: `ipmitool -I lan -P password`: seen by `ps`, and sent without encryption."""
    tally = guarantee("D12", "A BMC's password is on no command line and in no environment; commands go encrypted")
    with running_bmc() as (_, endpoint), listened_to(endpoint.port) as (port, heard):
        power = driver_for(replace(endpoint, port=port))
        seen: list[bytes] = []
        looking = threading.Event()
        looker = threading.Thread(target=lambda: [seen.append(_process_words()) for _ in iter(looking.is_set, True)])
        looker.start()
        for call in (power.state, power.on, power.reset, power.off) * rounds(1, 25):
            with tally.trial():
                heard.clear()
                call()
                commands = [
                    packet for packet in heard if packet[4] == 6 and packet[5] & 0x3F == 0
                ]  # RMCP+, IPMI payload
                assert commands and all(packet[5] & 0xC0 == 0xC0 for packet in commands), "encrypted and authenticated"
                assert all(packet[4] in (0, 6) for packet in heard), "no session of IPMI 1.5 (table 13-8)"
                assert PASSWORD.encode() not in b"".join(heard)
        looking.set()
        looker.join()
    with tally.trial():
        assert seen and not any(PASSWORD.encode() in words for words in seen)


@pytest.fixture
def machine(db):
    fake.forget()
    yield installing.make_machine()
    fake.forget()


@pytest.mark.parametrize("answer", [b"", None, "off"], ids=["empty", "nothing", "text"])
def test_d13_an_odd_answer_is_never_a_power_state(guarantee, machine, monkeypatch, answer):
    """dodai: the third word of whatever was printed was the power state."""
    tally = guarantee("D13", "An answer that is no power state is shown as unknown with the reason, never as on or off")
    monkeypatch.setattr(ipmi, "_raw", lambda *_, **__: answer)
    with running_bmc() as (_, endpoint), tally.trial():
        with pytest.raises(PowerError, match="unexpected answer"):
            driver_for(endpoint).state()
        _poll(machine, endpoint)
        assert (machine.power, machine.power_seen_at) == (Power.UNKNOWN, None)
        assert "unexpected answer" in machine.power_error


def test_d13_noise_instead_of_a_bmc_is_unknown_in_time(guarantee, machine):
    tally = guarantee("D13", "Noise on a BMC's port ends in time, as unknown", seed=SEED)
    chance = random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        noise.bind(("127.0.0.1", 0))

        def answer() -> None:
            with suppress(OSError):
                while True:
                    packet, address = noise.recvfrom(4096)
                    noise.sendto(chance.choice([packet[:8], packet, b"\x06\0\xff\x07"]) + chance.randbytes(20), address)

        threading.Thread(target=answer, daemon=True).start()
        for _ in range(rounds(1, 10)):
            with tally.trial():
                _poll(
                    machine,
                    BmcEndpoint("node1", "ipmi", "127.0.0.1", noise.getsockname()[1], username="a", password="b"),
                )
                assert machine.power == Power.UNKNOWN and machine.power_error


def _poll(machine: Machine, endpoint: BmcEndpoint) -> None:
    bmc = machine.bmc
    bmc.driver, bmc.host, bmc.port, bmc.username = "ipmi", endpoint.host, endpoint.port, endpoint.username
    bmc.set_password(endpoint.password)
    bmc.save()
    Machine.objects.update(power_poll_at=now() - timedelta(seconds=1))
    poller = Poller()
    poll_until(poller, 1)
    poller.close()
    machine.refresh_from_db()


@pytest.mark.parametrize("error", [None, PowerError("busy"), PowerRefused("no"), ValueError("odd")], ids=repr)
def test_d13_switching_off_has_an_end(guarantee, machine, error, monkeypatch):
    """dodai: it asked for `off` until the machine was off, for ever."""
    tally = guarantee("D13", "Switching off a machine that stays on ends by its deadline, and says what it left behind")

    def stays_on(name: str, what: str) -> None:
        fake.states[name] = Power.ON
        if error and what == "off":
            raise error

    with tally.trial(), monkeypatch.context() as listener:
        listener.setattr("django.conf.settings.ROOT_URLCONF", "dodaiweb.urls")
        install, _ = scenes.until_installer(machine, installing.make_image())
        fake.listeners.append(stays_on)
        actions.cancel(install, by="tester")
        scenes.settle(install)
        assert install.is_live or isinstance(error, PowerRefused), "it is given its time"
        Install.objects.update(give_up_at=now() - timedelta(seconds=1))
        scenes.settle(install)
        assert install.state == "cancelled"
        assert re.search(r"did not go off|Could not verify that the machine is off", install.left_behind)
