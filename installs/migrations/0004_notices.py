"""Notices of how installs ended, and who among the groups may say who gets them."""

import django.db.models.deletion
import django.utils.timezone
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import installs.models.notices


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Admins only: an address may carry a secret of the receiver's."""
    config = apps.get_app_config("installs")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    permission, group = apps.get_model("auth", "Permission"), apps.get_model("auth", "Group")
    names = [f"{verb}_noticetarget" for verb in ("view", "add", "change", "delete")] + ["view_notice"]
    own = permission.objects.filter(content_type__app_label="installs", codename__in=names)
    group.objects.get(name="admin").permissions.add(*own)


class Migration(migrations.Migration):

    dependencies = [
        ('installs', '0003_image_imports'),
        ('machines', '0002_groups_and_sites'),
    ]

    operations = [
        migrations.CreateModel(
            name='NoticeTarget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=63, unique=True, verbose_name='name')),
                ('kind', models.CharField(choices=[('webhook', 'Webhook'), ('mail', 'Mail')], default='webhook', max_length=10, verbose_name='kind')),
                ('address', models.CharField(max_length=500, verbose_name='address')),
                ('secret_sealed', models.TextField(blank=True, editable=False)),
                ('is_private', models.BooleanField(default=False, verbose_name='allow private addresses')),
                ('on_failed', models.BooleanField(default=True, verbose_name='failed')),
                ('on_installed', models.BooleanField(default=False, verbose_name='installed')),
                ('on_cancelled', models.BooleanField(default=False, verbose_name='cancelled')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('cluster', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notice_targets', to='machines.cluster')),
            ],
            options={
                'verbose_name': 'notice target',
                'verbose_name_plural': 'notice targets',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.CharField(default=installs.models.notices.new_uid, max_length=40, unique=True)),
                ('kind', models.CharField(choices=[('install.failed', 'failed'), ('install.installed', 'installed'), ('install.cancelled', 'cancelled'), ('test', 'test')], max_length=20)),
                ('payload', models.JSONField(help_text='The body, as it was when it happened')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('again_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('lease_until', models.DateTimeField(null=True)),
                ('owner', models.CharField(blank=True, max_length=32)),
                ('count', models.PositiveSmallIntegerField(default=0, help_text='How often it was tried')),
                ('ended_at', models.DateTimeField(null=True)),
                ('is_delivered', models.BooleanField(default=False)),
                ('install', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='installs.install')),
                ('target', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='installs.noticetarget')),
            ],
            options={
                'verbose_name': 'notice',
                'verbose_name_plural': 'notices',
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='NoticeTry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('took', models.DurationField()),
                ('is_good', models.BooleanField()),
                ('result', models.CharField(max_length=300)),
                ('notice', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tries', to='installs.notice')),
            ],
            options={
                'verbose_name': 'delivery attempt',
                'verbose_name_plural': 'delivery attempts',
                'ordering': ['-pk'],
            },
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('ended_at', None)), fields=['again_at'], name='waiting_notices_by_time'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(condition=models.Q(('install__isnull', False)), fields=('target', 'install', 'kind'), name='an_end_is_told_once_to_each'),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
