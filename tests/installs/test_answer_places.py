"""The place of an answer file: what follows the ? in its URL is a key, kept like one."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from threading import Thread

import pytest

from dodaiweb import keys
from installs import plan
from installs.images import metadata
from installs.methods.installer import answers
from installs.models import Image
from tests import installer_answers

KEY = "token=c4n4ry-place-key"
TEXT = installer_answers.PRESEED.encode()


@pytest.fixture
def asked(settings) -> Iterator[list[str]]:
    """What a server on this computer was asked for; the first entry is its address."""
    settings.IMAGE_NETWORKS = [ip_network("127.0.0.0/8")]
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200 if self.path.endswith(f"?{KEY}") else 403)
            self.send_header("Content-Length", str(len(TEXT)))
            self.end_headers()
            self.wfile.write(TEXT)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    seen.append(f"http://127.0.0.1:{server.server_port}")
    yield seen
    server.shutdown()
    server.server_close()


def entered(image: Image, place: str) -> Image:
    """The image after its form was sent with that place."""
    sent = image.metadata | {"place": place, "answers": "", "variables": ""}
    form = metadata.bound(image, {f"{metadata.PREFIX}-{name}": value for name, value in sent.items()})
    assert form and form.is_valid(), form and form.errors
    metadata.store(image, form)
    image.save()
    return image


def text_for(machine, image: Image) -> answers.Made:
    return answers.make(image, plan.for_install(machine, image).frozen, machine, with_secrets=True)


def test_the_key_is_sealed_and_sent_to_its_place_only(machine, asked):
    image = entered(installer_answers.make_image("preseed"), f"{asked[0]}/host.cfg?{KEY}")
    assert image.metadata["place"] == f"{asked[0]}/host.cfg"
    kept = Image.objects.values().get()
    assert KEY not in str(kept) and KEY not in str(plan.for_install(machine, image).frozen)
    assert "node1" in text_for(machine, image).text
    assert asked.pop() == f"/host.cfg?{KEY}"
    entered(image, f"{asked[0]}/other.cfg")
    with pytest.raises(answers.source.NoSource, match="HTTP 403"):
        text_for(machine, image)
    assert asked.pop() == "/other.cfg"


def test_the_key_stays_while_the_place_does(machine, asked):
    image = entered(installer_answers.make_image("preseed"), f"{asked[0]}/host.cfg?{KEY}")
    entered(image, f"{asked[0]}/host.cfg")
    assert "node1" in text_for(machine, image).text
    assert installer_answers.HASH in str(metadata.secrets_of(image))


def test_a_failure_names_no_key(machine, asked):
    image = entered(installer_answers.make_image("preseed"), f"{asked[0]}/host.cfg?{KEY}x")
    with pytest.raises(answers.source.NoSource) as problem:
        text_for(machine, image)
    assert "c4n4ry" not in str(problem.value)


def test_it_is_no_part_of_the_seal_in_clear(db, asked):
    image = entered(installer_answers.make_image("preseed"), f"{asked[0]}/host.cfg?{KEY}")
    assert "c4n4ry" not in image.secrets_sealed
    assert KEY in keys.decrypt(image.secrets_sealed, purpose=metadata.PURPOSE)
