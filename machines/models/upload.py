"""An inventory file between its preview and its confirmation."""

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from dodaiweb import keys

PURPOSE = "inventory file"


class InventoryUpload(models.Model):
    """Sealed, as it may hold passwords of BMCs. Removed once confirmed, and after a while."""

    key = models.CharField(max_length=43, unique=True)
    by = models.CharField(max_length=150)
    file_name = models.CharField(max_length=255)
    sealed = models.TextField()
    created_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name = _("inventory file")
        verbose_name_plural = _("inventory files")

    def __str__(self) -> str:
        return self.file_name

    @property
    def text(self) -> str:
        return keys.decrypt(self.sealed, purpose=PURPOSE)

    def set_text(self, text: str) -> None:
        self.sealed = keys.encrypt(text, purpose=PURPOSE)
