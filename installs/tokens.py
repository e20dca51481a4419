"""Tokens of the provisioning listener: 256 bits that nobody can guess, stored only as their SHA-256.

boot       in the script's URL; gives the script and nothing else
installer  in the script; speaks for one kernel boot of one attempt
first-boot in the installed OS; says `installed`, with its SSH host keys, and nothing else

The sign is no token: it gives nothing. The installed OS shows it to everybody, so that it is known: see `witness`.

The boot token is random. The others follow from it, so that who asks again, because the answer was lost or was
long under way, is told the same: with a new one each time, the request that came last would void what it had been told.
"""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode

from django.utils.crypto import salted_hmac

WELL_FORMED = re.compile(r"^[A-Za-z0-9_-]{43}$")  # 32 bytes in base64url


def new() -> str:
    return secrets.token_urlsafe(32)


def following(boot_hash: str, boot_id: str, *, purpose: str) -> str:
    """The token for `purpose` of the kernel boot that used the boot token with this hash; only this Dodai can tell."""
    bits = salted_hmac(f"dodai.tokens.{purpose}", f"{boot_hash} {boot_id}", algorithm="sha256").digest()
    return urlsafe_b64encode(bits).decode().rstrip("=")


def sign(first_boot_hash: str) -> str:
    """What the OS of the attempt with this first-boot token shows: 128 bits, of which nobody else can know."""
    bits = salted_hmac("dodai.tokens.sign", first_boot_hash, algorithm="sha256").digest()[:16]
    return "dodai-" + urlsafe_b64encode(bits).decode().rstrip("=")


def digest(token: str) -> str:
    """What is stored and looked up: an index look-up of a hash tells nothing of how near a guess was."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_well_formed(token: str) -> bool:
    return bool(WELL_FORMED.match(token))
