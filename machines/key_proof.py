"""Tells whether the key on disk is the one that this database was written with."""

from dodaiweb import keys
from machines.models import KeyProof

KNOWN, PURPOSE = "dodai", "key proof"


def check() -> None:
    """Raises keys.KeyProblem when another key wrote this database; the first call on a new one leaves the proof.

    After a rotation the newest proof counts: who only has the key before it would write what nobody else can read.
    """
    proof = KeyProof.objects.order_by("pk").last()
    if proof is None:
        _leave()
    elif keys.decrypt(proof.sealed, purpose=PURPOSE) != KNOWN:
        raise keys.KeyProblem("keys/field_key is not the key of this database: put the right key file back.")


def renew() -> None:
    """Leave a proof of the key that writes now, beside those of the keys before."""
    proof = KeyProof.objects.order_by("pk").last()
    if proof is None or not proof.sealed.startswith(keys.prefix()):
        _leave()


def forget_old() -> None:
    KeyProof.objects.exclude(sealed__startswith=keys.prefix()).delete()


def _leave() -> None:
    KeyProof.objects.create(sealed=keys.encrypt(KNOWN, purpose=PURPOSE))
