"""What the admin of every row of the inventory has: its history in words."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from dodaiweb import asked
from machines import history

CHANGES_SHOWN = 200


class InventoryAdmin(admin.ModelAdmin):
    """With the history of edits in words."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        thing = get_object_or_404(self.model, pk=asked.number(object_id))
        if not self.has_view_or_change_permission(request, thing):
            raise PermissionDenied
        values = {
            **self.admin_site.each_context(request), "title": _("History of %(what)s") % {"what": thing},
            "changes": history.changes_of_any(thing, limit=CHANGES_SHOWN), "object": thing, "opts": self.opts,
        }  # fmt: skip
        return TemplateResponse(request, "admin/inventory_history.html", values)
