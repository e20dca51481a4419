"""Hostile and careless texts and files: template escapes and bombs, answer files that lie, ISO images made to harm."""

import os
import random
import socket
import subprocess
import sys
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from installs import celled
from installs.cell import autoinstall, kickstart, preseed
from installs.cell.iso import index
from installs.images import iso
from installs.images.contract import BadImage
from installs.images.intake import ImageProblem, add_image
from installs.models import Image
from tests import installer_answers
from tests.installer_answers import make_iso

ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.environ }}",
    "{{ joiner.__init__['__globals__'] }}",
    "{{ (1).__class__.__base__.__subclasses__() }}",
    "{{ '{0.__class__}'.format(secrets) }}",
    "{{ secrets|attr('__class__') }}",
    "{{ self.__init__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
    "{{ keys.append('x') }}",
    "{{ secrets.update({'a': 'b'}) }}",
    "{{ missing }}",
    "{{ secrets.missing }}",
    "{% raw %}",
    "{{ 1/0 }}",
]
BOMBS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{{ 'a'|center(10**10) }}",
    "{{ '%01000000000d' % 1 }}",
    "{{ range(10**9)|list }}",
    "{{ 'a'|replace('a', 'a' * 10**5)|replace('a', 'a' * 10**5) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
    "{{ (10**99999)**99999 }}",
]


PREPARE = {
    "preseed": preseed.prepare,
    "autoinstall": autoinstall.prepare,
    "kickstart": lambda text, options: kickstart.prepare(text, options, kickstart.load("RHEL9")),
}


def look(kind: str, template: str, **options: object) -> dict[str, object]:
    values = {"secrets": {"a": "$6$x"}, "keys": ["k"], "disk": {"id": "@DODAI-DISK@", "node": "@DODAI-DISK-NODE@"}}
    return celled.answers(kind, template, values, {"release": "RHEL9", **options})


@pytest.mark.parametrize("template", ESCAPES)
def test_no_template_gets_out(template) -> None:
    found = look("preseed", "d-i a/b string " + template + "\n")
    assert found["text"] == "" and found["problems"], found


@pytest.mark.parametrize("template", BOMBS)
def test_no_template_takes_what_it_likes(template) -> None:
    try:
        found = look("preseed", "d-i a/b string " + template + "\n")
    except celled.CellProblem:
        return
    assert found["text"] == "" and found["problems"], found


CLOSED = """
import sys; sys.path.insert(0, {root!r})
from installs.cell.closed import close_in
import os, socket
close_in(memory_bytes=256 << 20, cpu_seconds=5)
tries = {{
    "file": lambda: open("/etc/passwd"), "write": lambda: open("/tmp/x", "w"), "socket": lambda: socket.socket(),
    "program": lambda: os.execv("/bin/true", ["true"]), "fork": os.fork, "kill": lambda: os.kill(os.getppid(), 0),
    "remove": lambda: os.unlink("/tmp/none"), "folder": lambda: os.listdir("/"),
}}
for name, act in tries.items():
    try:
        act()
    except PermissionError:
        continue
    os.write(1, (name + " works;").encode())
os.write(1, b"done")
"""


