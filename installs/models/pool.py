"""What Dodai keeps of a machine that is installed for the pool, until it is handed over."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dodaiweb import keys
from installs.models.install import Install

MACHINE_KEY_PURPOSE = "machine key"


class MachineKey(models.Model):
    """The key pair by which Dodai alone goes into the OS of one install, and the host keys by which it knows that OS.

    The private half is kept until it was used, or can be of no use any more.
    """

    install = models.OneToOneField(Install, models.CASCADE, primary_key=True, related_name="machine_key")
    public_key = models.CharField(max_length=255)
    private_sealed = models.TextField(blank=True, editable=False)
    host_keys = models.JSONField(default=list, help_text="Lines of type and key, as the OS's first call told them")

    class Meta:
        verbose_name = _("machine key")
        verbose_name_plural = _("machine keys")

    def __str__(self) -> str:
        return f"key of install {self.install_id}"

    @property
    def is_kept(self) -> bool:
        return bool(self.private_sealed)

    @property
    def private_key(self) -> str:
        """In OpenSSH's format, "" once it is forgotten. Raises KeyProblem."""
        return keys.decrypt(self.private_sealed, purpose=MACHINE_KEY_PURPOSE)

    @private_key.setter
    def private_key(self, plain: str) -> None:
        self.private_sealed = keys.encrypt(plain, purpose=MACHINE_KEY_PURPOSE)
