"""Images and keys, for editing. Installs have their own pages."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from installs import image_admin
from installs.methods import METHODS
from installs.models import Image, InstallCap, SshKey


@admin.register(Image)
class ImageAdmin(admin.ModelAdmin):
    """The file of an image never changes; *Images* takes one in. What needs no file is entered here."""

    list_display = ("name", "method", "kind", "size_bytes", "retired_at")
    list_filter = ("method", "kind")
    search_fields = ("name", "sha256")
    readonly_fields = ("method", "kind", "sha256", "size_bytes", "unpacked_bytes", "created_at")
    file_fields = ("method", "kind", "sha256", "size_bytes", "unpacked_bytes", "created_at")
    boot_fields = ("first_boot_commands",)
    layout_fields = ("root_mib", "swap_mib", "ephemeral_mib", "kdump_mib", "min_memory_mib", "kernel_args")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(image_admin.methods_without_file()) and super().has_add_permission(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        chosen = request.POST.get("method")
        if not _asked(request) and chosen in image_admin.methods_without_file() and self.has_add_permission(request):
            return redirect(f"{request.path}?method={chosen}")
        answer: HttpResponse = super().add_view(request, form_url, extra_context)
        return answer

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        image = obj or Image(method=_asked(request))
        form = image_admin.form_for(image, _sent(request)) if image.method else image_admin.MethodForm
        return super().get_form(request, obj, change, **kwargs | {"form": form})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj and len(image_admin.methods_of(obj)) > 1:
            return tuple(name for name in self.readonly_fields if name != "method")
        return self.readonly_fields if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        method = obj.method if obj else _asked(request)
        if not method:
            return ((None, {"fields": ("method",)}),)
        sets: list[Any] = [(None, {"fields": ("name", "retired_at") if obj else ("name",)})]
        if own := image_admin.field_names(method):
            sets.append((_(METHODS[method].label), {"fields": own}))
        if names := image_admin.fallback_names(obj or Image(method=method), _sent(request)):
            sets.append((_("If it fails"), {"fields": names}))
        if obj and obj.sha256:
            sets.append((_("File"), {"fields": self.file_fields}))
        return (*sets, (_("Layout"), {"fields": self.layout_fields}), (_("First boot"), {"fields": self.boot_fields}))


def _sent(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _asked(request: HttpRequest) -> str:
    """The method of the image that is being entered; "" until one was chosen."""
    asked = request.GET.get("method", "")
    return asked if asked in image_admin.methods_without_file() else ""


@admin.register(SshKey)
class SshKeyAdmin(admin.ModelAdmin):
    list_display = ("name", "account", "public_key")
    list_filter = ("account",)


@admin.register(InstallCap)
class InstallCapAdmin(admin.ModelAdmin):
    """Groups without one have what DODAI_MANY_INSTALLS and DODAI_HOUR_INSTALLS say."""

    list_display = ("__str__", "per_request", "per_hour")
    list_select_related = ("group",)
