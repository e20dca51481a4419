"""The admin's own parts: who may look into the queues."""

from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard

admin.site.unregister(Dashboard)


@admin.register(Dashboard)
class QueuesOfSuperusers(QueueAdmin):
    """django-rq lets all staff in: to stop, delete and enqueue jobs, and without a login to its figures."""

    def get_urls(self) -> list[URLPattern]:
        patterns: list[URLPattern] = super().get_urls()
        for pattern in patterns:
            pattern.callback = _for_superusers(self.admin_site.admin_view(pattern.callback))
        return patterns

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)


def _for_superusers(view: Any) -> Any:
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_staff and not request.user.is_superuser:
            raise PermissionDenied
        answer: HttpResponse = view(request, *args, **kwargs)
        return answer

    return checked
