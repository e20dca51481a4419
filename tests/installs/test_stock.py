"""How images go: retired, or deleted when nobody has them; files go with the last name."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import ProtectedError

from installs import actions
from installs.images import importer, stock
from installs.images.intake import add_image, image_path
from installs.models import Image, Install
from machines.models import Machine
from tests import image_files, installing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(settings, tmp_path):
    settings.DATA = tmp_path / "data"
    return image_files.tar_zst(tmp_path / "tree.tar.zst")


@pytest.fixture
def image(archive):
    return add_image(archive, name="debian")


def test_an_unused_image_goes_with_its_file(image):
    stock.delete(image, by="ada")
    assert not Image.objects.exists() and not image_path(image.sha256).exists()


def test_the_file_stays_until_its_last_name_goes(archive, image):
    other = add_image(archive, name="other")
    stock.delete(image, by="ada")
    assert image_path(other.sha256).exists()
    stock.delete(other, by="ada")
    assert not image_path(other.sha256).exists()


@pytest.mark.parametrize("state", ["in_use", "warm", "broken"])
def test_an_image_that_machines_run_stays_and_they_are_named(machine, image, state):
    Machine.objects.update(image_name="debian", state=state)
    with pytest.raises(stock.InUse, match="node1 run debian: retire it instead"):
        stock.delete(image, by="ada")
    assert image_path(image.sha256).exists()


def test_many_machines_are_named_in_short(image):
    for number in range(1, 9):
        installing.make_machine(f"node{number}", number=number, image_name="debian")
    with pytest.raises(stock.InUse, match=r"node1, node2, node3, node4, node5 and 3 more"):
        stock.delete(image, by="ada")


def test_an_image_that_is_being_installed_stays(machine, image):
    actions.start_install(machine, image, by="ada")
    with pytest.raises(stock.InUse, match="is being put on node1"):
        stock.delete(image, by="ada")


def test_the_history_keeps_the_name_of_a_deleted_image_and_nobody_installs_it_again(machine, image):
    install = actions.start_install(machine, image, by="ada")
    Install.objects.update(state="failed")
    stock.delete(image, by="ada")
    install.refresh_from_db()
    assert install.image.name.startswith("debian (deleted")
    assert (list(stock.present()), image_path(image.sha256).exists()) == ([], False)
    with pytest.raises(actions.Refused):
        actions.start_install(machine, install.image, by="ada")
    with pytest.raises(ProtectedError):
        install.image.delete()


def test_a_deleted_name_is_free_again(machine, archive, image):
    actions.start_install(machine, image, by="ada")
    Install.objects.update(state="failed")
    stock.delete(image, by="ada")
    assert add_image(archive, name="debian").pk != image.pk


def test_retiring_ends_new_installs_and_can_be_taken_back(machine, image):
    stock.retire(image)
    with pytest.raises(actions.Refused, match="retired"):  # whatever the page knew of it
        actions.start_install(machine, image, by="ada")
    stock.bring_back(image)
    assert actions.start_install(machine, image, by="ada")


def test_success_rate_and_usual_time(machine, image):
    assert stock.usual_seconds(image) is None
    install = actions.start_install(machine, image, by="ada")
    Install.objects.update(state="installed", ended_at=install.queued_at + timedelta(seconds=90))
    found = stock.present().get()
    assert (found.attempts, found.successes) == (1, 1)
    assert stock.usual_seconds(image).total_seconds() == 90


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("image", *words, stdout=out)
    return out.getvalue()


def test_the_command_takes_in_shows_retires_and_deletes(archive, settings):
    settings.IMAGE_FOLDERS = [archive.parent]
    assert "SHA-256" in run("add", str(archive), "--name", "one", "--swap-mib", "64")
    assert "asked" in run("import", str(archive), "--name", "two")
    assert importer.turn()
    assert "Taken in" in run("imports")
    assert "Debian GNU/Linux 12" in run("show", "two")
    run("retire", "two")
    assert "retired" in run("list")
    run("delete", "two")
    assert "two" not in run("list")
    with pytest.raises(CommandError, match="no image 'two'"):
        run("delete", "two")
    with pytest.raises(CommandError, match="no import 99"):
        run("cancel", "99")
    with pytest.raises(CommandError, match="already"):
        run("add", str(archive), "--name", "one")
