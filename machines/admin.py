"""The inventory, for editing. What machines do is on the pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from machines.forms import BmcForm, CredentialsForm
from machines.models import Bmc, Cluster, Credentials, Disk, Interface, Machine, MachineType, Sighting, Site, Vlan

admin.site.site_header = "Dodai inventory"
admin.site.site_title = "Dodai"
admin.site.index_title = "Inventory"
admin.site.site_url = "/"


class BmcInline(admin.StackedInline):
    model = Bmc
    form = BmcForm
    extra = 0
    fields = (("driver", "host", "port"), ("credentials", "username"), ("password", "forget_password"), "system_id")


class InterfaceInline(admin.TabularInline):
    model = Interface
    extra = 0
    fields = ("mac", "name", "is_pxe", "address", "gateway", "dns", "switch", "switch_port")


class DiskInline(admin.TabularInline):
    model = Disk
    extra = 0
    fields = ("serial", "wwn", "size_bytes", "model", "is_root", "path")
    readonly_fields = ("path",)


@admin.register(Machine)
class MachineAdmin(admin.ModelAdmin):
    list_display = ("name", "state", "site", "type", "cluster", "rack", "unit", "owner", "protected")
    list_filter = ("state", "site", "type", "cluster", "protected")
    list_select_related = ("site", "type", "cluster")
    search_fields = ("name", "serial", "uuid", "owner", "interfaces__mac", "bmc__host")
    inlines = (BmcInline, InterfaceInline, DiskInline)
    readonly_fields = ("state", "image_name", "inspected_at")
    fieldsets = (
        (None, {"fields": ("name", ("site", "type", "cluster"), ("rack", "unit"), ("serial", "uuid"))}),
        ("People", {"fields": ("owner", "notes", "protected")}),
        ("Dodai's own", {"fields": ("state", "image_name", "inspected_at")}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Machine | None = None) -> bool:
        """Not while something is at work on it. One with a history is kept by the database: retire it."""
        return super().has_delete_permission(request, obj) and not (obj and obj.handled_by)

    def view_on_site(self, obj: Machine) -> str:
        return f"/machines/{obj.name}/"


@admin.register(Credentials)
class CredentialsAdmin(admin.ModelAdmin):
    form = CredentialsForm
    list_display = ("name", "username")


@admin.register(Cluster)
class ClusterAdmin(admin.ModelAdmin):
    list_display = ("name", "vlan", "colour")
    list_select_related = ("vlan",)


@admin.register(Vlan)
class VlanAdmin(admin.ModelAdmin):
    list_display = ("vid", "name")


@admin.register(MachineType)
class MachineTypeAdmin(admin.ModelAdmin):
    list_display = ("name", "boot_order", "local_boot", "kernel_args")


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):
    list_display = ("name", "provision_url", "image_url", "is_practice")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Site]:
        return super().get_queryset(request).order_by("name")


@admin.register(Sighting)
class SightingAdmin(admin.ModelAdmin):
    list_display = ("mac", "last_seen_at", "count", "address", "platform", "serial")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Sighting | None = None) -> bool:
        return False
