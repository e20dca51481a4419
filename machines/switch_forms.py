"""A switch in the admin: its own columns, and the settings that its driver declares. Secrets go in, never out."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from machines.models import Switch
from machines.models.switches import settings_of
from machines.network import DRIVERS
from machines.network.base import Setting

PREFIX, FORGET = "setting", "forget"
LONGEST, LONGEST_LINES = 500, 5000
# The drivers know nothing of Django: their words are marked for translation here.
WORDS = (
    gettext_noop("make"), gettext_noop("address"), gettext_noop("port"), gettext_noop("SSH host key"),
    gettext_noop("user name"), gettext_noop("password"), gettext_noop("enable password"),
    gettext_noop("save its configuration"), gettext_noop("database"), gettext_noop("bridge"),
    gettext_noop("outer ports"), gettext_noop("prefix of regions"), gettext_noop("data folder"), gettext_noop("file"),
    gettext_noop("As ssh-keyscan prints it, without the address: ssh-ed25519 AAAA…"),
    gettext_noop("So that ports stay where they are when the switch restarts."),
    gettext_noop("As for ovs-vsctl --db: unix:/path, tcp:address:6640 or ssl:address:6640."),
    gettext_noop("Ports of other bridges are left alone."),
    gettext_noop("Of the service: http://10.0.0.2:8080/ofc, without ?wsdl."),
    gettext_noop("Those that carry the VLANs on, as datapath id/number, one a line."),
    gettext_noop(
        "A region is called by it and the number of its VLAN. Regions of other names are left alone."
    ),
    gettext_noop("Of the Dodai that runs the lab (--data)."),
    gettext_noop("Where several processes share it; empty: in memory."),
)  # fmt: skip


class NewSwitchForm(forms.ModelForm):
    """The first step: what it is called and how it is reached. What that needs is asked next."""

    class Meta:
        model = Switch
        fields = ("name", "driver")


class SwitchForm(forms.ModelForm):
    """Made by `form_for`, with a field for each setting of its driver."""

    declared: tuple[Setting, ...] = ()

    class Meta:
        model = Switch
        fields = ("name", "driver", "vlans", "ports", "quarantine", "notes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in settings_of(self.instance).items():
            self.initial[f"{PREFIX}-{name}"] = value

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if self.is_other_driver:
            return given  # its settings are asked for once it is stored
        stored = self.instance.secrets()
        for one in self.declared:
            is_kept = one.name in stored and not given.get(f"{FORGET}-{one.name}")
            if one.kind == "secret" and one.required and not given.get(f"{PREFIX}-{one.name}") and not is_kept:
                words = self.fields[f"{PREFIX}-{one.name}"].error_messages["required"]
                self.add_error(f"{PREFIX}-{one.name}", words)
        return given

    @property
    def is_other_driver(self) -> bool:
        return "driver" in self.changed_data

    def save(self, commit: bool = True) -> Any:
        given, stored = self.cleaned_data, self.instance.secrets()
        if self.is_other_driver:
            self.instance.settings, stored = {}, {}
        else:
            self.instance.settings = {
                one.name: given[f"{PREFIX}-{one.name}"] for one in self.declared if one.kind != "secret"
            }
        for one in self.declared:
            if one.kind == "secret" and not self.is_other_driver:
                entered = given.get(f"{PREFIX}-{one.name}")
                if entered or given.get(f"{FORGET}-{one.name}"):
                    stored[one.name] = entered
        if stored != self.instance.secrets():
            self.instance.set_secrets(stored)
        return super().save(commit)


def form_for(switch: Switch | None) -> type[forms.ModelForm]:
    """Of a new switch only name and driver; of others with the fields of what their driver declares."""
    if switch is None:
        return NewSwitchForm
    declared = _declared(switch)
    fields: dict[str, forms.Field] = {}
    for one in declared:
        fields[f"{PREFIX}-{one.name}"] = _FIELDS[one.kind](one)
        if one.kind == "secret":
            words = _("forget: %(what)s") % {"what": _(one.label)}
            fields[f"{FORGET}-{one.name}"] = forms.BooleanField(label=words, required=False)
    return type("SwitchForm", (SwitchForm,), {**fields, "declared": declared})


def field_names(switch: Switch) -> list[str]:
    """Of the fields that its driver declares, as the form has them."""
    names = [
        (f"{PREFIX}-{one.name}", f"{FORGET}-{one.name}") if one.kind == "secret" else (f"{PREFIX}-{one.name}",)
        for one in _declared(switch)
    ]
    return [name for pair in names for name in pair]


def _declared(switch: Switch) -> tuple[Setting, ...]:
    driver = DRIVERS.get(switch.driver)
    return driver.settings if driver else ()


def _common(one: Setting) -> dict[str, Any]:
    return {"label": _(one.label), "help_text": _(one.help) if one.help else "", "required": one.required}


def _text(one: Setting) -> forms.Field:
    return forms.CharField(**_common(one), max_length=LONGEST, widget=forms.TextInput(attrs={"size": 60}))


def _lines(one: Setting) -> forms.Field:
    widget = forms.Textarea(attrs={"rows": 6, "cols": 60})
    return forms.CharField(**_common(one), max_length=LONGEST_LINES, widget=widget)


def _number(one: Setting) -> forms.Field:
    return forms.IntegerField(**_common(one), min_value=1, max_value=65535)


def _yes(one: Setting) -> forms.Field:
    return forms.BooleanField(**_common(one))


def _choice(one: Setting) -> forms.Field:
    return forms.ChoiceField(**_common(one), choices=[("", "---------"), *one.choices])


def _secret(one: Setting) -> forms.Field:
    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"})
    words = gettext_lazy("Stored encrypted and never shown. Left empty it stays as it is.")
    return forms.CharField(
        **_common(one) | {"required": False, "help_text": words}, strip=False, max_length=LONGEST, widget=widget
    )


_FIELDS: dict[str, Callable[[Setting], forms.Field]] = {
    "text": _text, "lines": _lines, "number": _number, "yes": _yes, "choice": _choice, "secret": _secret,
}  # fmt: skip
