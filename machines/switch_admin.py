"""Switches in the admin: entered in two steps, and read by an action whose answer stands on their page."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dodaiweb import formats
from machines import reading_ports, switch_forms
from machines.inventory_admin import InventoryAdmin
from machines.models import Switch

ENTERED = ("name", "driver", "settings", "secrets_sealed", "vlans", "ports", "quarantine", "notes")


class SwitchAdmin(InventoryAdmin):
    list_display = ("name", "driver", "vlans", "quarantine", "card_count", "read_at")
    list_filter = ("driver",)
    list_select_related = ("quarantine",)
    search_fields = ("name", "notes")
    autocomplete_fields = ("quarantine",)
    readonly_fields = ("read_at", "what_was_read")
    actions = ("read_ports",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(card_count=Count("interfaces"))

    @admin.display(description=gettext_lazy("network cards"), ordering="card_count")
    def card_count(self, switch: Any) -> int:
        return int(switch.card_count)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs | {"form": switch_forms.form_for(obj)})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("name", "driver")}),)
        sets: list[Any] = [(None, {"fields": ("name", "driver", "notes")})]
        if own := self._own_fields(request, obj):
            sets.append((obj.get_driver_display(), {"fields": own}))
        what = {"fields": ("vlans", "ports", "quarantine")}
        return (*sets, (_("What Dodai may move"), what), (_("Ports"), {"fields": self.readonly_fields}))

    def _own_fields(self, request: HttpRequest, switch: Switch) -> list[str]:
        """Settings are for who may change them: the admin shows others only columns."""
        return switch_forms.field_names(switch) if self.has_change_permission(request, switch) else []

    def save_model(self, request: HttpRequest, obj: Switch, form: Any, change: bool) -> None:
        """Only what is entered here: who holds the switch, and what was read of it, may change at the same moment."""
        obj.save(update_fields=ENTERED if change else None)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """To the second step."""
        self.message_user(request, _("Now enter how %(name)s is reached, and what Dodai may move.") % {"name": obj})
        return redirect(reverse("admin:machines_switch_change", args=[obj.pk]))

    @admin.action(description=gettext_lazy("Read ports"), permissions=["change"])
    def read_ports(self, request: HttpRequest, switches: QuerySet[Switch]) -> None:
        count = reading_ports.request(switches.values_list("pk", flat=True), by=request.user.get_username())
        words = ngettext(
            "%(count)s switch is being read: its page shows what its ports are in.",
            "%(count)s switches are being read: their pages show what their ports are in.", count,
        )  # fmt: skip
        self.message_user(request, words % {"count": count})

    @admin.display(description=gettext_lazy("what was read"))
    def what_was_read(self, switch: Switch) -> SafeString:
        """One line a port; what the switch said is text and nothing else."""
        if switch.read_asked_at:
            return format_html("{}", _("It is being read: look again in a moment."))
        if not switch.read_report:
            return format_html("{}", _("Nobody has read its ports: the list of switches has an action for it."))
        head = (_("Port"), _("VLAN"), _("Network cards"), _("Dodai may move it"))
        rows = format_html_join(
            "", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", map(_cells, switch.read_report)
        )
        heads = format_html_join("", '<th scope="col">{}</th>', ((each,) for each in head))
        return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, rows)


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    where = row.get("problem") or (_("none") if row.get("vlan") is None else str(row["vlan"]))
    may = _("yes") if row.get("allowed") else _("no")
    if not row.get("port"):
        return formats.UNKNOWN, where, "", ""
    return str(row["port"]), where, ", ".join(row.get("cards", ())), may
