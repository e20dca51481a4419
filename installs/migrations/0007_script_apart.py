import django.db.models.deletion
from django.db import migrations, models


def copy_scripts(apps, schema_editor):
    """In the database: the scripts of ten thousand installs are hundreds of megabytes."""
    schema_editor.execute(
        "INSERT INTO installs_script (install_id, text) SELECT id, script FROM installs_install WHERE script <> ''"
    )


class Migration(migrations.Migration):

    dependencies = [
        ('installs', '0006_caps_and_waves'),
    ]

    operations = [
        migrations.CreateModel(
            name='Script',
            fields=[
                ('install', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='installs.install')),
                ('text', models.TextField(help_text='With a placeholder for the installer token')),
            ],
            options={
                'verbose_name': 'script',
                'verbose_name_plural': 'scripts',
            },
        ),
        migrations.RunPython(copy_scripts, migrations.RunPython.noop),
    ]
