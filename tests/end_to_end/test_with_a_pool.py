"""Warm machines in the lab's switch: handed over, moved between clusters, released, and the release undone."""

import pytest

from tests.end_to_end import warm
from tests.end_to_end.dodai import Dodai, wait_until
from tests.end_to_end.warm import DB, QUARANTINE, SERVERS, WEB

FIRST, SECOND = SERVERS
OPERATION_SECONDS, BOOT_SECONDS = 300, 400
ASK = """
from installs.releasing import release as releasing
from machines.models import Cluster
m = Machine.objects.get(name={name!r})
"""


@pytest.fixture(scope="module")
def dodai(tmp_path_factory):
    with warm.running(tmp_path_factory.mktemp("pool")) as dodai:
        yield dodai


@pytest.fixture(scope="module")
def handed(dodai: Dodai) -> dict[str, dict]:
    assert all("key" not in said for said in warm.ports(dodai))
    return {name: warm.hand_over(dodai, name) for name in SERVERS}


def ask(dodai: Dodai, name: str, verb: str) -> None:
    """Asks for an operation and waits for its end."""
    number = dodai.database(ASK.format(name=name) + f"releasing.{verb}.pk")
    state = f"Install.objects.get(pk={number}).state"
    wait_until(
        lambda: dodai.database(state) in ("installed", "failed"), seconds=OPERATION_SECONDS, what=verb,
        story=lambda: str(dodai.last_install(name)),
    )  # fmt: skip
    assert dodai.database(state) == "installed", dodai.last_install(name)


def reaches(dodai: Dodai, name: str, address: str) -> bool:
    """By its service card. The machine itself is reached by the card that it was installed by."""
    done = dodai.ssh(name, f"ping -c 2 -W 2 {address}", key=dodai.ssh_key)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def give_address(dodai: Dodai, name: str) -> str:
    """What the hand-over wrote down the OS of this image takes at its next start: here it takes it at once."""
    mac, address = dodai.database(f"Machine.objects.get(name={name!r}).interfaces.values_list('mac', 'address')"
                                  ".get(switch__isnull=False)")  # fmt: skip
    card = f"$(grep -il {mac} /sys/class/net/*/address | cut -d/ -f5)"
    done = dodai.ssh(name, f"ip addr add {address} dev {card}; grep -i {mac} /etc/dodai/network", key=dodai.ssh_key)
    assert address in done.stdout, done.stderr
    return address.partition("/")[0]


@pytest.mark.parametrize("name", SERVERS)
def test_a_warm_machine_is_handed_over(dodai, handed, name):
    """To whom its key was never told before; the seconds are for whoever reads them."""
    found = handed[name]
    print(f"{name}: handed over in {found['handed_over']:.2f} s, in by SSH after {found['seconds']:.2f} s: {found}")
    assert (found["state"], found["error"], found["inside"]) == ("installed", "", f"{name}\n"), found
    assert warm.ports(dodai)[name] == WEB
    assert warm.states(dodai)[name] == "in_use"
    left = dodai.ssh(name, "cat /root/.ssh/authorized_keys", key=dodai.ssh_key).stdout
    assert "dodai-until-hand-over" not in left and len(left.splitlines()) == 1


def test_in_one_vlan_they_reach_each_other_and_in_two_they_do_not(dodai, handed):
    addresses = {name: give_address(dodai, name) for name in SERVERS}
    assert reaches(dodai, FIRST, addresses[SECOND])
    ask(dodai, SECOND, "move_to(m, Cluster.objects.get(name='db'), by='ada')")
    assert warm.ports(dodai) == {FIRST: WEB, SECOND: DB}
    assert not reaches(dodai, FIRST, addresses[SECOND])
    ask(dodai, SECOND, "move_to(m, Cluster.objects.get(name='web'), by='ada')")
    assert reaches(dodai, FIRST, addresses[SECOND])


def test_a_release_parks_it_and_undone_it_is_its_owners_again(dodai, handed):
    ask(dodai, FIRST, "release(m, by='ada')")
    assert (dodai.lab(FIRST)["power"], warm.ports(dodai)[FIRST], warm.states(dodai)[FIRST]) == (
        "off", QUARANTINE, "releasing",
    )  # fmt: skip
    before = len(dodai.console(FIRST))
    ask(dodai, FIRST, "undo_release(m, by='ada')")
    assert (warm.ports(dodai)[FIRST], warm.states(dodai)[FIRST]) == (WEB, "in_use")
    wait_until(
        lambda: f"tiny: up as {FIRST}" in dodai.console(FIRST)[before:], seconds=BOOT_SECONDS, what="its OS",
        story=lambda: dodai.console(FIRST)[-3000:],
    )  # fmt: skip
    assert dodai.ssh(FIRST, "hostname", key=dodai.ssh_key).stdout == f"{FIRST}\n"
