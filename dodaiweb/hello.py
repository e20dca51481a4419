"""Proves that a listener is this Dodai's: it answers a number by chance with a proof that only the holder of the key
can make, and tells nothing else."""

import hmac
import re
from pathlib import Path

from dodaiweb import keys

NONCE = re.compile(r"[0-9a-f]{32}")
PATH = "/hello/"


def proof(data: Path, nonce: str, *, listener: str) -> str:
    """What the listener (`provision` or `images`) answers to `nonce`. Raises keys.KeyProblem."""
    key = keys.read(data, "secret_key").encode()
    return hmac.new(key, f"hello {listener} {nonce}".encode(), "sha256").hexdigest()
