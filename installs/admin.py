"""Images and keys, for editing. Installs have their own pages."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from installs.models import Image, InstallCap, SshKey


@admin.register(Image)
class ImageAdmin(admin.ModelAdmin):
    """The file of an image never changes; `manage.py image add` takes one in."""

    list_display = ("name", "method", "kind", "size_bytes", "retired_at")
    list_filter = ("method", "kind")
    search_fields = ("name", "sha256")
    readonly_fields = ("method", "kind", "sha256", "size_bytes", "unpacked_bytes", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "retired_at")}),
        (_("File"), {"fields": ("method", "kind", "sha256", "size_bytes", "unpacked_bytes", "created_at")}),
        (
            _("Layout"),
            {"fields": ("root_mib", "swap_mib", "ephemeral_mib", "kdump_mib", "min_memory_mib", "kernel_args")},
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(SshKey)
class SshKeyAdmin(admin.ModelAdmin):
    list_display = ("name", "public_key")


@admin.register(InstallCap)
class InstallCapAdmin(admin.ModelAdmin):
    """Groups without one have what DODAI_MANY_INSTALLS and DODAI_HOUR_INSTALLS say."""

    list_display = ("__str__", "per_request", "per_hour")
    list_select_related = ("group",)
