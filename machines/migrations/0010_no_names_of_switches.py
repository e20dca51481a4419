"""The text that has become a row goes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("machines", "0009_names_of_switches")]
    operations = [
        migrations.RemoveField("interface", "switch_name"),
        migrations.RemoveField("historicalinterface", "switch_name"),
    ]
