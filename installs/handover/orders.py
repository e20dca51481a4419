"""What is done in the OS of a machine that gets an owner, as programs for its shell."""

import hashlib
from typing import Any

from installs import scripts
from installs.handover.outcome import HOSTNAME, KEYS, NETWORK, OWN_KEY, VERIFY
from installs.handover.session import Order
from installs.settings_document import network_lines

FUNCTIONS = {
    HOSTNAME: "set_hostname", NETWORK: "set_network", KEYS: "set_keys", VERIFY: "verify", OWN_KEY: "remove_own_key",
}  # fmt: skip


def orders(told: dict[str, Any], *, own_key: str) -> list[Order]:
    """By the settings of an installed OS (see settings_document.py) as they are to be from now on."""
    root = "\n".join(told["authorized_keys"])
    accounts = {one["name"]: one["keys"] for one in told["accounts"]}
    settings = {
        "HOSTNAME": told["hostname"],
        "NETWORK": network_lines(told),
        "AUTHORIZED_KEYS": root,
        "OWN_KEY": own_key,
        "ACCOUNTS": "\n".join(f"{name} {key}" for name, keys in accounts.items() for key in keys),
    }
    expected = {
        VERIFY: f"hostname {told['hostname']} {told['hostname']}\nroot {_digest(root, own_key)}\n"
        + "".join(f"{name} {_digest(*keys)}\n" for name, keys in accounts.items() if keys),
        OWN_KEY: f"root {_digest(root)}\n",
    }
    return [
        Order(name, scripts.render("handover/step.sh", settings=settings, step=step), expected.get(name))
        for name, step in FUNCTIONS.items()
    ]


def _digest(*lines: str) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
