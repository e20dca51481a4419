"""The SSH host keys that an OS tells with its first call: it has the first-boot token, so they are believed.

Whoever answers at its address later must show one of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from django.db import transaction
from django.http import QueryDict

from installs.models import Install, MachineKey, add_alert

MOST_KEYS, LONGEST_KEY = 8, 2000  # characters; RSA of 8192 bits has 1400
LEAST_RSA_BITS = 2048
BY_CLOUD_INIT = ("pub_key_ed25519", "pub_key_ecdsa", "pub_key_rsa")
NO_KEY = ("", "N/A")  # what cloud-init says of a kind that the OS has not

NONE_SENT = "The OS's first call told no SSH host key: Dodai cannot go in to hand the machine over."
JUNK = "The OS's first call told what is no SSH host key; that part was ignored."
OTHERS = "A later call told other SSH host keys than the first; the first ones count."


@dataclass(frozen=True)
class Said:
    """`keys` as lines of type and base64, one a type; `has_junk` where there was something else."""

    keys: tuple[str, ...]
    has_junk: bool


def said_in(form: QueryDict) -> Said:
    """Dodai's own first call has them as lines of `host_keys`, cloud-init's phone_home as a field each."""
    lines = form.get("host_keys", "")[: MOST_KEYS * LONGEST_KEY].splitlines()
    told = [line.strip() for line in (*lines, *(form.get(name, "") for name in BY_CLOUD_INIT))]
    return parse(line for line in told if line not in NO_KEY)


def parse(lines: Iterable[str]) -> Said:
    told = list(lines)
    keys = [key for key in map(_key, told[:MOST_KEYS]) if key]
    of_types = {key.partition(" ")[0]: key for key in reversed(keys)}
    return Said(tuple(sorted(of_types.values())), has_junk=len(keys) < len(told))


def record(install: Install, told: Said) -> None:
    """Keep them, if the install is for the pool. Those of the first call that has some count, for ever."""
    with transaction.atomic():
        kept = MachineKey.objects.select_for_update().filter(install=install).first()
        if kept is None or not kept.is_kept:
            return
        if told.has_junk:
            add_alert(install, "host-keys-junk", JUNK)
        if not kept.host_keys and told.keys:
            kept.host_keys = list(told.keys)
            kept.save(update_fields=["host_keys"])
        elif not kept.host_keys:
            add_alert(install, "host-keys-none", NONE_SENT)
        elif told.keys and list(told.keys) != kept.host_keys:
            add_alert(install, "host-keys-others", OTHERS)


def _key(line: str) -> str:
    """Type and base64 as they are written again from what was read; "" for what is no host key."""
    if len(line) > LONGEST_KEY or not line.isascii() or not line.isprintable():
        return ""
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        return ""
    is_good = isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey) or (
        isinstance(key, RSAPublicKey) and key.key_size >= LEAST_RSA_BITS
    )
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() if is_good else ""
