"""Who may make whom what."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from tests import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(db):
    return get_user_model().objects.create_superuser("root", password=None)


def user(name: str):
    return get_user_model().objects.get(username=name)


def group(name: str) -> int:
    return Group.objects.get(name=name).pk


def change(client, who, **values):
    form = {"username": who.username, "is_active": "on", "groups": [g.pk for g in who.groups.all()]} | values
    return client.post(reverse("admin:auth_user_change", args=[who.pk]), form)


def test_an_admin_enters_an_operator(admin):
    form = {
        "username": "grace", "usable_password": "true", "password1": "long-and-odd-7", "password2": "long-and-odd-7",
        "groups": [group("operator")],
    }  # fmt: skip
    assert admin.post(reverse("admin:auth_user_add"), form).status_code == 302
    made = user("grace")
    assert made.has_perm("machines.install_machine")
    assert not (made.is_staff or made.is_superuser)


def test_who_is_put_into_the_group_admin_may_use_the_admin_and_who_leaves_it_may_not(admin):
    grace = scenes.make_user("viewer", name="grace")
    change(admin, grace, groups=[group("admin")])
    assert user("grace").is_staff
    change(admin, grace, groups=[group("viewer")])
    assert not user("grace").is_staff


def test_an_admin_makes_nobody_a_superuser(admin):
    grace = scenes.make_user("viewer", name="grace")
    html = admin.get(reverse("admin:auth_user_change", args=[grace.pk])).content.decode()
    assert "is_superuser" not in html.split("<form", 1)[1]
    change(admin, grace, is_superuser="on", is_staff="on", user_permissions=["1", "2"])
    assert not user("grace").is_superuser
    assert not user("grace").user_permissions.exists()


@pytest.mark.parametrize("page", ["auth_user_change", "auth_user_password_change", "auth_user_delete"])
def test_an_admin_has_no_hand_on_a_superuser(admin, root, page):
    values = {"username": "root", "password1": "long-and-odd-7", "password2": "long-and-odd-7", "post": "yes"}
    assert admin.post(reverse(f"admin:{page}", args=[root.pk]), values).status_code == 403
    assert user("root").is_superuser
    assert not user("root").has_usable_password()


@pytest.mark.parametrize("is_active", [True, False])
def test_an_admin_sets_no_password_of_who_may_do_more(admin, root, client, is_active):
    grace = scenes.make_user("viewer", name="grace")
    grace.is_active = is_active
    grace.save()
    page = reverse("admin:auth_user_password_change", args=[grace.pk])
    new = {"password1": "long-and-odd-7", "password2": "long-and-odd-7"}
    assert admin.post(page, new).status_code == 302
    assert user("grace").check_password("long-and-odd-7")
    special = Group.objects.create(name="special")
    special.permissions.add(Permission.objects.get(codename="delete_user"))
    grace.groups.add(special)
    assert admin.get(page).status_code == 403
    assert admin.post(page, {"password1": "other-and-odd-8", "password2": "other-and-odd-8"}).status_code == 403
    assert user("grace").check_password("long-and-odd-7")
    client.force_login(root)
    assert client.get(page).status_code == 200


def test_an_admin_gives_no_group_that_is_not_one_of_the_three_and_takes_none(admin):
    special, other = (Group.objects.create(name=name) for name in ("special", "other"))
    grace = scenes.make_user("viewer", name="grace")
    grace.groups.add(other)
    assert change(admin, grace, groups=[group("viewer"), special.pk]).status_code == 200, "refused"
    change(admin, grace, groups=[group("operator"), other.pk])
    assert {g.name for g in user("grace").groups.all()} == {"operator", "other"}


def test_an_admin_changes_no_group(admin):
    assert admin.post(reverse("admin:auth_group_change", args=[group("viewer")]), {"name": "x"}).status_code == 403
    assert admin.get(reverse("admin:auth_group_add")).status_code == 403


def test_a_superuser_sees_the_finer_things_and_the_queues(client, root):
    client.force_login(root)
    grace = scenes.make_user("viewer", name="grace")
    assert "is_superuser" in client.get(reverse("admin:auth_user_change", args=[grace.pk])).content.decode()
    assert client.get(reverse("admin:django_rq_home")).status_code == 200


def test_the_queues_are_closed_to_admins(admin):
    assert admin.get(reverse("admin:django_rq_home")).status_code == 403


def test_an_admin_unlocks_a_login(admin):
    from axes.models import AccessAttempt

    grace = scenes.make_user("viewer", name="grace")
    AccessAttempt.objects.create(username="grace", ip_address="192.0.2.7", failures_since_start=5)
    admin.post(reverse("admin:auth_user_changelist"), {"action": "unlock", "_selected_action": [grace.pk]})
    assert not AccessAttempt.objects.filter(username="grace").exists()
