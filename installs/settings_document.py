"""The settings of an installed OS, one document for all methods, given out with the write grant only."""

from typing import Any

from django.conf import settings
from django.utils.timezone import now

from installs import scripts, tokens
from installs.models import Install, SshKey
from machines.models import Interface, Machine


def document(install: Install, first_boot_token: str) -> dict[str, Any]:
    """What an installed OS is told, whatever installs it. Secret: the first-boot URL speaks for the machine.

    `network` is a list of `mac`, `address` ("" is DHCP, else with its prefix), `gateway` and `dns`, a list; `sign` is
    what the OS's SSH server shows until the OS has called (see `witness`).
    """
    first_boot_url = f"{install.plan['provision_url']}/first-boot/{first_boot_token}"
    sign = tokens.sign(tokens.digest(first_boot_token))
    return document_of(install.machine, install.plan) | {"first_boot_url": first_boot_url, "sign": sign}


def document_of(machine: Machine, plan: dict[str, Any]) -> dict[str, Any]:
    """The part of it that is no secret, and that is known before there is an install."""
    keys = SshKey.objects.order_by("name").values_list("public_key", flat=True)
    return {
        "hostname": machine.name,
        "authorized_keys": list(keys),
        "network": [_card(card) for card in machine.interfaces.all()],
        "timezone": settings.TIME_ZONE,
        "kernel_args": _kernel_args(plan),
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
            "NETWORK": "\n".join(_network_line(card) for card in told["network"]),
            "FIRST_BOOT_URL": told["first_boot_url"],
            "SIGN": told["sign"],
            "TIME": int(now().timestamp()), "TIMEZONE": told["timezone"],
            "BOOT_ORDER": plan["boot_order"], "KERNEL_ARGS": told["kernel_args"],
            "RESTART_ITSELF": "yes" if plan["restarts_itself"] else "no",
        },
    )  # fmt: skip


def _card(card: Interface) -> dict[str, Any]:
    servers = [server.strip() for server in card.dns.split(",") if server.strip()]
    return {"mac": card.mac, "address": card.address or "", "gateway": card.gateway or "", "dns": servers}


def _network_line(card: dict[str, Any]) -> str:
    if not card["address"]:
        return f"{card['mac']} dhcp"
    return f"{card['mac']} {card['address']} {card['gateway'] or '-'} {','.join(card['dns']) or '-'}"


def _kernel_args(plan: dict[str, Any]) -> str:
    return " ".join(f"{plan['kernel_args']} {plan['image_kernel_args']}".split())
