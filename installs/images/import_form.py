"""What one fills in to take in an image."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from installs.images import imports
from installs.models import ImageImport

Source = ImageImport.Source
SOURCES = {
    Source.UPLOAD: gettext_lazy("A file on this computer"),
    Source.URL: gettext_lazy("A web address"),
    Source.PATH: gettext_lazy("A file on the server"),
}


class ImportForm(forms.Form):
    source = forms.ChoiceField(choices=list(SOURCES.items()), initial=Source.UPLOAD)
    name = forms.CharField(max_length=63)
    file_name = forms.CharField(max_length=1000, required=False)
    size = forms.IntegerField(min_value=1, max_value=imports.MAX_UPLOAD_BYTES, required=False)
    url = forms.CharField(max_length=2000, required=False)
    path = forms.CharField(max_length=2000, required=False)
    sha256 = forms.RegexField(r"^\s*[0-9a-fA-F]{64}\s*$", required=False, error_messages={
        "invalid": gettext_lazy("A SHA-256 digest has 64 hexadecimal digits.")
    })  # fmt: skip
    root_mib = forms.IntegerField(min_value=0, required=False)
    swap_mib = forms.IntegerField(min_value=0, required=False)
    ephemeral_mib = forms.IntegerField(min_value=0, required=False)
    kdump_mib = forms.IntegerField(min_value=0, required=False)
    min_memory_mib = forms.IntegerField(min_value=0, required=False)
    kernel_args = forms.CharField(max_length=255, required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        needed = {Source.UPLOAD: "size", Source.URL: "url", Source.PATH: "path"}.get(given.get("source", ""), "")
        if needed and not given.get(needed):
            words = {
                "size": _("Choose a file. Uploads need JavaScript; without it, give a web address or a path."),
                "url": _("Give the web address of the file."),
                "path": _("Give the path of the file on the server."),
            }
            self.add_error(None, words[needed])
        return given

    def ask(self, *, by: str) -> ImageImport:
        """Raises imports.Refused."""
        given = self.cleaned_data
        common = {
            "by": by, "sha256": given["sha256"], "kernel_args": given["kernel_args"],
            **{name: given[name] or 0 for name in imports.NUMBERS},
        }  # fmt: skip
        match given["source"]:
            case Source.UPLOAD:
                return imports.ask_upload(given["name"], given["file_name"], given["size"], **common)
            case Source.URL:
                return imports.ask_url(given["name"], given["url"], **common)
        return imports.ask_path(given["name"], given["path"], **common)
