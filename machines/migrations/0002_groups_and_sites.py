"""The three groups and the site that machines belong to unless told otherwise."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

INVENTORY = "machine bmc interface disk cluster vlan site machinetype credentials sighting"
OPERATOR = ("operate_machine", "install_machine", "add_machine", "change_machine")


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are normally made after all migrations; the groups need them now.
    config = apps.get_app_config("machines")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    permission, group = apps.get_model("auth", "Permission"), apps.get_model("auth", "Group")
    own = permission.objects.filter(content_type__app_label="machines")
    views = own.filter(codename__in=[f"view_{name}" for name in INVENTORY.split()])
    group.objects.create(name="viewer").permissions.set(views)
    group.objects.create(name="operator").permissions.set(views | own.filter(codename__in=OPERATOR))
    group.objects.create(name="admin").permissions.set(own)
    apps.get_model("machines", "Site").objects.create(name="main")


class Migration(migrations.Migration):
    dependencies = [("machines", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length"), ("contenttypes", "0002_remove_content_type_name")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
