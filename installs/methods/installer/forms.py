"""What an image of an installer says beside its file."""

import re
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from installs import celled, scripts
from installs.images import fetching
from installs.methods.installer import answers, source, variables

TREE_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*")
RELEASES = ("RHEL7", "RHEL8", "RHEL9", "RHEL10", "F41", "F42")


class InstallerForm(forms.Form):
    """`kernel` and `initrd` are URLs or paths in the image's ISO; `answers` or `place` is what the installer reads."""

    secret_fields = (variables.FIELD, source.WHOLE_PLACE)
    kind = ""

    kernel = forms.CharField(
        label=gettext_lazy("kernel"),
        max_length=500,
        help_text=gettext_lazy("A URL, or a path in the ISO of this image"),
    )
    initrd = forms.CharField(
        label=gettext_lazy("initrd"),
        max_length=500,
        help_text=gettext_lazy("A URL, or a path in the ISO of this image"),
    )
    options = forms.CharField(
        label=gettext_lazy("kernel options"), max_length=500, required=False,
        help_text=gettext_lazy("Further words of the kernel's command line; Dodai adds where the answers are"),
    )  # fmt: skip
    place = forms.CharField(
        label=gettext_lazy("place of the answer file"), max_length=1000, required=False,
        help_text=gettext_lazy(
            "URL or path on the server; read anew at each install. Empty: the text below. What follows a ? in a URL is "
            "stored encrypted, never shown again, and kept for as long as the rest stays as it is"
        ),
    )  # fmt: skip
    answers = forms.CharField(
        label=gettext_lazy("answer file"), required=False, max_length=source.LONGEST_BYTES, strip=False,
        widget=forms.Textarea(attrs={"rows": 24, "cols": 100, "spellcheck": "false"}),
        help_text=gettext_lazy("A Jinja2 template: {{ hostname }}, {{ disk.id }}, {{ keys }}, {{ secrets.name }}"),
    )  # fmt: skip
    variables = forms.CharField(
        label=gettext_lazy("secret variables"), required=False, max_length=64 << 10,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 100, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("Lines “name: value”, stored encrypted, never shown again; empty keeps what is there"),
    )  # fmt: skip

    def clean_kernel(self) -> str:
        return _file_place(self.cleaned_data["kernel"])

    def clean_initrd(self) -> str:
        return _file_place(self.cleaned_data["initrd"])

    def clean_options(self) -> str:
        options = " ".join(str(self.cleaned_data["options"]).split())
        _for_boot_loaders(options.split())
        return options

    def clean_place(self) -> str:
        place = str(self.cleaned_data["place"]).strip()
        if "://" in place:
            try:
                fetching.checked(place)
            except fetching.FetchProblem as problem:
                raise forms.ValidationError(str(problem)) from None
        place, self.cleaned_data[source.WHOLE_PLACE] = source.split(place)
        return place

    def clean_variables(self) -> str:
        text = str(self.cleaned_data["variables"])
        variables.parse(text)
        return text

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            self._look_at_answers(given)
        return given

    def _look_at_answers(self, given: dict[str, Any]) -> None:
        text = str(given["answers"])
        if bool(text.strip()) == bool(given["place"]):
            self.add_error("place", _("Give either the place of the answer file or its text."))
            return
        if given["place"]:
            return  # nothing is fetched while a page is stored; the preview and each install look at it
        for problem in _problems(self.kind, text, given):
            self.add_error("answers", problem)


def _problems(kind: str, text: str, given: dict[str, Any]) -> list[str]:
    """Of the text, for a machine that is made up."""
    names = set(answers.SECRET_NAME.findall(text))
    dummies = {name: variables.dummy(name) for name in names}
    try:
        return answers.from_template(kind, text, given, answers.made_up(dummies), has_file=True).problems
    except celled.CellProblem as problem:
        return [str(problem)]


def _file_place(text: str) -> str:
    """A URL that boot loaders can load (http), or a path without tricks."""
    place = text.strip()
    if "://" not in place:
        if not TREE_PATH.fullmatch(place) or ".." in place.split("/"):
            raise forms.ValidationError(_("Write a URL, or a path in the ISO like casper/vmlinuz."))
        return place
    if urlsplit(place).scheme != "http":
        raise forms.ValidationError(_("Boot loaders load by http:// only."))
    _for_boot_loaders([place])
    return place


def _for_boot_loaders(words: list[str]) -> None:
    for word in words:
        if not scripts.SAFE_FOR_BOOT_LOADERS.match(word):
            raise forms.ValidationError(_("%(word)s cannot stand in a boot loader's line.") % {"word": word})


class PreseedForm(InstallerForm):
    kind = "preseed"


class AutoinstallForm(InstallerForm):
    kind = "autoinstall"


class KickstartForm(InstallerForm):
    kind = "kickstart"

    release = forms.ChoiceField(
        label=gettext_lazy("release"), choices=[(name, name) for name in RELEASES], initial="RHEL9",
        help_text=gettext_lazy("Whose Kickstart it is checked as; Rocky, Alma and Oracle count as RHEL"),
    )  # fmt: skip
