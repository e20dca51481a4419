"""The admin's own parts: users, and who may look into the queues."""

from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard

from dodaiweb import asked, deeds
from dodaiweb.views import login

ROLES = ("viewer", "operator", "admin")

VERBS = {
    "add": _("Can add %(what)s"), "change": _("Can change %(what)s"),
    "delete": _("Can delete %(what)s"), "view": _("Can view %(what)s"),
}  # fmt: skip

for model in (Dashboard, Group, User):
    admin.site.unregister(model)


class PermissionsField(forms.ModelMultipleChoiceField):
    """Says in the reader's language what the database keeps in English."""

    def label_from_instance(self, permission: Permission) -> str:
        kind = permission.content_type
        verb, _joint, model = permission.codename.partition("_")
        is_stock = verb in VERBS and model == kind.model
        words = VERBS[verb] % {"what": kind.name} if is_stock else gettext(permission.name)
        return f"{kind} | {words}"


@admin.register(Group)
class Groups(GroupAdmin):
    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, form_class=PermissionsField, **kwargs)


@admin.register(User)
class Users(UserAdmin):
    """Admins enter people and put them into the three groups; superusers and anything finer are for superusers.

    Who is in the group admin may use these pages: `is_staff` follows the group and is nowhere to be ticked.
    """

    list_display = ("username", "first_name", "last_name", "email", "roles", "is_active", "is_superuser", "last_login")
    list_filter = ("groups", "is_active", "is_superuser")
    actions = ("unlock",)
    people = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("What they may do"), {"fields": ("is_active", "groups")}),
    )
    finer = ((_("Superusers only"), {"classes": ("collapse",), "fields": ("is_superuser", "user_permissions")}),)
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "usable_password", "password1", "password2", "groups")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("groups"))
    def roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        return self.people + self.finer if request.user.is_superuser else self.people

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        beyond = obj is not None and obj.is_superuser and not request.user.is_superuser
        return super().has_change_permission(request, obj) and not beyond

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Whoever sets a password can log in as that person: nobody gets rights by it that they have not."""
        if not request.user.is_superuser and _rights(id) - _rights(request.user.pk):
            raise PermissionDenied
        return super().user_change_password(request, id, form_url)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups" and not request.user.is_superuser:
            number = request.resolver_match.kwargs.get("object_id", "") if request.resolver_match else ""
            kept = Q(user=asked.number(number))  # saving takes nobody out of others
            kwargs["queryset"] = Group.objects.filter(Q(name__in=ROLES) | kept).distinct()
        if db_field.name == "user_permissions":
            kwargs["form_class"] = PermissionsField
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        user = form.instance
        user.is_staff = user.is_superuser or user.groups.filter(name="admin").exists()
        user.save(update_fields=["is_staff"])

    @admin.action(description=_("Unlock logging in"), permissions=["change"])
    def unlock(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            login.unlock(user.username)
            deeds.note(request.user, deeds.Deed.UNLOCKED, user)
        messages.success(request, _("They can log in again at once."))


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


def _rights(user: Any) -> set[int]:
    """Permissions of a user, by their own and by groups, whether the account is active now or not."""
    number = asked.number(str(user))
    held = Permission.objects.filter(Q(user=number) | Q(group__user=number))
    return set(held.values_list("pk", flat=True))


def _for_superusers(view: Any) -> Any:
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_staff and not request.user.is_superuser:
            raise PermissionDenied
        answer: HttpResponse = view(request, *args, **kwargs)
        return answer

    return checked
