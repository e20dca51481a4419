"""What an installed OS is told: accounts, cards, bonds and VLANs, commands for its first boot."""

import subprocess

import pytest
from django.core.exceptions import ValidationError

from installs import flow, plan
from installs.models import Event, Install, SshKey
from installs.settings_document import document_of, shell_settings
from machines.models import Link
from tests import installing

KEY = "ssh-ed25519 " + "A" * 60
SECOND, THIRD = "52:54:00:00:01:02", "52:54:00:00:01:03"


@pytest.fixture
def machine(db, fake_power, named_ramdisk):
    """One card by DHCP, two in a bond that carries a VLAN, one for storage."""
    machine = installing.make_machine()
    for mac in (SECOND, THIRD):
        machine.interfaces.create(mac=mac, bond="bond0")
    machine.interfaces.create(mac="52:54:00:00:01:04", role="storage", address="10.9.0.5/24", gateway="10.9.0.1")
    machine.links.create(kind="bond", name="bond0", mode="802.3ad", address="10.0.0.5/24", dns="10.0.0.1, 10.0.0.2")
    machine.links.create(kind="vlan", name="vlan210", vid=210, over="bond0", address="dhcp")
    return machine


def told(machine, **columns) -> dict[str, str]:
    """The variables as a shell reads them."""
    install = installing.start(machine, installing.make_image(**columns))
    text = shell_settings(install, "t" * 43)
    names = ("NETWORK", "ACCOUNTS", "AUTHORIZED_KEYS", "FIRST_BOOT_COMMANDS")
    shown = "".join(f"printf '%s\\0' \"$DODAI_{name}\"\n" for name in names)
    said = subprocess.run(["sh", "-euc", text + shown], capture_output=True, text=True, timeout=60, check=True).stdout
    return dict(zip(names, said.split("\0"), strict=False))


def test_cards_bonds_and_vlans_are_lines(machine):
    assert told(machine)["NETWORK"].splitlines() == [
        "52:54:00:00:00:01 dhcp",
        "52:54:00:00:01:02 none - - service bond0",
        "52:54:00:00:01:03 none - - service bond0",
        "52:54:00:00:01:04 10.9.0.5/24 10.9.0.1 - storage",
        "bond bond0 10.0.0.5/24 - 10.0.0.1,10.0.0.2 802.3ad",
        "vlan vlan210 dhcp - - 210 bond0",
    ]


def test_templates_of_installers_see_them(machine):
    said = document_of(machine, plan.for_install(machine, installing.make_image()).frozen)
    assert said["bonds"] == [
        {"name": "bond0", "mode": "802.3ad", "cards": [SECOND, THIRD], "address": "10.0.0.5/24", "gateway": "",
         "dns": ["10.0.0.1", "10.0.0.2"]},
    ]  # fmt: skip
    assert said["vlans"] == [
        {"name": "vlan210", "vid": 210, "over": "bond0", "address": "dhcp", "gateway": "", "dns": []}
    ]
    assert [card["role"] for card in said["network"]] == ["service", "service", "service", "storage"]


def test_each_key_opens_its_account(machine):
    for number, account in enumerate(("root", "ada", "ada", "bob")):
        SshKey.objects.create(name=f"key{number}", account=account, public_key=f"{KEY} {number}")
    said = told(machine)
    assert said["AUTHORIZED_KEYS"] == f"{KEY} 0"
    assert said["ACCOUNTS"].splitlines() == [f"ada {KEY} 1", f"ada {KEY} 2", f"bob {KEY} 3"]


@pytest.mark.parametrize("account", ["Root", "a b", "../x", "a\nb", "-x", "a:b", "x" * 32])
def test_an_account_has_a_name_that_systems_take(db, account):
    with pytest.raises(ValidationError):
        SshKey(name="k", account=account, public_key=KEY).full_clean()


def test_commands_become_a_program_and_are_part_of_the_plan(machine):
    assert told(machine, first_boot_commands="echo 'a'\r\ntouch /b")["FIRST_BOOT_COMMANDS"] == (
        "#!/bin/sh\necho 'a'\ntouch /b"
    )
    install = Install.objects.get()
    install.image.first_boot_commands = "other"
    install.image.save()
    assert plan.for_install(machine, install.image).digest != install.plan_digest


@pytest.mark.parametrize(("code", "alerts"), [("0", 0), ("", 0), ("7", 1), ("x; rm", 0), ("9999", 0)])
def test_commands_that_failed_are_told_and_the_install_is_done(machine, client, code, alerts):
    install, server = installing.start(machine), installing.Server(machine)
    flow.begin_next()
    while flow.run_due() and not server.boot():
        pass
    granted = server.ask_grant()
    assert server.finish_first_boot(granted, commands=code) == "applied"
    while flow.run_due():
        pass
    install.refresh_from_db()
    assert install.state == "installed"
    found = install.events.filter(kind=Event.Kind.ALERT, name="first-boot-commands")
    assert found.count() == alerts
    assert not alerts or "ended with 7" in found.get().text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.links.filter(name="bond0").delete(), "which node1 does not have"),
        (lambda m: m.interfaces.update(bond=""), "has no card"),
        (lambda m: m.links.filter(name="vlan210").update(over="bond9"), "no card and no bond of node1"),
    ],
)
def test_what_does_not_fit_together_is_said_in_the_plan(machine, change, words):
    change(machine)
    assert any(words in problem for problem in plan.for_install(machine, installing.make_image()).problems)


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"kind": "bond", "name": "bond1"}, "mode"),
        ({"kind": "vlan", "name": "v1", "over": "bond0"}, "vid"),
        ({"kind": "vlan", "name": "v1", "vid": 7}, "over"),
        ({"kind": "vlan", "name": "v1", "vid": 4095, "over": "bond0"}, "vid"),
        ({"kind": "vlan", "name": "a b", "vid": 7, "over": "bond0"}, "name"),
        ({"kind": "vlan", "name": "dodai0", "vid": 7, "over": "bond0"}, "name"),
        ({"kind": "vlan", "name": "v1", "vid": 7, "over": "bond0", "address": "10.0.0.1"}, "address"),
        ({"kind": "vlan", "name": "v1", "vid": 7, "over": "bond0", "address": "10.0.0.1/24\nx"}, "address"),
    ],
)
def test_a_bond_or_vlan_that_is_none_is_refused(machine, fields, column):
    with pytest.raises(ValidationError) as refused:
        Link(machine=machine, **fields).full_clean()
    assert column in refused.value.message_dict
