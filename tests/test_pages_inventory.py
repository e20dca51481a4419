"""The pages of inventory files, from the upload to the confirmation."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.timezone import now

from machines.models import InventoryUpload, Machine
from tests import installing, scenes

pytestmark = pytest.mark.django_db
FILE = "name,rack,bmc_host,bmc_password\nnode1,R2,10.0.0.1,very-secret\nnode9,R9,,\n"


@pytest.fixture
def machine() -> Machine:
    return installing.make_machine(driver="ipmi")


def upload(client, text: str = FILE, name: str = "machines.csv"):
    return client.post(reverse("inventory_import"), {"file": SimpleUploadedFile(name, text.encode())})


def preview(client, text: str = FILE) -> tuple[str, str]:
    """The address of a preview, and its page."""
    where = upload(client, text)["Location"]
    return where, client.get(where).content.decode()


def approved(html: str) -> str:
    return html.partition('name="approved" value="')[2].partition('"')[0]


def test_a_file_is_seen_then_confirmed(admin, machine):
    where, html = preview(admin)
    assert "Import: create 1, change 1" in html
    assert "<del>" in html
    assert Machine.objects.count() == 1
    answer = admin.post(where, {"approved": approved(html)}, follow=True)
    assert "Imported: 1 thing was created, 1 was changed." in answer.content.decode()
    machine.refresh_from_db()
    assert (machine.rack, machine.bmc.endpoint().password) == ("R2", "very-secret")
    assert not InventoryUpload.objects.exists(), "the file is gone"


def test_the_page_says_what_to_choose_and_offers_the_exports(admin):
    html = admin.get(reverse("inventory_import")).content.decode()
    assert 'type="file"' in html
    assert reverse("inventory_export", args=["yaml"]) in html
    assert "problem" not in html.partition("<main")[2].partition("</main>")[0].lower()


def test_no_password_is_in_a_page_or_in_the_clear_in_between(admin, machine):
    _where, html = preview(admin)
    kept = InventoryUpload.objects.get()
    assert "very-secret" not in html + kept.sealed + kept.file_name
    assert "set, not shown" in html
    assert "very-secret" in kept.text


def test_a_large_upload_never_touches_the_disk(admin, machine, monkeypatch):
    from django.core.files import uploadedfile

    monkeypatch.setattr(uploadedfile.TemporaryUploadedFile, "__init__", lambda *a, **k: pytest.fail("on the disk"))
    text = "name,notes\n" + "".join(f"m{n},{'x' * 4000}\n" for n in range(1000))
    assert upload(admin, text).status_code == 302


def test_a_file_that_is_too_large_is_refused_with_words(admin, monkeypatch):
    monkeypatch.setattr("machines.views.inventory.BIGGEST_FILE_BYTES", 1000)
    answer = upload(admin, "name\n" + "x" * 5000)
    assert answer.status_code == 422
    assert "Choose a file of at most" in answer.content.decode()


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("name,nonsense\na,b\n", "a.csv", "line 1, column nonsense"),
        ("x: 1\n", "a.yaml", "line 1, column x"),
        ("name\na\n", "a.xlsx", "must end in .csv"),
    ],
)
def test_a_file_of_a_wrong_shape_is_not_kept(admin, text, name, words):
    answer = upload(admin, text, name)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not InventoryUpload.objects.exists()


def test_problems_are_shown_and_nothing_can_be_confirmed(admin, machine):
    where = upload(admin, "name,cluster,mac_1\nnode1,none,zz\n")["Location"]
    answer = admin.get(where)
    html = answer.content.decode()
    assert answer.status_code == 422
    assert "line 2, column cluster" in html
    assert "line 2, column mac_1" in html
    assert 'name="approved"' not in html
    assert admin.post(where, {"approved": ""}).status_code == 422


def test_what_changed_meanwhile_is_said_and_shown_again(admin, machine):
    where, html = preview(admin)
    Machine.objects.update(rack="R77")
    answer = admin.post(where, {"approved": approved(html)})
    assert answer.status_code == 409
    assert "changed meanwhile" in answer.content.decode()
    assert "R77" in answer.content.decode()
    assert Machine.objects.get().rack == "R77"


def test_nothing_is_imported_without_having_been_seen(admin, machine):
    where, _html = preview(admin)
    assert admin.post(where).status_code == 409
    assert Machine.objects.get().rack == ""


def test_a_kept_file_is_its_uploaders_only(admin, machine, client):
    where, html = preview(admin)
    client.force_login(scenes.make_user("admin", name="other", is_staff=True))
    assert client.get(where).status_code == 410
    assert client.post(where, {"approved": approved(html)}).status_code == 410
    assert Machine.objects.count() == 1


def test_a_kept_file_is_forgotten_after_a_while(admin, machine):
    where, html = preview(admin)
    InventoryUpload.objects.update(created_at=now() - timedelta(minutes=31))
    answer = admin.post(where, {"approved": approved(html)})
    assert answer.status_code == 410
    assert "choose it again" in answer.content.decode()
    assert not InventoryUpload.objects.exists()


def test_it_can_be_dropped(admin, machine):
    where, _html = preview(admin)
    admin.post(f"{where}forget/")
    assert not InventoryUpload.objects.exists()


def test_an_operator_is_told_what_only_admins_import(client, machine):
    client.force_login(scenes.make_user("operator"))
    where = upload(client)["Location"]
    html = client.get(where).content.decode()
    assert "only the group admin may change: bmc" in html
    assert client.post(where, {"approved": "x"}).status_code == 403
    where, html = preview(client, "name,rack\nnode1,R3\n")
    client.post(where, {"approved": approved(html)})
    assert Machine.objects.get().rack == "R3"


def test_a_viewer_has_the_exports_only(client, machine):
    client.force_login(scenes.make_user("viewer"))
    assert client.get(reverse("inventory_import")).status_code == 403
    for form in ("csv", "yaml"):
        answer = client.get(reverse("inventory_export", args=[form]))
        assert "node1" in answer.content.decode()
        assert "attachment" in answer["Content-Disposition"]
    assert client.get(reverse("inventory_export", args=["xlsx"])).status_code == 404


def test_an_upload_from_another_site_is_refused(machine):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(scenes.make_user("admin", is_staff=True))
    assert upload(client).status_code == 403
    assert not InventoryUpload.objects.exists()


def test_hostile_texts_are_shown_as_texts(admin, machine):
    where = upload(admin, f'name,notes\nnode1,"{scenes.HOSTILE.replace(chr(34), chr(34) * 2)}"\n')["Location"]
    assert "<script>alert" not in admin.get(where).content.decode()


def test_an_operator_takes_no_protection_off_by_a_file(client, machine):
    Machine.objects.update(protected=True)
    client.force_login(scenes.make_user("operator"))
    where, html = preview(client, "name,protected\nnode1,no\n")
    assert "Your account may not import this" in html
    assert client.post(where, {"approved": approved(html)}).status_code == 403
    assert Machine.objects.get().protected
