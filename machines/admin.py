"""The inventory, for editing. What machines do is on the pages: the actions here only lead there."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from machines.forms import BmcForm, CredentialsForm
from machines.inventory_admin import InventoryAdmin
from machines.models import (
    Bmc,
    Cluster,
    Credentials,
    Disk,
    Interface,
    Link,
    Machine,
    MachineType,
    Sighting,
    Site,
    Switch,
    Vlan,
)
from machines.switch_admin import SwitchAdmin

MOST_AT_ONCE = 200  # of one action: their numbers stand in the address of the page it leads to

admin.site.site_header = gettext_lazy("Dodai inventory")
admin.site.site_title = "Dodai"
admin.site.index_title = gettext_lazy("Inventory")
admin.site.site_url = "/"
admin.site.enable_nav_sidebar = False


class BmcInline(admin.StackedInline):
    model = Bmc
    form = BmcForm
    extra = 0
    fields = (("driver", "host", "port"), ("credentials", "username"), ("password", "forget_password"), "system_id")
    autocomplete_fields = ("credentials",)


class InterfaceInline(admin.TabularInline):
    model = Interface
    extra = 0
    fields = ("mac", "name", "is_pxe", "role", "bond", "address", "gateway", "dns", "switch", "switch_port")
    autocomplete_fields = ("switch",)


class LinkInline(admin.TabularInline):
    model = Link
    extra = 0
    fields = ("kind", "name", "mode", "vid", "over", "address", "gateway", "dns")


class DiskInline(admin.TabularInline):
    model = Disk
    extra = 0
    fields = ("serial", "wwn", "size_bytes", "model", "is_root", "path")
    readonly_fields = ("path",)


@admin.register(Machine)
class MachineAdmin(InventoryAdmin):
    list_display = ("name", "state", "site", "type", "cluster", "rack", "unit", "bmc_address", "owner", "protected")
    list_filter = ("state", "site", "type", "cluster", "protected", "bmc__driver")
    list_select_related = ("site", "type", "cluster", "bmc")
    list_per_page = 50
    search_fields = (
        "name",
        "serial",
        "uuid",
        "owner",
        "rack",
        "interfaces__mac",
        "interfaces__switch__name",
        "bmc__host",
    )
    search_help_text = gettext_lazy("Name, serial number, UUID, owner, rack, MAC, switch or BMC address")
    autocomplete_fields = ("site", "type", "cluster")
    inlines = (BmcInline, InterfaceInline, LinkInline, DiskInline)
    readonly_fields = ("state", "image_name", "inspected_at")
    actions = ("install", "inspect", "power")
    fieldsets = (
        (None, {"fields": ("name", ("site", "type", "cluster"), ("rack", "unit"), ("serial", "uuid"))}),
        (gettext_lazy("People"), {"fields": ("owner", "notes", "protected")}),
        (gettext_lazy("Dodai's own"), {"fields": ("state", "image_name", "inspected_at")}),
    )

    @admin.display(description="BMC", ordering="bmc__host")
    def bmc_address(self, machine: Machine) -> str:
        bmc = getattr(machine, "bmc", None)
        return (bmc.host or bmc.get_driver_display()) if bmc else "-"

    def has_delete_permission(self, request: HttpRequest, obj: Machine | None = None) -> bool:
        """Not while something is at work on it. One with a history is kept by the database: retire it."""
        return super().has_delete_permission(request, obj) and not (obj and obj.handled_by)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Machine | None:
        """What is saved is the whole row: locked, so that it takes back nothing that the engine writes meanwhile."""
        machine: Machine | None = super().get_object(request, object_id, from_field)
        if machine is not None and transaction.get_connection().in_atomic_block and request.method == "POST":
            machine.refresh_from_db(from_queryset=Machine.objects.select_for_update())
        return machine

    def has_install_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("machines.install_machine")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("machines.operate_machine")

    def view_on_site(self, obj: Machine) -> str:
        return reverse("machine", args=[obj.name])

    @admin.action(description=gettext_lazy("Install… (shows the plan first)"), permissions=["install"])
    def install(self, request: HttpRequest, machines: QuerySet[Machine]) -> HttpResponse | None:
        return self._page_for(request, machines, reverse("plan_many"))

    @admin.action(description=gettext_lazy("Inspect… (asks first)"), permissions=["operate"])
    def inspect(self, request: HttpRequest, machines: QuerySet[Machine]) -> HttpResponse | None:
        return self._page_for(request, machines, reverse("many", args=["inspect"]))

    @admin.action(description=gettext_lazy("Power… (asks first)"), permissions=["operate"])
    def power(self, request: HttpRequest, machines: QuerySet[Machine]) -> HttpResponse | None:
        return self._page_for(request, machines, reverse("many", args=["power"]))

    def _page_for(self, request: HttpRequest, machines: QuerySet[Machine], page: str) -> HttpResponse | None:
        numbers = list(machines.order_by("name").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        if len(numbers) > MOST_AT_ONCE:
            self.message_user(
                request, _("Choose at most %(count)s machines at once.") % {"count": MOST_AT_ONCE}, messages.ERROR
            )
            return None
        return redirect(f"{page}?{urlencode([('machines', number) for number in numbers])}")


class WithMachines(InventoryAdmin):
    """Lists how many machines each has."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(machine_count=Count("machines", distinct=True))

    @admin.display(description=gettext_lazy("machines"), ordering="machine_count")
    def machine_count(self, thing: Any) -> int:
        return int(thing.machine_count)


@admin.register(Credentials)
class CredentialsAdmin(InventoryAdmin):
    form = CredentialsForm
    list_display = ("name", "username")
    search_fields = ("name", "username")
    ordering = ("name",)


@admin.register(Cluster)
class ClusterAdmin(WithMachines):
    list_display = ("name", "vlan", "colour", "machine_count")
    list_filter = ("vlan",)
    list_select_related = ("vlan",)
    search_fields = ("name",)
    autocomplete_fields = ("vlan",)


@admin.register(Vlan)
class VlanAdmin(InventoryAdmin):
    list_display = ("vid", "name")
    search_fields = ("name", "vid")


admin.site.register(Switch, SwitchAdmin)


@admin.register(MachineType)
class MachineTypeAdmin(WithMachines):
    list_display = ("name", "boot_order", "local_boot", "kernel_args", "machine_count")
    list_filter = ("boot_order", "local_boot")
    search_fields = ("name",)


@admin.register(Site)
class SiteAdmin(WithMachines):
    list_display = ("name", "provision_url", "image_url", "is_practice", "machine_count")
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(Sighting)
class SightingAdmin(admin.ModelAdmin):
    list_display = ("mac", "last_seen_at", "count", "address", "platform", "serial")
    search_fields = ("mac", "serial", "uuid")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Sighting | None = None) -> bool:
        return False
