from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("installs", "0002_group_permissions")]
    operations = []