def test_a_closed_process_can_do_nothing() -> None:
    program = CLOSED.format(root=str(celled.ROOT))
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"done", done


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("preseed", "d-i passwd/user-password password x\n", "clear-password"),
        ("preseed", "d-i passwd/root-password-crypted password x\n", "no-hash"),
        ("preseed", "d-i preseed/include string http://elsewhere/x\n", "answers-elsewhere"),
        ("preseed", "d-i preseed/run string http://elsewhere/x\n", "answers-elsewhere"),
        ("preseed", "d-i partman-auto/disk string /dev/sda\n", "other-disk"),
        ("preseed", "d-i partman-auto-raid/recipe string 1 2 0 ext4 / /dev/sda1#/dev/sdb1 .\n", "other-disk"),
        ("preseed", "d-i grub-installer/bootdev string /dev/vdb\n", "other-disk"),
        ("preseed", "d-i a/b boolean yes\n", "preseed-boolean"),
        ("preseed", "d-i a/b sting yes\n", "preseed-type"),
        ("preseed", "nonsense\n", "preseed-short"),
        ("kickstart", "text\nurl --url=http://x/\nnonsense\n", "kickstart"),
        ("kickstart", "url --url=http://x/\n%packages\n@core\n", "kickstart"),
        ("kickstart", "url --url=http://x/\nrootpw clear\n", "clear-password"),
        ("kickstart", "url --url=http://x/\nuser --name=a --password=clear\n", "clear-password"),
        ("kickstart", "url --url=http://x/\nclearpart --all --drives=sda\n", "other-disk"),
        ("kickstart", "url --url=http://x/\nignoredisk --only-use=sdb\n", "other-disk"),
        ("kickstart", "url --url=http://x/\npart / --size=1 --ondisk=nvme0n1\n", "other-disk"),
        ("kickstart", "url --url=http://x/\nbootloader --boot-drive=sda\n", "other-disk"),
        ("kickstart", "url --url=http://x/\n%include /etc/passwd\n", "answers-elsewhere"),
        ("kickstart", "text\n", "kickstart-source"),
        ("autoinstall", "version: 2\n", "schema"),
        ("autoinstall", "version: 1\nidentity: {username: a}\n", "schema"),
        ("autoinstall", "version: 1\nnonsense: 1\n", "schema"),
        ("autoinstall", "version: 1\ninteractive-sections: [network]\n", "schema"),
        ("autoinstall", "version: 1\nidentity: {username: a, hostname: b, password: c}\n", "clear-password"),
        ("autoinstall", "version: 1\nuser-data: {users: [{name: a, plain_text_passwd: c}]}\n", "clear-password"),
        ("autoinstall", "version: 1\nstorage: {config: [{type: disk, id: d, path: /dev/sda}]}\n", "other-disk"),
        ("autoinstall", "version: 1\nstorage: {layout: {name: lvm, match: {size: largest}}}\n", "other-disk"),
        ("autoinstall", "a: &a [x, x]\nb: [*a, *a]\n", "yaml"),
        ("autoinstall", "version: 1\nversion: 1\n", "yaml"),
        ("autoinstall", "version: !!python/object/apply:os.system [id]\n", "yaml"),
        ("autoinstall", "- x\n", "schema"),
    ],
)
def test_what_is_wrong_with_answers_is_found(kind, text, code) -> None:
    found = PREPARE[kind](text, {})
    assert code in {problem.code for problem in found.problems}, found


def test_a_document_of_endless_depth_is_refused() -> None:
    try:
        found = look("autoinstall", "[" * 100_000)
    except celled.CellProblem:
        return
    assert {problem["code"] for problem in found["problems"]} == {"too-much"}


@pytest.mark.parametrize("kind", installer_answers.TEMPLATES)
def test_good_answers_are_found_good(kind) -> None:
    from installs.methods.installer import answers

    given = answers.made_up({"root_hash": "$6$x"})
    found = celled.answers(kind, installer_answers.TEMPLATES[kind], given, {"release": "RHEL9"})
    assert found["problems"] == []
    assert "/tmp/dodai late" in found["text"]


@pytest.mark.parametrize("release", ["RHEL7", "RHEL8", "RHEL9", "RHEL10", "F41", "F42"])
def test_kickstart_of_each_release_is_understood(release) -> None:
    assert (
        look("kickstart", "url --url=http://x/\nautopart\n%packages\n@core\n%end\n", release=release)["problems"] == []
    )


def test_commands_before_the_installation_run_behind_the_grant() -> None:
    text = "url --url=http://x/\n%pre --erroronfail\necho 'one'\n%end\n%packages\n@core\n%end\n"
    found = look("kickstart", text)
    assert "%pre" not in str(found["text"]).replace("%pre-install", "")
    assert "echo '\"'\"'one'\"'\"'" in str(found["before"]) and "before_failed" in str(found["before"])


def test_no_secret_value_begins_a_line_of_its_own() -> None:
    found = celled.answers("preseed", "d-i a/b string {{ v | word }}\n", {"v": "x\nd-i c/d string y"}, {})
    assert found["text"] == "" and found["problems"]


def good_iso(path: Path) -> Path:
    files = {
        "casper/vmlinuz": b"k" * 5000,
        "casper/initrd": b"i" * 100_000,
        "pool/main/A+b_1%3a2.deb": b"deb",
        "empty": b"",
    }
    return make_iso(path, files, {"dists/stable": "../casper", "up": "../../etc/passwd", "self": "."})


