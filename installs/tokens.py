"""Tokens of the provisioning listener: 256 random bits, stored only as their SHA-256.

boot       in the script's URL; gives the script and nothing else
installer  in the script; speaks for one kernel boot of one attempt
first-boot in the installed OS; says `installed` and nothing else
"""

import hashlib
import re
import secrets

WELL_FORMED = re.compile(r"^[A-Za-z0-9_-]{43}$")  # 32 bytes in base64url


def new() -> str:
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is stored and looked up: an index look-up of a hash tells nothing of how near a guess was."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_well_formed(token: str) -> bool:
    return bool(WELL_FORMED.match(token))
