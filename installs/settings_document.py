"""The settings of an installed OS, one document for all methods, given out with the write grant only."""

from typing import Any

from django.conf import settings
from django.utils.timezone import now

from installs import scripts, tokens
from installs.models import Install, SshKey
from machines.models import Interface


def shell_settings(install: Install, first_boot_token: str) -> str:
    """The answer to a granted request: shell assignments that templates/scripts/file_tree/install.sh reads."""
    plan = install.plan
    layout = plan["layout"]
    return scripts.render(
        "boot/granted.sh",
        settings={
            "HOSTNAME": install.machine.name,
            "AUTHORIZED_KEYS": "\n".join(SshKey.objects.order_by("name").values_list("public_key", flat=True)),
            "ROOT_BYTES": layout["root"], "SWAP_BYTES": layout["swap"], "KDUMP_BYTES": layout["kdump"],
            "EPHEMERAL_BYTES": layout["ephemeral"],
            "NETWORK": "\n".join(_network_line(card) for card in install.machine.interfaces.all()),
            "FIRST_BOOT_URL": f"{plan['provision_url']}/first-boot/{first_boot_token}",
            "SIGN": tokens.sign(tokens.digest(first_boot_token)),
            "TIME": int(now().timestamp()), "TIMEZONE": settings.TIME_ZONE,
            "BOOT_ORDER": plan["boot_order"], "KERNEL_ARGS": _kernel_args(plan),
            "RESTART_ITSELF": "yes" if plan["restarts_itself"] else "no",
        },
    )  # fmt: skip


def _network_line(card: Interface) -> str:
    if not card.address:
        return f"{card.mac} dhcp"
    return f"{card.mac} {card.address} {card.gateway or '-'} {card.dns.replace(' ', '') or '-'}"


def _kernel_args(plan: dict[str, Any]) -> str:
    return " ".join(f"{plan['kernel_args']} {plan['image_kernel_args']}".split())
