"""The image server: whole files and ranges by digest or version, and nothing else of the disk."""

import gzip
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from email.message import Message

import pytest
import uvicorn

from dodaiweb.images_app import application

DIGEST = "ab" * 32
CONTENT = bytes(range(256)) * 10_000


@dataclass
class Answer:
    status_code: int
    headers: Message
    content: bytes


@dataclass
class Client:
    """Sends paths as they are: libraries would tidy the wicked ones."""

    port: int

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "images").mkdir()
    (folder / "images" / DIGEST).write_bytes(CONTENT)
    (folder / "ramdisk" / "lab-1.2_3").mkdir(parents=True)
    (folder / "ramdisk" / "lab-1.2_3" / "vmlinuz").write_bytes(b"kernel")
    (folder / "ramdisk" / "lab-1.2_3" / "manifest.json").write_text("{}")
    index = {
        "files": {
            "casper/vmlinuz": [[100, 50]], "large": [[0, 3 << 20 >> 1], [2_000_000, 560_000]], "empty": [[2048, 0]],
            "beyond": [[len(CONTENT) - 10, 100]],
        },
        "links": {"dists/stable": "casper", "self": "", "round": "round/a", "out": "../keys"},
    }  # fmt: skip
    (folder / "image-index").mkdir()
    (folder / "image-index" / f"{DIGEST}.json.gz").write_bytes(gzip.compress(json.dumps(index).encode()))
    (folder / "keys").mkdir()
    (folder / "keys" / "secret_key").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def client(data):
    """The application under its real server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application(data), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Client(listener.getsockname()[1])
        server.should_exit = True
        thread.join(timeout=60)


def test_a_whole_image_with_its_digest_as_etag(client):
    answer = client.get(f"/image/{DIGEST}")
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert answer.headers["accept-ranges"] == "bytes"


def test_head_says_the_size_and_sends_nothing(client):
    answer = client.request("HEAD", f"/image/{DIGEST}")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(len(CONTENT)), b"")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("0-0", 0, 1), ("1000-1999", 1000, 2000), ("2559000-", 2559000, None), ("-5", -5, None), ("9-99999999", 9, None)],
)
def test_a_range(client, wanted, start, end):
    answer = client.get(f"/image/{DIGEST}", headers={"range": f"bytes={wanted}"})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:end]


def test_a_range_past_the_end_is_refused(client):
    assert client.get(f"/image/{DIGEST}", headers={"range": "bytes=99999999-"}).status_code == 416


def test_a_resumed_download_of_something_else_starts_anew(client):
    headers = {"range": "bytes=5-", "if-range": '"of another image"'}
    assert client.get(f"/image/{DIGEST}", headers=headers).status_code == 200


def test_a_ramdisk_file(client):
    assert client.get("/ramdisk/lab-1.2_3/vmlinuz").content == b"kernel"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/image/",
        f"/image/{DIGEST.upper()}",
        f"/image/{DIGEST}0",
        f"/image/{DIGEST}%0a",
        f"/image/{'cd' * 32}",
        "/image/..%2fkeys%2fsecret_key",
        "/image/../keys/secret_key",
        "/ramdisk/lab-1.2_3/manifest.json",
        "/ramdisk/lab-1.2_3/initrd",
        "/ramdisk/../keys/vmlinuz",
        "/ramdisk/%2e%2e/vmlinuz",
        "/ramdisk/..%2fkeys/secret_key",
        "/keys/secret_key",
    ],
)
def test_anything_else_is_not_here(client, path):
    assert client.get(path).status_code == 404


def test_a_link_is_not_followed(client, data):
    (data / "images" / ("ef" * 32)).symlink_to(data / "keys" / "secret_key")
    assert client.get(f"/image/{'ef' * 32}").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(client, method):
    assert client.request(method, f"/image/{DIGEST}").status_code == 405


def test_a_file_inside_an_iso_is_sent_out_of_it(client):
    answer = client.get(f"/tree/{DIGEST}/casper/vmlinuz")
    assert (answer.status_code, answer.content) == (200, CONTENT[100:150])
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_file_of_several_extents_is_one_file(client):
    whole = CONTENT[: 3 << 20 >> 1] + CONTENT[2_000_000:2_560_000]
    assert client.get(f"/tree/{DIGEST}/large").content == whole
    part = client.get(f"/tree/{DIGEST}/large", {"Range": "bytes=1572860-1572870"})
    assert (part.status_code, part.content) == (206, whole[1572860:1572871])
    assert part.headers["content-range"] == f"bytes 1572860-1572870/{len(whole)}"
    assert client.get(f"/tree/{DIGEST}/large", {"Range": f"bytes={len(whole)}-"}).status_code == 416
    head = client.request("HEAD", f"/tree/{DIGEST}/large")
    assert (head.headers["content-length"], head.content) == (str(len(whole)), b"")


@pytest.mark.parametrize("path", ["dists/stable/vmlinuz", "self/casper/vmlinuz", "//casper//vmlinuz"])
def test_links_in_a_tree_are_followed_inside_it(client, path):
    assert client.get(f"/tree/{DIGEST}/{path}").content == CONTENT[100:150]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "casper",
        "none",
        "round/x",
        "out/secret_key",
        f"../images/{DIGEST}",
        "..%2fkeys/secret_key",
        "casper/../../keys",
    ],
)
def test_a_tree_has_nothing_but_its_files(client, path):
    answer = client.get(f"/tree/{DIGEST}/{path}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content


def test_an_empty_file_and_an_unknown_image(client):
    assert client.get(f"/tree/{DIGEST}/empty").content == b""
    assert client.get(f"/tree/{'cd' * 32}/casper/vmlinuz").status_code == 404
