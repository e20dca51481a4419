"""Apart from the copy: PostgreSQL drops no column of a table that was read for new rows in the same transaction."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('installs', '0007_script_apart'),
    ]

    operations = [
        migrations.RemoveField(model_name='install', name='script'),
    ]
