"""T9, the machine's side: its real scripts against a real Dodai that refuses, fails, hangs and loses answers in turns.

The scripts are the rendered ones. What they would do to disks only notes that it was done; the image is fetched by the
real installer from the real listener, and its digest is checked.
"""

import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from dodaiweb import images_app
from installs import scripts
from installs.models import Event, Install
from machines.models import Machine
from tests import installing, scenes
from tests.guarantees.moody import ILLS, LONG, MOST_IN_A_ROW, Answer, Moody, over_http
from tests.guarantees.moody import served as moody_served
from tests.guarantees.tally import rounds
from tests.serving import served
from tests.test_scripts import functions

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "dash", "jq", "openssl"))), reason="no tools"
)
ROOT = Path(__file__).parents[2]
SEED = 9
LONGEST_PAUSE = 60
SECONDS = 240  # a run takes some 10 s
IMAGE = random.Random(SEED).randbytes(3 << 20)
STEPS = (
    "collect_facts choose_disk place_in_memory ask_grant plan_partitions number_partitions prepare_disk "
    "mount_new_system copy_image remove_image configure_system find_kernel check_kernel_arguments "
    "write_grub_configuration install_grub set_boot_order unmount_all"
).split()
SHELL = (str(shutil.which("busybox")), "sh") if shutil.which("busybox") else (str(shutil.which("dash")),)
REAL_STEPS = ("choose_disk", "ask_grant")  # of those, what is not only noted
WORDS = ["install", "granted", "install_reboot", "installed"]


