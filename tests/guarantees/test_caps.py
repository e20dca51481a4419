"""Caps (T26): nobody installs more machines at once or in an hour than their groups may, by whatever entrance."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils.timezone import localtime, now

from installs import actions, caps, many
from installs.models import Install, InstallCap
from machines.models import Machine
from machines.power import fake
from tests import installing, scenes
from tests.guarantees.tally import Tally, rounds
from tests.guarantees.test_plan_binds import approved_on, ids
from tests.test_pages_content import text_of

HOUR_CAP = 3


@pytest.fixture(autouse=True)
def _shipped(settings):
    """The caps as they are where nobody says anything."""
    settings.MANY_INSTALLS, settings.HOUR_INSTALLS = 20, 50
    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture
def image(db):
    return installing.make_image()


@pytest.fixture
def machines(db) -> list[Machine]:
    return fleet(6)


def fleet(count: int) -> list[Machine]:
    return [installing.make_machine(f"n{number:02}", number=number) for number in range(1, count + 1)]


def cap(group: str | None, *, per_request: int = 20, per_hour: int = 50) -> None:
    InstallCap.objects.create(
        group=Group.objects.get(name=group) if group else None, per_request=per_request, per_hour=per_hour
    )


def counted(guarantee: Callable[..., Tally], says: str) -> Tally:
    return guarantee("T26", says)


def by_page(client: Any, machine: Machine, image: Any) -> str:
    page = client.get(f"/machines/{machine.name}/install/?image={image.pk}")
    return text_of(client.post(f"/machines/{machine.name}/install/", approved_on(page), follow=True))


def by_list(client: Any, machine: Machine, image: Any) -> str:
    digest = many.plans([machine], image).digest
    sent = {"machines": machine.pk, "image": image.pk, "approved": digest}
    return text_of(client.post("/many/install/", sent, follow=True))


def by_retry(client: Any, machine: Machine, image: Any) -> str:
    last = Install.objects.filter(machine=machine).last() or failed_long_ago(machine, image)
    return text_of(client.post(f"/installs/{last.pk}/retry/", follow=True))


def by_retry_all(client: Any, machine: Machine, image: Any) -> str:
    Install.objects.filter(machine=machine).exists() or failed_long_ago(machine, image)
    digest = many.plans([machine], None, again=True).digest
    sent = {"machines": machine.pk, "image": "again", "approved": digest}
    return text_of(client.post("/many/install/", sent, follow=True))


def by_verb(client: Any, machine: Machine, image: Any) -> str:
    """What a job, a shell or an entrance that is yet to be written would call."""
    try:
        return str(actions.start_install(machine, image, by="operator"))
    except actions.Refused as exc:
        return str(exc)


ENTRANCES = {"page": by_page, "list": by_list, "retry": by_retry, "retry all": by_retry_all, "verb": by_verb}


def failed_long_ago(machine: Machine, image: Any) -> Install:
    install = Install.objects.create(
        machine=machine, image=image, method="file-tree", state="failed", requested_by="operator",
        plan=plan_of(machine, image), plan_digest="0" * 64, ended_at=now() - timedelta(days=1),
        queued_at=now() - timedelta(days=1),
    )  # fmt: skip
    return install


def plan_of(machine: Machine, image: Any) -> dict[str, Any]:
    from installs import plan

    return plan.for_install(machine, image).frozen


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_keeps_the_cap_of_the_hour(client, image, machines, guarantee, entrance):
    cap("operator", per_hour=HOUR_CAP)
    client.force_login(scenes.make_user("operator"))
    tally = counted(guarantee, "No entrance begins more installs in an hour than the cap")
    said = ""
    for machine in machines:
        with tally.trial():
            said = ENTRANCES[entrance](client, machine, image)
            assert Install.objects.filter(queued_at__gt=now() - timedelta(hours=1)).count() <= HOUR_CAP
    assert Install.objects.live().count() == HOUR_CAP
    begun = Install.objects.live().order_by("queued_at").values_list("queued_at", flat=True)
    assert "operator may begin 3 installs an hour: 3 were begun in the last one, this is 1 more." in said
    assert f"There is room again at {localtime(begun[0] + timedelta(hours=1)):%H:%M:%S}." in said
    assert "A wave may install more" in said
    with tally.trial():
        Install.objects.filter(pk=Install.objects.live().order_by("queued_at")[0].pk).update(
            queued_at=now() - timedelta(minutes=61)
        )
        ENTRANCES[entrance](client, machines[-1], image)
        assert Install.objects.live().count() == HOUR_CAP + 1, "what is older than an hour counts no more"


def test_the_command_keeps_the_cap_of_the_command_line(image, machines, guarantee):
    cap(None, per_hour=2)
    tally = counted(guarantee, "No entrance begins more installs in an hour than the cap")
    for machine in machines[:2]:
        with tally.trial():
            call_command("install", machine.name, image.name, yes=True)
    for machine in machines[2:]:
        with tally.trial(), pytest.raises(CommandError, match="may begin 2 installs an hour"):
            call_command("install", machine.name, image.name, yes=True)
    assert Install.objects.count() == 2


@pytest.mark.parametrize("count", [19, 20, 21, 40])
def test_a_list_keeps_the_cap_of_a_request(client, image, guarantee, count):
    client.force_login(scenes.make_user("operator"))
    shown = fleet(count)
    digest = many.plans(shown, image).digest
    tally = counted(guarantee, "No request installs more machines than the cap")
    sent = {"machines": ids(shown), "image": image.pk, "approved": digest, "typed_count": str(count)}
    with tally.trial():
        answer = client.post("/many/install/", sent)
        assert (answer.status_code, Install.objects.count()) == ((302, count) if count <= 20 else (409, 0))
    if count > 20:
        assert f"At most 20 machines are installed by one click, these are {count}: choose fewer." in text_of(answer)
        page = client.get(f"/many/install/?machines={ids(shown)}&image={image.pk}").content.decode()
        assert f"/waves/new/?image={image.pk}&amp;machines={ids(shown)}" in page


def test_a_list_that_the_hour_has_no_room_for_starts_none_of_it(client, image, guarantee):
    cap("operator", per_hour=6)
    client.force_login(scenes.make_user("operator"))
    shown = fleet(8)
    for machine in shown[:4]:
        actions.start_install(machine, image, by="operator")
    rest = shown[4:]
    tally = counted(guarantee, "No request installs more machines than the cap")
    with tally.trial():
        sent = {"machines": ids(rest), "image": image.pk, "approved": many.plans(rest, image).digest}
        assert client.post("/many/install/", sent).status_code == 409
        assert Install.objects.count() == 4


@pytest.mark.parametrize(
    ("groups", "is_superuser", "expected"),
    [
        (["operator"], False, (5, 7)), (["operator", "night"], False, (9, 7)), (["viewer"], False, (20, 50)),
        (["viewer", "operator"], False, (5, 7)), ([], True, (2, 90)), (["operator"], True, (5, 90)),
        ([], False, (20, 50)),
    ],
)  # fmt: skip
def test_the_largest_cap_of_the_groups_holds(db, groups, is_superuser, expected):
    Group.objects.create(name="night")
    cap("operator", per_request=5, per_hour=7)
    cap("night", per_request=9, per_hour=3)
    cap(None, per_request=2, per_hour=90)
    user = scenes.make_user(None, name="kim")
    user.groups.set(Group.objects.filter(name__in=groups))
    user.is_superuser = is_superuser
    user.save()
    found = caps.cap_of("kim")
    assert (found.per_request, found.per_hour) == expected


def test_a_cap_of_nothing_is_nothing(image, machines):
    scenes.make_user("operator")
    cap("operator", per_request=0)
    with pytest.raises(actions.Refused, match="may install no machine by themselves"):
        actions.start_install(machines[0], image, by="operator")
    assert actions.start_inspection(machines[0], by="operator"), "a look writes nothing"


@pytest.mark.django_db(transaction=True)
def test_starts_at_the_same_moment_count_each_other(guarantee):
    tally = counted(guarantee, "Starts at the same moment keep the cap together")
    scenes.restore_groups()
    scenes.make_user("operator")
    cap("operator", per_hour=HOUR_CAP)
    image, shown = installing.make_image(), fleet(8)
    for _ in range(rounds(2, 25)):
        with tally.trial():
            at_once([lambda m=machine: actions.start_install(m, image, by="operator") for machine in shown])
            assert Install.objects.count() == HOUR_CAP
        Install.objects.all().delete()
        Machine.objects.update(state="free", handled_by="")


def at_once(calls: list[Callable[[], Any]]) -> None:
    line = threading.Barrier(len(calls))

    def call(one: Callable[[], Any]) -> None:
        line.wait(120)
        try:
            one()
        except actions.Refused:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(one,)) for one in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)


def test_an_admin_edits_the_caps(client, db):
    client.force_login(scenes.make_user("admin", is_staff=True))
    group = Group.objects.get(name="operator")
    added = client.post("/admin/installs/installcap/add/", {"group": group.pk, "per_request": 3, "per_hour": 4})
    assert added.status_code == 302
    assert (InstallCap.objects.get(group=group).per_request, InstallCap.objects.get(group=group).per_hour) == (3, 4)
    for _ in range(2):
        last = client.post("/admin/installs/installcap/add/", {"group": "", "per_request": 3, "per_hour": 4})
    assert "have a cap already: change that one" in last.content.decode()
    assert InstallCap.objects.filter(group=None).count() == 1
