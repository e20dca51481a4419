"""The form that proposes a wave."""

from typing import Any

from django import forms

from installs.models import Wave
from installs.waves.asking import Rules, window_problem


class WaveForm(forms.ModelForm):
    class Meta:
        model = Wave
        fields = ("canary_count", "part_size", "stop_at", "window_from", "window_to")
        widgets = {
            name: forms.TimeInput(attrs={"type": "time"}, format="%H:%M") for name in ("window_from", "window_to")
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        times = [cleaned.get(name) for name in ("window_from", "window_to")]
        if not self.errors and (problem := window_problem(*times)):
            self.add_error("window_to", problem)
        return cleaned

    @property
    def rules(self) -> Rules:
        return Rules(**self.cleaned_data)
