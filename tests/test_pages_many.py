"""One click for many machines: the plan that names each disk, what must be typed, and what comes of each."""

import re
from html import unescape

import pytest

from dodaiweb.views import many_pages
from installs import many
from installs.forecast import forecast, forecasts
from installs.images.boot_match import Match
from installs.models import Install
from installs.network_words import place_words
from machines.many import Confirmation
from machines.models import Cluster, Machine, PowerCommand, Switch, Vlan
from tests import installing, scenes
from tests.test_pages_content import text_of
from tests.test_pages_fleet import failures

pytestmark = pytest.mark.usefixtures("fake_power", "named_ramdisk")


@pytest.fixture
def machines(operator) -> list[Machine]:
    return [installing.make_machine(f"node{number}", number=number) for number in range(1, 5)]


def ids(machines) -> str:
    return ",".join(str(machine.pk) for machine in machines)


def shown(client, machines, image, **more):
    return client.get("/many/install/", {"machines": ids(machines), "image": image.pk} | more)


def fields(response) -> dict[str, str]:
    """The hidden fields of the form that would start it."""
    form = response.content.decode().split('class="confirm card"')[1].split("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def test_the_plan_of_many_says_who_was_there_last_and_how_long_it_will_take(operator, machines):
    image = installing.make_image()
    scenes.spread(scenes.installed(machines[0], image), 6)
    Machine.objects.filter(pk=machines[1].pk).update(owner="storage team")
    page = text_of(shown(operator, machines, image))
    assert "Last install: debian by ada" in page
    assert "Owner: storage team" in page
    assert page.count("median of 1 install of this image on all models") == 4
    assert page.count("734 MB to fetch, 629 MB to write") == 4
    assert "Switch ports are moved only where the plan of a machine says so." in page


def test_the_plan_of_many_says_whether_each_will_boot_and_which_vlan_it_is_in(operator, machines, monkeypatch):
    found = {"node1": Match("yes", words="It has the drivers."), "node2": Match("no", ["x"], "No x in this image.")}
    unknown = Match("unknown", words="Inspect it.", warnings=["No driver for the network card 1425:5401."])
    monkeypatch.setattr(many_pages, "match", lambda image, machine: found.get(machine.name, unknown))
    web = Cluster.objects.create(name="web", vlan=Vlan.objects.create(vid=30, name="storage"))
    Machine.objects.filter(pk=machines[1].pk).update(cluster=web)
    machines[1].interfaces.update(switch=Switch.objects.create(name="sw1", ports="7"), switch_port="7")
    page = text_of(shown(operator, machines, installing.make_image()))
    assert "It will boot. It has the drivers." in page
    assert "Installed, it would not start: No x in this image." in page
    assert page.count("Nobody knows whether it will boot. Inspect it.") == 2
    assert page.count("No driver for the network card") == 2
    assert "Its cluster web is on VLAN 30 storage." in page and "sw1 port 7 goes into VLAN 30." in page
    assert "is cabled to sw1, port 7." in page
    assert page.count("It is in no cluster.") == 3


def test_whether_many_will_boot_and_their_vlans_cost_no_query_a_machine(operator, machines, django_assert_num_queries):
    image, vlan = installing.make_image(), Vlan.objects.create(vid=30, name="storage")
    for machine in machines:
        Machine.objects.filter(pk=machine.pk).update(cluster=Cluster.objects.create(name=machine.name, vlan=vlan))
    known = list(Machine.objects.select_related("cluster"))
    with django_assert_num_queries(4):
        found = many_pages.prospects([(machine, image) for machine in known])
    assert {match.verdict for match in found["matches"].values()} == {"unknown"}
    assert found["places"][machines[3].pk] == place_words(Machine.objects.get(name="node4"))


def test_what_many_will_take_costs_one_query_an_image(operator, machines, django_assert_num_queries):
    image = installing.make_image()
    with django_assert_num_queries(1):
        found = forecasts([(machine, image) for machine in machines])
    assert found[machines[3].pk] == forecast(machines[3], image)


def test_the_plan_names_each_disk_and_starts_each_install(operator, machines):
    image = installing.make_image()
    page = shown(operator, machines, image)
    for number in range(1, 5):
        assert f"DISK{number}" in text_of(page)
    assert "4 disks are wiped" in text_of(page)
    assert "Type how many" not in text_of(page)
    done = operator.post("/many/install/", fields(page), follow=True)
    assert "Done: 4" in text_of(done)
    assert Install.objects.live().count() == 4
    assert {install.requested_by for install in Install.objects.all()} == {"operator"}
    assert all(f"/installs/{install.pk}/" in done.content.decode() for install in Install.objects.all())


def test_ids_may_be_given_one_by_one_and_rubbish_is_left_out(operator, machines):
    numbers = [str(machine.pk) for machine in machines[:2]]
    page = operator.get("/many/install/", {"machines": [*numbers, "x", "²", "9" * 30, "-1"]})
    assert "Install 2 machines" in text_of(page)
    assert "No machine is chosen" in text_of(operator.get("/many/install/"))


def test_what_is_refused_says_why_and_keeps_no_other_from_it(operator, machines):
    Machine.objects.filter(pk=machines[0].pk).update(protected=True)
    machines[1].disks.all().delete()
    image = installing.make_image()
    page = shown(operator, machines, image)
    said = text_of(page)
    assert "2 machines are left as they are" in said
    assert "node1 is protected" in said
    assert "0 disks of node2 are marked as root disk" in said
    done = text_of(operator.post("/many/install/", fields(page), follow=True))
    assert "Not done: 2" in done
    assert "Done: 2" in done
    assert set(Install.objects.values_list("machine__name", flat=True)) == {"node3", "node4"}


def test_who_is_in_use_must_be_named(operator, machines):
    Machine.objects.filter(pk__in=[machines[0].pk, machines[1].pk]).update(state="in_use")
    page = shown(operator, machines, installing.make_image())
    assert "In use, or with the data of others: node1 node2. Type their names:" in text_of(page)
    typed = fields(page)
    for wrong in (
        {},
        {"typed_count": "4"},
        {"typed_count": "4", "typed_names": "node1"},
        {"typed_names": "node1 node2"},
    ):
        response = operator.post("/many/install/", typed | wrong)
        assert response.status_code == 422
        assert not Install.objects.exists()
    right = {"typed_count": " 4 ", "typed_names": "node2, node1"}
    assert operator.post("/many/install/", typed | right).status_code == 302
    assert Install.objects.count() == 4


def test_more_than_five_are_counted_by_hand(operator, machines):
    more = [installing.make_machine(f"more{number}", number=number) for number in (11, 12)]
    page = shown(operator, machines + more, installing.make_image())
    assert operator.post("/many/install/", fields(page) | {"typed_count": "5"}).status_code == 422
    assert operator.post("/many/install/", fields(page) | {"typed_count": "6"}).status_code == 302


@pytest.mark.parametrize("change", ["state", "disk", "one more", "image"])
def test_a_list_that_changed_since_it_was_shown_starts_nothing(operator, machines, change):
    image = installing.make_image()
    approved = fields(shown(operator, machines[:2], image))
    if change == "state":
        Machine.objects.filter(pk=machines[0].pk).update(state="in_use")
    elif change == "disk":
        machines[0].disks.update(serial="ANOTHER")
    elif change == "one more":
        approved["machines"] += f",{machines[3].pk}"
    else:
        type(image).objects.filter(pk=image.pk).update(sha256="cd" * 32)
        (installing.settings.DATA / "images" / ("cd" * 32)).touch()
    response = operator.post("/many/install/", approved | {"typed_count": "2", "typed_names": "node1"})
    assert response.status_code == 409
    fact = {"state": "the list of machines, the machine", "one more": "the list of machines"}.get(
        change, f"the {change}"
    )
    assert f"Changed since this list was shown: {fact}" in text_of(response)
    assert not Install.objects.exists()


@pytest.mark.parametrize("address", ["/many/install/", "/many/inspect/"])
def test_a_refused_form_names_the_page_that_updates_are_of(operator, machines, address):
    """Without its machines an update would say that none is chosen, and take away what was typed."""
    Machine.objects.update(state="in_use")
    image = installing.make_image()
    sent = fields(shown(operator, machines, image)) if "install" in address else {"machines": ids(machines)}
    response = operator.post(address, sent | {"typed_count": "3"})
    assert response.status_code == 422
    home = unescape(re.search(r'data-address="([^"]*)"', response.content.decode())[1])
    assert home.partition("?")[0] == address
    page = operator.get(home).content.decode()
    assert all(machine.name in page for machine in machines)
    problem = 'role="alert" data-paused'
    assert problem in page, "the message stays where it is when the page is brought up to date"
    assert problem in response.content.decode()


def test_an_update_of_the_page_does_not_approve_another_plan(operator, machines):
    """The digest stays that of the list which was loaded; one of another image is another field."""
    page = shown(operator, machines, image := installing.make_image()).content.decode()
    assert re.search(rf'name="approved" value="[0-9a-f]{{64}}" id="approved-{image.pk}" data-keep="value"', page)
    page = operator.get(f"/machines/node1/install/?image={image.pk}").content.decode()
    assert re.search(rf'name="approved" value="[0-9a-f]{{64}}" id="approved-{image.pk}" data-keep="value"', page)


def test_one_click_has_a_limit(operator, machines, settings):
    settings.MANY_INSTALLS = 3
    page = shown(operator, machines, installing.make_image())
    assert "At most 3 machines are installed by one click, these are 4: choose fewer. A wave may" in text_of(page)
    assert "confirm card" not in page.content.decode()
    digest = many.plans(machines, installing.Image.objects.get()).digest
    asked = {"machines": ids(machines), "image": installing.Image.objects.get().pk, "approved": digest}
    assert operator.post("/many/install/", asked).status_code == 409
    assert not Install.objects.exists()


def test_retrying_all_takes_the_image_of_each_last_attempt(operator):
    silent, digest = failures(2, "silent"), failures(1, "digest", first=3)
    machines = [install.machine for install in silent + digest]
    page = operator.get("/many/install/", {"machines": ids(machines), "image": "again"})
    assert "image-silent" in text_of(page)
    assert "image-digest" in text_of(page)
    assert "Done: 3" in text_of(operator.post("/many/install/", fields(page), follow=True))
    again = Install.objects.live()
    assert {(i.machine.name, i.image.name, i.retry_of_id) for i in again} == {
        (i.machine.name, i.image.name, i.pk) for i in silent + digest
    }


def test_a_machine_without_an_attempt_cannot_be_tried_again(operator, machines):
    page = operator.get("/many/install/", {"machines": ids(machines[:1]), "image": "again"})
    assert "node1 has no install to try again." in text_of(page)


def test_a_viewer_sees_the_plan_and_starts_nothing(client, db):
    machine, image = installing.make_machine(), installing.make_image()
    client.force_login(scenes.make_user("viewer"))
    page = shown(client, [machine], image)
    assert "DISK1" in text_of(page)
    assert "confirm card" not in page.content.decode()
    assert client.post("/many/install/", {"machines": machine.pk, "image": image.pk}).status_code == 403
    for verb in ("power", "inspect", "aside", "cluster"):
        assert client.get(f"/many/{verb}/?machines={machine.pk}").status_code == 200
        assert client.post(f"/many/{verb}/", {"machines": machine.pk, "action": "on"}).status_code == 403
    assert not PowerCommand.objects.exists()


# Other verbs. The driver `fake` can be read, so its machines have power buttons.


def test_power_is_asked_for_each_and_told_of_each(operator, machines):
    Machine.objects.filter(pk=machines[0].pk).update(protected=True)
    page = text_of(operator.get(f"/many/power/?machines={ids(machines)}"))
    assert "node1 is protected: take the protection off first" in page
    done = text_of(operator.post("/many/power/", {"machines": ids(machines), "action": "on"}, follow=True))
    assert "Not done: 1" in done
    assert "Done: 3" in done
    assert set(PowerCommand.objects.values_list("machine__name", "action")) == {(f"node{n}", "on") for n in (2, 3, 4)}


def test_switching_off_what_is_in_use_must_be_typed_out(operator, machines):
    Machine.objects.filter(pk=machines[0].pk).update(state="in_use")
    asked = {"machines": ids(machines[:2]), "action": "off"}
    assert operator.post("/many/power/", asked).status_code == 422
    assert not PowerCommand.objects.exists()
    operator.post("/many/power/", asked | {"typed_count": "2", "typed_names": "node1"})
    assert PowerCommand.objects.count() == 2


def test_a_power_command_that_does_not_exist_is_told_of_each(operator, machines):
    done = text_of(operator.post("/many/power/", {"machines": ids(machines), "action": "explode"}, follow=True))
    assert "Not done: 4" in done
    assert "there is no power command" in done


def test_inspecting_many(operator, machines):
    scenes.start(machines[0], installing.make_image())
    done = text_of(operator.post("/many/inspect/", {"machines": ids(machines)}, follow=True))
    assert "node1 is in the hands of install" in done
    assert "Done: 3" in done
    assert Install.objects.filter(method="inspect").count() == 3


def test_setting_many_aside_needs_a_reason(operator, machines):
    refused = operator.post("/many/aside/", {"machines": ids(machines), "why": ""})
    assert refused.status_code == 422
    assert "Say why" in text_of(refused)
    operator.post("/many/aside/", {"machines": ids(machines), "why": "rack 3 is moved"})
    assert set(Machine.objects.values_list("state", "aside_why", "aside_by")) == {
        ("aside", "rack 3 is moved", "operator")
    }


def test_many_are_put_into_a_cluster_and_out_of_it(operator, machines):
    web = Cluster.objects.create(name="web")
    operator.post("/many/cluster/", {"machines": ids(machines), "cluster": web.pk})
    assert Machine.objects.filter(cluster=web).count() == 4
    assert "is gone" in text_of(operator.post("/many/cluster/", {"machines": ids(machines), "cluster": "999"}))
    operator.post("/many/cluster/", {"machines": ids(machines), "cluster": ""})
    assert not Machine.objects.filter(cluster=web).exists()


def test_a_verb_that_does_not_exist_is_not_there(operator):
    assert operator.get("/many/explode/").status_code == 404
    assert operator.post("/many/explode/").status_code == 404


def test_too_many_are_refused_as_a_whole(operator, machines, monkeypatch):
    from machines import many

    monkeypatch.setattr(many, "LIMIT", 3)
    said = text_of(operator.get(f"/many/power/?machines={ids(machines)}"))
    assert "These are 4 machines: choose at most 3." in said
    assert "No machine is chosen" in said


@pytest.mark.parametrize(
    ("count", "names", "typed", "accepted"),
    [
        (5, (), {}, True), (6, (), {}, False), (6, (), {"typed_count": "6"}, True),
        (1, ("a",), {"typed_count": "1"}, False),
        (1, ("a",), {"typed_count": "1", "typed_names": "a"}, True),
        (2, ("a", "b"), {"typed_count": "2", "typed_names": "a b c"}, False),
    ],
)  # fmt: skip
def test_what_confirms(count, names, typed, accepted):
    assert (Confirmation(count, names).problem(typed) == "") is accepted
