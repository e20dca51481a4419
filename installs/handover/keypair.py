"""The key pair of an install into the pool: made with it, told to its OS, forgotten once it is of no more use."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from installs.models import Install, MachineKey
from machines.models import Machine

COMMENT = "dodai-until-hand-over"


def make(install: Install) -> MachineKey:
    """A new one; the private half goes nowhere but into the database, sealed."""
    pair = Ed25519PrivateKey.generate()
    public = pair.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    kept = MachineKey(install=install, public_key=f"{public} {COMMENT}")
    kept.private_key = pair.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    kept.save(force_insert=True)
    return kept


def public_key(install: Install) -> str:
    """What lets Dodai into the OS of this install; "" for one that is for somebody, or was handed over."""
    kept = MachineKey.objects.filter(install=install).first()
    return kept.public_key if kept and kept.is_kept else ""


def forget(install: Install) -> None:
    MachineKey.objects.filter(install=install).update(private_sealed="")


def forget_those_of(machine: Machine) -> None:
    """Of all its installs."""
    MachineKey.objects.filter(install__machine=machine).exclude(private_sealed="").update(private_sealed="")
