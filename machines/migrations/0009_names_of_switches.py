"""Each switch that was named on a network card becomes a row, moved by hand. The groups may see and edit them."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.functions import Trim


def names_to_rows(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    interface, switch = apps.get_model("machines", "Interface"), apps.get_model("machines", "Switch")
    past = apps.get_model("machines", "HistoricalInterface")
    named = interface.objects.exclude(switch_name="").annotate(trimmed=Trim("switch_name"))
    for name in sorted(set(named.values_list("trimmed", flat=True)) - {""}):
        row, _ = switch.objects.get_or_create(name=name, defaults={"driver": "manual"})
        named.filter(trimmed=name).update(switch=row)
        past.objects.annotate(trimmed=Trim("switch_name")).filter(trimmed=name).update(switch=row)


def rows_to_names(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    switch = apps.get_model("machines", "Switch")
    for model in ("Interface", "HistoricalInterface"):
        for row in switch.objects.all():
            apps.get_model("machines", model).objects.filter(switch=row).update(switch_name=row.name)


def permit(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are normally made after all migrations; the groups need them now.
    config = apps.get_app_config("machines")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    permission, group = apps.get_model("auth", "Permission"), apps.get_model("auth", "Group")
    own = permission.objects.filter(content_type__app_label="machines", content_type__model="switch")
    for name in ("viewer", "operator", "admin"):
        for each in group.objects.filter(name=name):
            each.permissions.add(*(own if name == "admin" else own.filter(codename="view_switch")))


class Migration(migrations.Migration):
    dependencies = [("machines", "0008_switches"), ("auth", "0012_alter_user_first_name_max_length"), ("contenttypes", "0002_remove_content_type_name")]
    operations = [
        migrations.RunPython(names_to_rows, rows_to_names),
        migrations.RunPython(permit, migrations.RunPython.noop),
    ]