@dataclass
class Place:
    """A live install whose machine has started the ramdisk, and the moody way to its Dodai."""

    install: Install
    machine: Machine
    moody: Moody
    url: str
    boot_url: str
    folder: Path

    def run(self, *command: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run it while workers work."""
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            end = time.monotonic() + seconds
            while process.poll() is None:
                scenes.work()
                time.sleep(0.05)
                if time.monotonic() > end:
                    process.kill()
            return subprocess.CompletedProcess(command, process.returncode, process.communicate()[0], "")


@contextmanager
def placed(folder: Path, seed: int, *, refuses_seconds: float = 0.7, **mood: object) -> Iterator[Place]:
    folder.mkdir()
    machine = installing.make_machine(f"node{seed}", number=seed)
    server = scenes.server_of(machine)
    with served(images_app.application(settings.DATA)) as images:
        from_images, lock = over_http(images), threading.Lock()

        def real(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
            if path.startswith("/image/"):
                return from_images(method, path, headers, body)
            kept = {name: headers[name] for name in ("Authorization",) if name in headers}
            with lock:
                said = server.client.generic(method, path, body, headers.get("Content-Type", ""), headers=kept)
                connections.close_all() if threading.current_thread() is not threading.main_thread() else None
            return Answer(said.status_code, said.content)

        moody = Moody(real, random.Random(seed), **mood)  # type: ignore[arg-type]
        with moody_served(moody, refuses_seconds=refuses_seconds) as url:
            machine.site.provision_url = machine.site.image_url = url
            machine.site.is_practice = True  # others are not told loopback addresses
            machine.site.save()
            install = scenes.start(machine, _image())
            scenes.work()
            boot_url = re.search(r"dodai_script=(\S+)", server.ask_boot())[1]
            yield Place(install, machine, moody, url, boot_url, folder)


def _image() -> object:
    digest = sha256(IMAGE).hexdigest()
    found = installing.Image.objects.filter(sha256=digest).first()
    image = found or installing.make_image(sha256=digest, size_bytes=len(IMAGE), unpacked_bytes=len(IMAGE))
    (settings.DATA / "images" / digest).write_bytes(IMAGE)
    return image


def longest_call(place: Place) -> str:
    """Seconds that scripts wait for an answer: as short as may be only where they are to be left hanging."""
    return "2" if place.moody.hangs_left else "30"


def fetch_script(place: Place) -> str:
    """By the ramdisk's own first program, with the shell that is here."""
    text = (ROOT / "installs/ramdisk/files/init").read_text().partition("\numask 077\n")[0]
    text = text.replace("/run/dodai", str(place.folder)).replace("--max-time 60", f"--max-time {longest_call(place)}")
    program = f"""{text}
        {_noted_sleep(place)}
        restart() {{ echo "RESTART $1"; exit 3; }}
        SCRIPT={place.boot_url}; fetch_script"""
    done = place.run(*SHELL, "-c", program)
    assert done.returncode == 0, done.stdout
    return (place.folder / "script").read_text()


def _noted_sleep(place: Place) -> str:
    return f'sleep() {{ echo "$1" >>{place.folder}/sleeps; command sleep 0.02; }}'


def rehearsal(place: Place, script: str) -> str:
    """The installer with steps that only note that they were done; it talks, fetches and checks for real."""
    before, begin, main = script.partition('\nsay "installing $IMAGE_NAME"\n')
    assert begin
    before = before.replace("WORK=/run/dodai", f"WORK={place.folder}/work").replace(":-30}", ":-2}")
    noted = "".join(f'{name}() {{ echo {name} >>"$WORK/steps"; }}\n' for name in STEPS if name not in REAL_STEPS)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    facts = installing.json.dumps(installing.facts_of(place.machine, boot_id))
    disk = place.machine.disks.get()
    row = "\t".join((disk.path, disk.serial, "", str(disk.size_bytes), "m", "0", "0"))
    return f"""{before}
        {noted}
        {_noted_sleep(place)}
        for name in {" ".join(REAL_STEPS)}; do
            eval "real_$(declare -f "$name")"; eval "$name() {{ echo $name >>$WORK/steps; real_$name; }}"
        done
        collect_facts() {{
            echo collect_facts >>"$WORK/steps"
            printf '%s' '{facts}' >"$WORK/facts.json"; echo '{row}' >"$WORK/disks.tsv"
        }}
        place_in_memory() {{ echo place_in_memory >>"$WORK/steps"; IMAGE=$WORK/image; }}
        remove_image() {{ echo remove_image >>"$WORK/steps"; cp "$IMAGE" "$WORK/copied"; }}
        uuid_of() {{ echo 1; }}; need_space() {{ true; }}
        for measure in used copied; do eval "${{measure}}_bytes() {{ echo 0; }}"; done
        BOOT_ORDER_TEXT=ok
        {begin}{main}"""


def first_boot(place: Place) -> str:
    """The script that the installed OS runs, in a folder of its own."""
    url = re.search(r"DODAI_FIRST_BOOT_URL=(\S+)", (place.folder / "work/settings").read_text())[1].strip("'")
    etc = place.folder / "etc"
    (etc / "dodai").mkdir(parents=True)
    (etc / "dodai/first-boot.url").write_text(url + "\n")
    text = scripts.render("first_boot.sh").replace("/etc/", f"{etc}/").replace("=/etc", f"={etc}")
    text = text.replace("--max-time 30", "--max-time 2").replace("timeout=30", "timeout=2").replace("-t 30", "-t 2")
    (etc / "dodai/first-boot").write_text(text.replace("\npause=1\n", f"\n{_noted_sleep(place)}\npause=1\n"))
    return str(etc / "dodai/first-boot")


CALLERS = {"curl": ("curl", "wget", "bash"), "wget": ("wget", "bash"), "bash": ("bash",), "busybox": ()}
"""What the installed OS calls by, and what it has of these programs."""


def first_boot_of(place: Place, caller: str) -> subprocess.CompletedProcess[str]:
    programs = place.folder / "bin"
    programs.mkdir()
    for name in (*CALLERS[caller], "cat", "rm", "sleep", "timeout"):
        (programs / name).symlink_to(str(shutil.which(name)))
    if caller == "busybox":
        (programs / "wget").symlink_to(str(shutil.which("busybox")))
    return place.run("env", "-i", f"PATH={programs}", *SHELL, first_boot(place))


@pytest.fixture
def run_whole(tmp_path: Path) -> Callable[[int, str], Place]:
    """An install from the ramdisk's start to the call of the OS, with moods by this seed."""

    def run(seed: int, caller: str) -> Place:
        with placed(tmp_path / str(seed), seed) as place:
            script = fetch_script(place)
            text = rehearsal(place, script)
            if caller == "curl":  # as it talks to an https server
                text = text.replace("SERVER =~ ^http://", "SERVER =~ ^none://")
            (place.folder / "rehearsal").write_text(text)
            done = place.run("bash", str(place.folder / "rehearsal"))
            assert done.returncode == 0, done.stdout
            done = first_boot_of(place, caller)
            assert done.returncode == 0, done.stdout
            scenes.work()
            return place

    return run


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("caller", [name for name in CALLERS if name != "busybox" or shutil.which("busybox")])
def test_no_step_is_skipped_or_done_twice_however_dodai_answers(run_whole, guarantee, caller):
    tally = guarantee(
        "T9", "503, 429, 500, refused, hung and lost answers: the machine's scripts repeat each call until it is heard",
        seed=SEED,
    )  # fmt: skip
    for seed in range(SEED, SEED + rounds(1, 4)):
        with tally.trial():
            check(run_whole(seed, caller), seed)


def check(place: Place, seed: int) -> None:
    place.install.refresh_from_db()
    assert place.install.state == "installed", (seed, place.install.error)
    work = place.folder / "work"
    assert (work / "steps").read_text().split() == STEPS, f"each once and in their order, seed {seed}"
    words = place.install.events.filter(kind=Event.Kind.MACHINE, name__in=WORDS).order_by("pk")
    assert list(words.values_list("name", flat=True)) == WORDS, seed
    assert (work / "copied").read_bytes() == IMAGE
    grants = {answer.body for path, _, answer in place.moody.told if path == "/grant" and answer}
    urls = {re.search(rb"FIRST_BOOT_URL=(\S+)", body)[1] for body in grants}
    assert len(urls) == 1, "asked again by the same kernel: told the same"
    assert {mood for _, mood, _ in place.moody.told} >= {"well", "hanging"}, seed


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ill", ["503", "503 for a day"])
def test_retry_after_is_followed_within_a_limit(tmp_path, guarantee, ill):
    tally = guarantee("T9", "Retry-After is followed by all scripts, for a minute at the most", seed=SEED)
    with tally.trial(), placed(tmp_path / "place", SEED, ills=(ill,), hangs_left=0, refuses_seconds=0) as place:
        script = fetch_script(place)
        (place.folder / "rehearsal").write_text(rehearsal(place, script))
        assert place.run("bash", str(place.folder / "rehearsal")).returncode == 0
        by_installer = _sleeps(place)
        assert first_boot_of(place, "curl").returncode == 0
        wanted = min(int(LONG if ill != "503" else 5), LONGEST_PAUSE)
        for sleeps in (by_installer, _sleeps(place)[len(by_installer) :]):
            assert wanted in sleeps, "as long as it was told"
            assert max(sleeps) <= max(wanted, 30), "and no longer; 30 s is the scripts' own longest pause"


def _sleeps(place: Place) -> list[int]:
    return [int(word) for word in (place.folder / "sleeps").read_text().split() if word.isdigit()]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("status", "is_final"), [(404, True), (410, True), (403, True), (429, False), (408, False)])
