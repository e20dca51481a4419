"""The form of those who are told how installs end. Its secret goes in and never comes out."""

from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from dodaiweb import outbound
from dodaiweb.stored_words import told
from installs.models import NoticeTarget

LEAST_SECRET_CHARACTERS = 24


class NoticeTargetForm(forms.ModelForm):
    secret = forms.CharField(
        label=_("Secret"), required=False, max_length=200,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    forget_secret = forms.BooleanField(label=_("Remove the stored secret"), required=False)

    class Meta:
        model = NoticeTarget
        fields = (
            "name", "kind", "address", "is_private", "cluster", "on_failed", "on_installed", "on_cancelled",
            "on_operator", "is_enabled",
        )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        cluster = self.fields["cluster"]
        assert isinstance(cluster, forms.ModelChoiceField)
        cluster.empty_label = _("All machines")

    def clean_secret(self) -> str:
        secret = str(self.cleaned_data["secret"])
        if secret and len(secret) < LEAST_SECRET_CHARACTERS:
            raise forms.ValidationError(
                _("Too short to keep anybody out: at least %(count)s characters, as from `openssl rand -base64 32`."),
                params={"count": LEAST_SECRET_CHARACTERS},
            )
        return secret

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if address := cleaned.get("address"):
            try:
                _check(str(cleaned.get("kind")), address)
            except outbound.Forbidden as exc:
                self.add_error("address", told(str(exc)))
            except forms.ValidationError as exc:
                self.add_error("address", exc)
        if not any(cleaned.get(name) for name in ("on_failed", "on_installed", "on_cancelled", "on_operator")):
            self.add_error("on_failed", _("Choose what it is told of."))
        return cleaned

    def save(self, commit: bool = True) -> NoticeTarget:
        if self.cleaned_data["forget_secret"]:
            self.instance.secret_sealed = ""
        elif self.cleaned_data["secret"]:
            self.instance.set_secret(self.cleaned_data["secret"])
        saved: NoticeTarget = super().save(commit)
        return saved


def _check(kind: str, address: str) -> None:
    if kind == NoticeTarget.Kind.MAIL:
        validate_email(address)
    else:
        outbound.parts_of(address)
