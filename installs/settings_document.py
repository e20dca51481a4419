"""The settings of an installed OS, one document for all methods, given out with the write grant only."""

from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils.timezone import now

from installs import scripts, tokens
from installs.handover import keypair
from installs.models import ROOT, Install, SshKey
from machines.models import Interface, Link, Machine


def document(install: Install, first_boot_token: str) -> dict[str, Any]:
    """What an installed OS is told, whatever installs it. Secret: the first-boot URL speaks for the machine.

    `accounts` is a list of `name` and `keys`; those of root are `authorized_keys`. `network` is a list of cards: `mac`,
    `address` ("" is DHCP, else with its prefix), `gateway`, `dns` (a list), `role`, and `bond` ("", or the name of the
    one that has the address instead). `bonds` have `name`, `mode` and `cards` (MACs), `vlans` have `name`, `vid` and
    `over` (a MAC or a bond); the address of both may be "dhcp" or "", which is none. `sign` is what the OS's SSH server
    shows until the OS has called (see `witness`).
    """
    first_boot_url = f"{install.plan['provision_url']}/first-boot/{first_boot_token}"
    sign = tokens.sign(tokens.digest(first_boot_token))
    told = document_of(install.machine, install.plan) | {"first_boot_url": first_boot_url, "sign": sign}
    own_key = keypair.public_key(install)  # by which Dodai hands the machine over
    return told | {"authorized_keys": [*told["authorized_keys"], own_key]} if own_key else told


def document_of(machine: Machine, plan: dict[str, Any]) -> dict[str, Any]:
    """The part of it that is no secret, and that is known before there is an install."""
    accounts = _accounts(machine)
    return {
        "hostname": machine.name,
        "authorized_keys": accounts.pop(ROOT, []),
        "accounts": [{"name": name, "keys": keys} for name, keys in accounts.items()],
        **network_of(machine),
        "timezone": settings.TIME_ZONE,
        "kernel_args": _kernel_args(plan),
        "first_boot_commands": _as_program(plan.get("first_boot_commands", "")),
    }


def network_of(machine: Machine) -> dict[str, list[dict[str, Any]]]:
    cards, links = list(machine.interfaces.all()), list(machine.links.all())
    return {
        "network": [_card(card) for card in cards],
        "bonds": [
            {"name": link.name, "mode": link.mode, "cards": [card.mac for card in cards if card.bond == link.name]}
            | _addresses(link)
            for link in links
            if link.kind == Link.Kind.BOND
        ],
        "vlans": [
            {"name": link.name, "vid": link.vid, "over": link.over} | _addresses(link)
            for link in links
            if link.kind == Link.Kind.VLAN
        ],
    }


def shell_settings(install: Install, first_boot_token: str) -> str:
    """The answer to a granted request: shell assignments, whose names begin with DODAI_."""
    plan = install.plan
    layout, told = plan["layout"], document(install, first_boot_token)
    return scripts.render(
        "boot/granted.sh",
        settings={
            "HOSTNAME": told["hostname"],
            "AUTHORIZED_KEYS": "\n".join(told["authorized_keys"]),
            "ROOT_BYTES": layout["root"], "SWAP_BYTES": layout["swap"], "KDUMP_BYTES": layout["kdump"],
            "EPHEMERAL_BYTES": layout["ephemeral"],
            "ACCOUNTS": "\n".join(f"{one['name']} {key}" for one in told["accounts"] for key in one["keys"]),
            "FIRST_BOOT_COMMANDS": told["first_boot_commands"],
            "NETWORK": network_lines(told),
            "FIRST_BOOT_URL": told["first_boot_url"],
            "SIGN": told["sign"],
            "TIME": int(now().timestamp()), "TIMEZONE": told["timezone"],
            "BOOT_ORDER": plan["boot_order"], "KERNEL_ARGS": told["kernel_args"],
            "RESTART_ITSELF": "yes" if plan["restarts_itself"] else "no",
        },
    )  # fmt: skip


def _accounts(machine: Machine) -> dict[str, list[str]]:
    """By the keys of all machines, and those of its cluster."""
    found: dict[str, list[str]] = {}
    keys = SshKey.objects.filter(Q(clusters=None) | Q(clusters=machine.cluster_id, clusters__isnull=False))
    for account, key in keys.order_by("account", "name").values_list("account", "public_key"):
        found.setdefault(account, []).append(key)
    return found


def _as_program(commands: str) -> str:
    text = commands.replace("\r\n", "\n").strip()
    return text if text.startswith("#!") or not text else f"#!/bin/sh\n{text}"


def _card(card: Interface) -> dict[str, Any]:
    return {"mac": card.mac, "role": card.role, "bond": card.bond} | _addresses(card)


def _addresses(one: Interface | Link) -> dict[str, Any]:
    servers = [server.strip() for server in one.dns.split(",") if server.strip()]
    return {"address": one.address or "", "gateway": one.gateway or "", "dns": servers}


def network_lines(told: dict[str, Any]) -> str:
    """A line each, a dash where there is nothing; what scripts/network.sh reads."""
    lines = [_card_line(card) for card in told["network"]]
    lines += [f"bond {_address_words(bond, bond['name'])} {bond['mode']}" for bond in told["bonds"]]
    lines += [f"vlan {_address_words(vlan, vlan['name'])} {vlan['vid']} {vlan['over']}" for vlan in told["vlans"]]
    return "\n".join(lines)


def _card_line(card: dict[str, Any]) -> str:
    """Short where nothing is special: systems that run from memory read it by a script of their first day."""
    if card["bond"]:
        return f"{card['mac']} none - - {card['role']} {card['bond']}"
    role = "" if card["role"] == Interface.Role.SERVICE else f" {card['role']}"
    if not card["address"]:
        return f"{card['mac']} dhcp - -{role}" if role else f"{card['mac']} dhcp"
    return _address_words(card, card["mac"]) + role


def _address_words(one: dict[str, Any], name: str) -> str:
    return f"{name} {one['address'] or 'none'} {one['gateway'] or '-'} {','.join(one['dns']) or '-'}"


def _kernel_args(plan: dict[str, Any]) -> str:
    return " ".join(f"{plan['kernel_args']} {plan['image_kernel_args']}".split())