def test_only_a_definite_answer_ends_the_fetching_of_an_image(tmp_path, status, is_final):
    """A proxy that says "too often" is no reason to fail an install."""
    left = [Answer(status, b"no")] * 2

    def real(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return left.pop() if left else Answer(200, IMAGE)

    with moody_served(Moody(real, random.Random(SEED), share=0)) as url:
        facts = f"IMAGE_URL={url}/i IMAGE={tmp_path}/image IMAGE_BYTES={len(IMAGE)} RETRY_SECONDS=60"
        script = f"{functions('file_tree/image.sh', tmp_path)}\n{facts}; sleep() {{ :; }}; fetch_image; echo fetched"
        environment = {"MIB": "1048576", "PATH": os.environ["PATH"]}
        said = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=environment
        ).stdout
    assert said.strip().endswith(
        f"FAIL fetch: The server answered HTTP {status} for {url}/i." if is_final else "fetched"
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ill", ILLS)
def test_the_ramdisk_asks_for_its_script_until_it_has_it_whole(tmp_path, guarantee, ill):
    tally = guarantee("T9", "The ramdisk asks until it has the whole script, and the same kernel is given the same one")
    with tally.trial(), placed(tmp_path / "place", SEED, ills=(ill,), share=1, hangs_left=0) as place:
        script = fetch_script(place)
        scripts_given = {answer.body.decode() for path, _, answer in place.moody.told if answer}
        assert scripts_given == {script}
        assert [mood for _, mood, _ in place.moody.told] == [ill] * MOST_IN_A_ROW + ["well"]


@pytest.mark.django_db(transaction=True)
def test_nothing_for_this_machine_starts_it_again_from_the_firmware(tmp_path):
    with placed(tmp_path / "place", SEED, share=0, refuses_seconds=0) as place:
        place.boot_url += "x"
        with pytest.raises(AssertionError, match="RESTART nothing to do"):
            fetch_script(place)
