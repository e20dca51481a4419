"""What the groups may do with images and installs."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    config = apps.get_app_config("installs")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    permission, group = apps.get_model("auth", "Permission"), apps.get_model("auth", "Group")
    own = permission.objects.filter(content_type__app_label="installs")
    views = own.filter(codename__startswith="view_")
    for name in ("viewer", "operator"):
        group.objects.get(name=name).permissions.add(*views)
    editable = own.filter(codename__in=[f"{verb}_{name}" for verb in ("add", "change", "delete") for name in ("image", "sshkey")])
    group.objects.get(name="admin").permissions.add(*views, *editable)


class Migration(migrations.Migration):
    dependencies = [("installs", "0001_initial"), ("machines", "0002_groups_and_sites")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