def test_a_good_iso_is_indexed(tmp_path) -> None:
    path = good_iso(tmp_path / "x.iso")
    found = iso.look_into(path)
    ((offset, length),) = found.files["casper/initrd"]
    assert path.read_bytes()[offset : offset + length] == b"i" * 100_000
    assert found.suits == ("autoinstall", "casper/vmlinuz", "casper/initrd")
    assert found.links == {"dists/stable": "casper", "self": ""}


def test_a_cut_off_iso_is_refused(tmp_path) -> None:
    path = good_iso(tmp_path / "x.iso")
    data = path.read_bytes()
    for share in (0.05, 0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BadImage):
            iso.look_into(path)


def test_damaged_isos_lead_nowhere_outside(tmp_path) -> None:
    """Bits flipped anywhere in the descriptors and folders: refused, or read as names and places inside the image."""
    path = good_iso(tmp_path / "x.iso")
    data, seed = path.read_bytes(), random.randrange(1 << 32)
    dice = random.Random(seed)
    for _round in range(25):
        spoiled = bytearray(data)
        for _flip in range(dice.randrange(1, 40)):
            spoiled[dice.randrange(0x8000, min(len(data), 0x12000))] ^= 1 << dice.randrange(8)
        for name, extents in index(BytesIO(bytes(spoiled))).get("files", {}).items():
            parts = name.split("/")
            assert not name.startswith("/") and ".." not in parts and "" not in parts, (seed, name)
            assert all(0 <= offset and offset + length <= len(data) for offset, length in extents), (seed, name)


def test_an_iso_is_taken_in_as_what_it_carries(db, settings, tmp_path) -> None:
    image = add_image(good_iso(tmp_path / "ubuntu.iso"), name="ubuntu")
    assert (image.kind, image.method) == ("iso", "autoinstall")
    assert image.metadata["kernel"] == "casper/vmlinuz"
    assert iso.index_path(image.sha256).exists()


def test_a_command_that_names_no_method_leaves_it_to_the_iso(db, tmp_path) -> None:
    call_command("image", "add", str(good_iso(tmp_path / "ubuntu.iso")), "--name", "ubuntu", stdout=StringIO())
    assert Image.objects.get(name="ubuntu").method == "autoinstall"


def test_what_only_begins_like_an_iso_is_refused(db, tmp_path) -> None:
    path = tmp_path / "x.iso"
    path.write_bytes(os.urandom(0x8001) + b"CD001" + os.urandom(100_000))
    with pytest.raises(ImageProblem, match="cannot be read as an ISO"):
        add_image(path, name="bad")


def test_a_template_elsewhere_is_read_anew(machine, settings, tmp_path) -> None:
    from installs.methods.installer import source

    settings.IMAGE_FOLDERS = [tmp_path]
    place = tmp_path / "answers.cfg"
    place.write_text("first\n")
    assert source.text_of({"place": str(place)}) == "first\n"
    place.write_text("second\n")
    assert source.text_of({"place": str(place)}) == "second\n"


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "../x", "http://127.0.0.1:1/x", "http://169.254.169.254/x", "ftp://x/y"]
)
def test_no_place_leads_where_it_may_not(settings, tmp_path, place) -> None:
    from installs.methods.installer import source

    settings.IMAGE_FOLDERS, settings.IMAGE_NETWORKS = [tmp_path], []
    with pytest.raises(source.NoSource):
        source.text_of({"place": place})


def test_a_url_that_sends_without_end_is_left(settings) -> None:
    from ipaddress import ip_network

    from installs.methods.installer import source

    settings.IMAGE_NETWORKS = [ip_network("127.0.0.0/8")]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = subprocess.Popen([sys.executable, "-c", ENDLESS, str(listener.fileno())], pass_fds=[listener.fileno()])
        try:
            with pytest.raises(source.NoSource, match="larger than"):
                source.text_of({"place": f"http://127.0.0.1:{listener.getsockname()[1]}/x"})
        finally:
            child.kill()
            child.wait()


ENDLESS = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
connection, _ = listener.accept()
connection.recv(4096)
connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
while True:
    connection.sendall(b"x" * 65536)
"""
