"""Tells whether the key on disk is the one that this database was written with."""

from dodaiweb import keys
from machines.models import KeyProof

KNOWN, PURPOSE = "dodai", "key proof"


def check() -> None:
    """Raises keys.KeyProblem when another key wrote this database; the first call on a new one leaves the proof."""
    proof = KeyProof.objects.first()
    if proof is None:
        KeyProof.objects.create(sealed=keys.encrypt(KNOWN, purpose=PURPOSE))
    elif keys.decrypt(proof.sealed, purpose=PURPOSE) != KNOWN:
        raise keys.KeyProblem("keys/field_key is not the key of this database: put the right key file back.")
