"""Images in a real browser: an upload with its progress, a delete that is refused, and nothing for axe to find."""

import re
import shutil

import pytest
from django.utils.timezone import now

from installs.images import importer, imports
from installs.images.intake import add_image
from installs.models import Image, ImageImport
from machines.models import Machine
from tests import image_files, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check


@pytest.fixture(autouse=True)
def data(settings, tmp_path):
    """A data folder of its own: images are files."""
    shutil.copytree(settings.DATA / "keys", tmp_path / "data" / "keys")  # URLs are sealed
    settings.DATA = tmp_path / "data"
    settings.IMAGE_FOLDERS = [tmp_path]


@pytest.fixture
def archive(tmp_path):
    return image_files.tar_zst(tmp_path / "debian.tar.zst")


@pytest.fixture
def of_every_kind(archive, tmp_path):
    """Images and imports in all their states; addresses of their pages."""
    made = scenes.whole_fleet()
    good = add_image(archive, name="debian", imported_by="ada", source="debian.tar.zst")
    odd = image_files.tree() | {"etc/machine-id": b"x", "etc/cloud/cloud.cfg": b"", "usr/bin/curl": b""}
    del odd["usr/bin/curl"], odd["usr/sbin/sshd"]
    warned = add_image(image_files.tar_zst(tmp_path / "odd.tar.zst", odd), name="odd")
    states = dict(imports.ImageImport.State.choices)
    for number, state in enumerate(states):
        columns = {"error": "The server answered HTTP 503"} if state in ("failed", "waiting") else {}
        ImageImport.objects.create(
            ended_at=now() if state in ("done", "failed", "cancelled") else None, name=f"n{number}",
            source="url", location="https://example.org/image.tar.zst?key=x", state=state,
            requested_by="ada", phase="fetch", done=41_000_000, total=62_000_000, **columns,
        )  # fmt: skip
    pages = [f"/images/{image.pk}/" for image in (good, warned, made["failed"].image)]
    return ["/images/", "/imports/new/", *pages, *(f"/imports/{each.pk}/" for each in ImageImport.objects.all())]


@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_nothing_on_any_page_of_images(opened, axe, of_every_kind, mode):
    assert check(opened(group="admin", mode=mode), axe, of_every_kind) == []


def test_a_file_is_uploaded_in_parts_and_becomes_an_image(opened, archive, monkeypatch):
    monkeypatch.setattr(imports, "PART_BYTES", 400)
    page = opened("/imports/new/", group="admin")
    page.set_input_files("#file", archive)
    assert page.input_value("#id_name") == "debian"
    page.get_by_role("button", name="Take it in").click()
    page.wait_for_url(re.compile(r"/imports/\d+/$"))
    assert page.locator("#now-title").inner_text() == "Waits for its turn"
    assert ImageImport.objects.get().total == archive.stat().st_size
    assert importer.turn()
    page.get_by_role("link", name="See the image").click()
    page.wait_for_selector("text=It has all that the image contract asks for.")
    assert page.locator("h1").inner_text() == "debian"


def test_a_broken_connection_is_gone_on_with(opened, archive, monkeypatch):
    monkeypatch.setattr(imports, "PART_BYTES", 400)
    page = opened("/imports/new/", group="admin")
    page.set_input_files("#file", archive)
    page.evaluate("""() => {
        PAUSES.fill(10);
        const real = fetch;
        window.broken = 0;
        window.fetch = (address, options) => String(address).includes('at=400') && !window.broken++
            ? Promise.reject(new TypeError('the line is cut')) : real(address, options);
    }""")
    page.get_by_role("button", name="Take it in").click()
    page.wait_for_url(re.compile(r"/imports/\d+/$"))
    assert importer.turn() and Image.objects.filter(name="debian").exists()


def test_an_upload_is_cancelled_on_the_way(opened, archive, monkeypatch):
    monkeypatch.setattr(imports, "PART_BYTES", 400)
    page = opened("/imports/new/", group="admin")
    page.route("**/part/?at=800", lambda route: None)  # it hangs
    page.set_input_files("#file", archive)
    page.get_by_role("button", name="Take it in").click()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("#start:enabled")
    assert ImageImport.objects.get().state == "cancelled"


def test_what_is_wrong_is_said_beside_the_form(opened, archive):
    add_image(archive, name="debian")
    page = opened("/imports/new/", group="admin")
    page.get_by_role("button", name="Take it in").click()
    page.fill("#id_name", "debian")
    page.get_by_role("button", name="Take it in").click()
    assert page.get_by_role("alert").inner_text() == "Choose a file."
    page.set_input_files("#file", archive)
    page.get_by_role("button", name="Take it in").click()
    page.wait_for_selector("text=images never change, choose another name")
    page.get_by_label("A file on the server").check()
    page.fill("#id_path", "/etc/passwd")
    page.get_by_role("button", name="Take it in").click()
    page.wait_for_selector("text=There is no such file below")


def test_progress_moves_while_one_looks(opened):
    wanted = ImageImport.objects.create(
        name="n", source="url", location="https://example.org/x", requested_by="ada", state="running", phase="fetch",
        done=10_000_000, total=100_000_000,
    )  # fmt: skip
    page = opened(f"/imports/{wanted.pk}/", group="viewer")
    page.wait_for_selector("text=10 of 100 MB")
    ImageImport.objects.update(done=50_000_000)
    imports.doorbell.tell_pages()
    page.wait_for_selector("text=50 of 100 MB")
    assert page.get_by_role("button", name="Cancel").count() == 0  # a viewer's


def test_deleting_is_refused_while_a_machine_runs_it_and_retiring_is_not(opened, archive):
    made = scenes.whole_fleet()
    image = add_image(archive, name="debian")
    Machine.objects.filter(pk=made["installed"].machine_id).update(image_name="debian", state="in_use")
    page = opened(f"/images/{image.pk}/", group="admin")
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm-yes").click()
    page.wait_for_selector("text=retire it instead")
    page.get_by_role("button", name="Retire").click()
    page.wait_for_selector("text=nothing new is installed from it")
    Machine.objects.update(image_name="")
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm-yes").click()
    page.wait_for_url("**/images/")
    assert not Image.objects.filter(name="debian").exists()
