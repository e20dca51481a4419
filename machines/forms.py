"""Forms of the inventory whose passwords go in and never come out."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from machines.models import Bmc, Credentials


class WriteOnlyPassword(forms.ModelForm):
    """A password field that is never filled; left empty it changes nothing. The model seals it."""

    password = forms.CharField(
        label=_("password"), required=False, strip=False, max_length=128,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text=_("Stored encrypted and never shown. Left empty it stays as it is."),
    )  # fmt: skip
    forget_password = forms.BooleanField(
        label=_("forget the password"), required=False, help_text=_("Remove the stored password")
    )

    def save(self, commit: bool = True) -> Any:
        if self.cleaned_data.get("forget_password"):
            self.instance.password_sealed = ""
        elif plain := self.cleaned_data.get("password"):
            self.instance.set_password(plain)
        return super().save(commit)


class BmcForm(WriteOnlyPassword):
    class Meta:
        model = Bmc
        fields = ("driver", "host", "port", "system_id", "credentials", "username")


class CredentialsForm(WriteOnlyPassword):
    class Meta:
        model = Credentials
        fields = ("name", "username")
