"""The write grant: who may write, on which disk, and how often."""

import re
import uuid

import pytest

from installs import actions
from installs.models import Event, Install
from machines.models import Machine
from tests import installing

pytestmark = pytest.mark.django_db


@pytest.fixture
def install(machine, server, steps) -> Install:
    """An install whose machine runs its script and is about to ask for the grant."""
    install = installing.start(machine)
    steps()
    assert server.boot()
    server.say("install")
    return install


def fresh(install: Install) -> Install:
    return Install.objects.get(pk=install.pk)


def test_the_planned_machine_and_disk_are_granted_with_the_settings(install, server):
    answer = server.ask_grant()
    assert "DODAI_GRANTED=yes" in answer
    assert "DODAI_HOSTNAME=node1" in answer
    assert f"DODAI_SWAP_BYTES={512 << 20}" in answer
    assert "/first-boot/" in answer
    assert fresh(install).granted_boot_id == server.boot_id


def test_the_same_boot_may_ask_again_and_gets_a_token_that_works(install, server):
    server.ask_grant()
    again = server.ask_grant()
    assert "DODAI_GRANTED=yes" in again
    server.say("install_reboot")
    assert server.finish_first_boot(again) == "applied"


def but_time(answer: str) -> str:
    """The answer without what is another in each second."""
    return re.sub("^DODAI_TIME=.*\n", "", answer, flags=re.MULTILINE)


def test_who_asks_again_is_told_the_same_so_that_no_late_request_voids_it(install, server):
    """A request that was long under way is answered last, when the machine holds the answer to the next one."""
    heard, again = server.ask_grant(), server.ask_grant()
    assert heard != but_time(heard) == but_time(again)
    assert server.finish_first_boot(heard) == "applied"


def test_who_fetches_its_script_again_is_told_the_same_token(machine, server, steps):
    installing.start(machine)
    steps()
    path = server.ask_boot().partition("/script/")[2].split()[0]
    boot_id = str(uuid.uuid4())
    assert server.fetch_script(path, boot_id)
    token = server.token
    assert server.fetch_script(path, boot_id)
    assert server.token == token
    assert server.say("install") == "applied"


def test_another_boot_of_the_same_machine_is_never_granted(machine, steps):
    """Firmware booted twice: both kernels run, one of them wrote already."""
    install = installing.start(machine)
    steps()
    first, second = installing.Server(machine), installing.Server(machine)
    assert first.boot()
    assert second.boot()
    assert "DODAI_GRANTED=yes" in first.ask_grant()
    assert "DODAI_GRANTED=no" in second.ask_grant()
    assert fresh(install).granted_boot_id == first.boot_id
    assert fresh(install).events.filter(kind=Event.Kind.ALERT).exists()
    assert second.say("install_reboot", status=410) == "ended"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"serial": "OTHER"}, "serial number is OTHER, the inventory says SN1"),
        ({"serial": "To Be Filled By O.E.M."}, "serial number is empty"),
        ({"uuid": str(uuid.UUID(int=99))}, "system UUID is"),
        ({"interfaces": [{"mac": "52:54:00:00:00:99"}]}, "network card 52:54:00:00:00:01"),
    ],
)
def test_another_machine_is_refused_with_the_fact_that_differs(install, server, changes, words):
    answer = server.ask_grant(**changes)
    assert "DODAI_GRANTED=no" in answer
    ended = fresh(install)
    assert (ended.state, ended.cause, ended.granted_at) == ("stopping", "identity", None)
    assert words in ended.error
    assert "Nothing was written" in ended.error


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        ({"serial": "OTHER"}, "the disk's serial is OTHER, the plan says DISK1"),
        ({"size_bytes": 5}, "size bytes is 5"),
    ],
)
def test_another_disk_is_refused(install, server, machine, disk, words):
    planned = {"path": "/dev/sda", "serial": "DISK1", "wwn": "", "size_bytes": 100 * installing.GIB}
    answer = server.ask_grant(disk=planned | disk)
    assert "DODAI_GRANTED=no" in answer
    assert (fresh(install).cause, fresh(install).granted_at) == ("disk", None)
    assert words in fresh(install).error


def test_two_disks_of_one_serial_number_are_refused(install, server, machine):
    disk = {"path": "/dev/sda", "serial": "DISK1", "wwn": "", "size_bytes": 100 * installing.GIB}
    answer = server.ask_grant(disk=disk, disks=[disk, disk | {"path": "/dev/sdb"}])
    assert "DODAI_GRANTED=no" in answer
    assert "2 disks" in fresh(install).error


def test_the_uuid_in_ipmi_byte_order_is_the_same_machine(install, server, machine):
    swapped = uuid.UUID(bytes_le=uuid.UUID(machine.uuid).bytes)
    assert "DODAI_GRANTED=yes" in server.ask_grant(uuid=str(swapped).upper())


def test_a_machine_that_was_protected_meanwhile_is_refused(install, server):
    Machine.objects.update(protected=True)
    assert "DODAI_GRANTED=no" in server.ask_grant()
    assert fresh(install).cause == "protected"


def test_after_the_end_every_call_is_410(install, server):
    actions.cancel(install, by="tester")
    server.ask_grant(status=410)
    assert server.say("progress", {"phase": "copy"}, status=410) == "ended"
    assert server.say("install_reboot", status=410) == "ended"
    assert server.say("log", status=410) == "ended"


def test_a_kernel_that_did_not_fetch_the_script_is_refused(install, server):
    assert "DODAI_GRANTED=no" in server.ask_grant(boot_id=str(uuid.uuid4()))
    assert fresh(install).granted_at is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"disks": 3}', b'{"disk": {"size_bytes": "x"}}', b"[" * 100_000])
def test_garbage_is_400_and_changes_nothing(install, server, body):
    headers = {"Authorization": f"Bearer {server.token}"}
    assert server.client.post("/grant", body, "application/json", headers=headers).status_code == 400
    assert fresh(install).state == "waiting"


def test_no_secret_is_given_before_the_grant(install, server):
    """A boot script may be fetched by whoever knows a MAC."""
    assert "/first-boot/" not in install.script.text
    assert "DODAI_AUTHORIZED_KEYS=" not in install.script.text.replace("${", "")
