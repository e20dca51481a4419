"""The plan binds (T26): what was approved is installed, exactly that, or nothing; over pages and commands."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from installs import actions, many, plan
from installs.models import Image, Install
from machines.models import Bmc, Disk, Interface, Machine, MachineType
from machines.power import fake
from tests import installing, scenes
from tests.guarantees.tally import Tally, rounds
from tests.test_pages_content import text_of

OTHER_DIGEST = "cd" * 32


@dataclass(frozen=True)
class Change:
    """Something that somebody changes under an approved plan, and the fact that must be named for it."""

    fact: str
    make: Callable[[Machine, Image], Any]


def _machine(**fields: Any) -> Callable[[Machine, Image], Any]:
    return lambda machine, image: Machine.objects.filter(pk=machine.pk).update(**fields)


def _disk(**fields: Any) -> Callable[[Machine, Image], Any]:
    return lambda machine, image: machine.disks.filter(is_root=True).update(**fields)


def _image(**fields: Any) -> Callable[[Machine, Image], Any]:
    return lambda machine, image: Image.objects.filter(pk=image.pk).update(**fields)


def _another_file(machine: Machine, image: Image) -> None:
    _image(sha256=OTHER_DIGEST)(machine, image)
    plan.image_file(Image(sha256=OTHER_DIGEST)).touch()


def _another_root(machine: Machine, image: Image) -> None:
    machine.disks.update(is_root=False)
    Disk.objects.create(machine=machine, serial="OTHER", size_bytes=200 * installing.GIB, path="/dev/sdb", is_root=True)


def _another_card(machine: Machine, image: Image) -> None:
    Interface.objects.create(machine=machine, mac="52:54:00:99:99:99")


ALWAYS = {
    "renamed": Change("the machine", _machine(name="node9")),
    "serial number": Change("the machine", _machine(serial="SN9")),
    "system UUID": Change("the machine", _machine(uuid="5f0f3fd4-0000-4000-8000-00000000000a")),
    "a card more": Change("the machine", _another_card),
    "another MAC": Change("the machine", lambda m, i: m.interfaces.update(mac="52:54:00:99:99:98")),
    "another BMC": Change("the machine", lambda m, i: Bmc.objects.filter(machine=m).update(host="10.9.9.9")),
    "disk's serial number": Change("the disk", _disk(serial="DISK9")),
    "disk's WWN": Change("the disk", _disk(wwn="0x5000c500a1b2c3d4")),
    "disk's size": Change("the disk", _disk(size_bytes=150 * installing.GIB)),
    "another root disk": Change("the disk", _another_root),
    "image's file": Change("the image", _another_file),
    "image's kernel line": Change("the image", _image(kernel_args="nosmt")),
    "image's kind": Change("the image", _image(kind="tar.zst")),
    "root's size": Change("the layout", _image(root_mib=20_000)),
    "swap": Change("the layout", _image(swap_mib=1024)),
    "ephemeral": Change("the layout", _image(ephemeral_mib=1024)),
    "kdump": Change("the layout", _image(kdump_mib=256)),
}
BEFORE_THE_START = {
    "in use now": Change("the machine", _machine(state="in_use")),
    "data on the disk": Change("the machine", _disk(signatures=[{"type": "LVM2_member"}])),
    "how it boots": Change(
        "the way it is booted", lambda m, i: MachineType.objects.filter(pk=m.type_id).update(kernel_args="maxcpus=1")
    ),
}


@pytest.fixture(autouse=True)
def _fake_power():
    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture
def machine(db) -> Machine:
    kind = MachineType.objects.create(name="r640")
    return installing.make_machine(type=kind)


@pytest.fixture
def image(db) -> Image:
    return installing.make_image()


@pytest.fixture
def operator(client, db):
    client.force_login(scenes.make_user("operator"))
    return client


def approved_on(page: Any) -> dict[str, str]:
    form = page.content.decode().split('class="confirm card"')[1].split("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def counted(guarantee: Any, says: str) -> Tally:
    return guarantee("T26", says)


@pytest.mark.parametrize("name", [*ALWAYS, *BEFORE_THE_START])
def test_what_changed_between_view_and_start_is_refused_by_name(machine, image, operator, guarantee, name):
    change = (ALWAYS | BEFORE_THE_START)[name]
    approved = approved_on(operator.get(f"/machines/node1/install/?image={image.pk}"))
    digest = plan.for_install(machine, image).digest
    tally = counted(guarantee, "A plan that changed between view, confirmation and start installs nothing")
    change.make(machine, image)
    machine, image = Machine.objects.get(pk=machine.pk), Image.objects.get(pk=image.pk)
    with tally.trial():
        answer = operator.post(f"/machines/{machine.name}/install/", approved | {"typed": machine.name})
        assert answer.status_code == 409
        assert change.fact in text_of(answer)
    with tally.trial(), pytest.raises(actions.Refused, match=change.fact):
        actions.start_install(machine, image, by="tester", approved=digest)
    with tally.trial(), pytest.raises(CommandError, match="not the one with this digest"):
        call_command("install", machine.name, image.name, confirm=digest)
    assert not Install.objects.exists()


@pytest.mark.parametrize("name", [*ALWAYS, *BEFORE_THE_START])
def test_what_changed_in_a_list_is_refused_by_name(machine, image, operator, guarantee, name):
    change, other = (ALWAYS | BEFORE_THE_START)[name], installing.make_machine("other", number=7)
    address = f"/many/install/?image={image.pk}&machines={machine.pk},{other.pk}"
    approved = approved_on(operator.get(address))
    tally = counted(guarantee, "A list of plans that changed between view and confirmation installs nothing")
    change.make(machine, image)
    now = Machine.objects.get(pk=machine.pk).name
    with tally.trial():
        answer = operator.post("/many/install/", approved | {"typed_count": "2", "typed_names": now})
        assert answer.status_code == 409
        assert change.fact in text_of(answer)
    assert not Install.objects.exists()


@pytest.mark.parametrize("name", ALWAYS)
def test_what_changed_between_start_and_grant_writes_nothing(machine, image, guarantee, name):
    """The machine is honest in all it says: only what was approved is no longer so."""
    install, server = scenes.until_installer(machine, image)
    facts = installing.facts_of(machine, server.boot_id)
    tally = counted(guarantee, "A plan that changed between start and write grant gets no grant")
    ALWAYS[name].make(machine, image)
    server.machine = Machine.objects.get(pk=machine.pk)
    with tally.trial():
        answer = server.ask_grant(**{key: facts[key] for key in ("disks", "interfaces", "serial", "uuid")})
        install.refresh_from_db()
        assert "DODAI_GRANTED=no" in answer
        assert install.granted_at is None
        assert f"{ALWAYS[name].fact} changed after the plan was approved" in install.error
        assert install.cause == "plan"


def test_a_stored_plan_that_somebody_wrote_over_gets_no_grant(machine, image, guarantee):
    install, server = scenes.until_installer(machine, image)
    tally = counted(guarantee, "A plan that changed between start and write grant gets no grant")
    for path in (("disk", "serial"), ("image", "sha256"), ("layout", "root")):
        stored = Install.objects.get(pk=install.pk).plan
        stored[path[0]][path[1]] = "X"
    Install.objects.filter(pk=install.pk).update(plan=stored)
    with tally.trial():
        assert "DODAI_GRANTED=no" in server.ask_grant()
    assert "the stored plan changed" in Install.objects.get(pk=install.pk).error


def test_an_unchanged_plan_is_granted(image, guarantee):
    """Else all of the above would be true of a Dodai that refuses everything."""
    tally = counted(guarantee, "A plan that nobody changed is installed")
    for number in range(1, rounds(3, 60)):
        with tally.trial():
            assert scenes.installed(installing.make_machine(f"n{number}", number=number), image).granted_at


@pytest.mark.parametrize("count", [2, 6, 20])
def test_a_list_with_one_more_one_less_or_another_is_refused(image, operator, guarantee, count):
    machines = [installing.make_machine(f"n{number}", number=number) for number in range(1, count + 2)]
    tally = counted(guarantee, "A list that is not the one that was shown installs nothing")
    shown = machines[:count]
    approved = approved_on(operator.get(f"/many/install/?image={image.pk}&machines={ids(shown)}"))
    for sent in (machines, shown[1:], [*shown[1:], machines[-1]]):
        typed = {"machines": ids(sent), "typed_count": str(len(sent))}
        with tally.trial():
            assert operator.post("/many/install/", approved | typed).status_code in (409, 422)
            assert not Install.objects.exists()


@pytest.mark.parametrize("used", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 5, 6, 12])
def test_more_than_five_are_counted_and_those_in_use_named(image, operator, guarantee, count, used):
    if used > count:
        pytest.skip("more in use than there are")
    machines = [
        installing.make_machine(f"n{number}", number=number, state="in_use" if number <= used else "free")
        for number in range(1, count + 1)
    ]
    names = [machine.name for machine in machines[:used]]
    approved = approved_on(operator.get(f"/many/install/?image={image.pk}&machines={ids(machines)}"))
    right = {"typed_count": str(count), "typed_names": " ".join(names)}
    wrong = [
        right | {"typed_count": str(count - 1)}, right | {"typed_count": ""}, right | {"typed_count": "all"},
        right | {"typed_names": " ".join(names[1:])} if names else {}, right | {"typed_names": "n99"} if names else {},
    ]  # fmt: skip
    tally = counted(guarantee, "More than five machines want their number typed, those in use their names")
    if count > 5 or used:
        for typed in wrong:
            with tally.trial():
                assert operator.post("/many/install/", approved | typed).status_code == 422
                assert not Install.objects.exists()
    with tally.trial():
        assert operator.post("/many/install/", approved | right).status_code == 302
        assert Install.objects.count() == count


def test_the_command_wants_the_name_of_what_is_in_use(machine, image, guarantee):
    Machine.objects.update(state="in_use")
    tally = counted(guarantee, "A command installs what is in use only with its name or digest")
    for answers in ({"yes": True}, {"confirm": "node2"}, {"confirm": "0" * 64}):
        with tally.trial(), pytest.raises(CommandError):
            call_command("install", "node1", image.name, **answers)
    for typed in ("", "yes", "node2"):
        with tally.trial(), mock.patch("builtins.input", return_value=typed), pytest.raises(CommandError):
            call_command("install", "node1", image.name)
    assert not Install.objects.exists()
    with tally.trial():
        call_command("install", "node1", image.name, confirm=plan.for_install(machine_now(), image).digest)
        assert Install.objects.count() == 1


def test_the_command_for_many_wants_count_and_names(image, guarantee, settings):
    settings.MANY_INSTALLS = 1
    machines = [installing.make_machine(f"n{number}", number=number) for number in range(1, 8)]
    Machine.objects.filter(name="n3").update(state="in_use")
    names = [machine.name for machine in machines]
    tally = counted(guarantee, "A command installs many only with their number and names, or their digest")
    for typed in (["6", "n3"], ["7", ""], ["", "n3"], ["7", "n3 n4"]):
        with tally.trial(), mock.patch("builtins.input", side_effect=typed), pytest.raises(CommandError):
            call_command("wave", "start", image.name, *names)
    shorter = many.plans(list(Machine.objects.exclude(name="n7")), image).digest
    for digest in ("", "0" * 64, shorter):
        with tally.trial(), pytest.raises(CommandError, match="not the one with this digest"):
            call_command("wave", "start", image.name, *names, confirm=digest)
    assert not image.waves.exclude(state="cancelled").exists()
    with tally.trial(), mock.patch("builtins.input", side_effect=["7", "n3"]):
        call_command("wave", "start", image.name, *names)
    assert image.waves.get().state == "running"


def machine_now() -> Machine:
    return Machine.objects.get(name="node1")


def ids(machines: list[Machine]) -> str:
    return ",".join(str(machine.pk) for machine in machines)
