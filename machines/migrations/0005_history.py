from django.contrib.auth.management import create_permissions
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import machines.models.bmc
import machines.models.hardware
import simple_history.models
from django.conf import settings
from django.db import migrations, models

FOR_ADMINS = ["add_user", "change_user", "view_user", "view_group"]


def let_admins_manage_users(apps, schema_editor):
    """Users can be entered and put into groups, but groups and superusers are for superusers."""
    config = apps.get_app_config("auth")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="auth", codename__in=FOR_ADMINS
    )
    for group in apps.get_model("auth", "Group").objects.filter(name="admin"):
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0004_bmc_tests"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name='InventoryUpload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=43, unique=True)),
                ('by', models.CharField(max_length=150)),
                ('file_name', models.CharField(max_length=255)),
                ('sealed', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': 'inventory file',
                'verbose_name_plural': 'inventory files',
            },
        ),
        migrations.CreateModel(
            name='HistoricalBmc',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('driver', models.CharField(choices=machines.models.bmc.power_drivers, max_length=20, verbose_name='power driver')),
                ('host', models.CharField(blank=True, max_length=255, verbose_name='address')),
                ('port', models.PositiveIntegerField(default=623, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(65535)], verbose_name='port')),
                ('system_id', models.CharField(blank=True, help_text='Which system, on a BMC that has several', max_length=63, verbose_name='system')),
                ('username', models.CharField(blank=True, max_length=64, verbose_name='user name')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('credentials', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.credentials', verbose_name='credentials')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('machine', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.machine', verbose_name='machine')),
            ],
            options={
                'verbose_name': 'historical BMC',
                'verbose_name_plural': 'historical BMCs',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalCluster',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('name', models.CharField(db_index=True, max_length=63, verbose_name='name')),
                ('colour', models.CharField(default='#14b8a6', max_length=7, validators=[django.core.validators.RegexValidator('^#[0-9a-fA-F]{6}$', 'Write it as #14b8a6.')], verbose_name='colour')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('vlan', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.vlan', verbose_name='VLAN')),
            ],
            options={
                'verbose_name': 'historical cluster',
                'verbose_name_plural': 'historical clusters',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalCredentials',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('name', models.CharField(db_index=True, max_length=63, verbose_name='name')),
                ('username', models.CharField(max_length=64, verbose_name='user name')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical credentials',
                'verbose_name_plural': 'historical credentials',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalDisk',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('serial', models.CharField(blank=True, max_length=127, verbose_name='serial number')),
                ('wwn', models.CharField(blank=True, max_length=191, verbose_name='WWN')),
                ('is_root', models.BooleanField(default=False, verbose_name='installs go there')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('machine', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.machine', verbose_name='machine')),
            ],
            options={
                'verbose_name': 'historical disk',
                'verbose_name_plural': 'historical disks',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalInterface',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('mac', models.CharField(db_index=True, max_length=17, validators=[machines.models.hardware.validate_mac], verbose_name='MAC')),
                ('name', models.CharField(blank=True, max_length=31, verbose_name='name')),
                ('is_pxe', models.BooleanField(default=False, verbose_name='boots from the network')),
                ('address', models.CharField(blank=True, help_text='Static address with prefix, like 10.0.0.7/24; empty: DHCP', max_length=49, verbose_name='address')),
                ('gateway', models.GenericIPAddressField(blank=True, null=True, verbose_name='gateway')),
                ('dns', models.CharField(blank=True, help_text='Name servers, separated by commas', max_length=255, verbose_name='name servers')),
                ('switch', models.CharField(blank=True, max_length=63, verbose_name='switch')),
                ('switch_port', models.CharField(blank=True, max_length=63, verbose_name='switch port')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('machine', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.machine', verbose_name='machine')),
            ],
            options={
                'verbose_name': 'historical network card',
                'verbose_name_plural': 'historical network cards',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalMachine',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('name', models.CharField(db_index=True, max_length=63, validators=[django.core.validators.RegexValidator('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$', 'Use lower-case letters, digits and hyphens, at most 63, as in a host name (RFC 1123).')], verbose_name='name')),
                ('rack', models.CharField(blank=True, max_length=31, verbose_name='rack')),
                ('unit', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='unit')),
                ('serial', models.CharField(blank=True, max_length=127, verbose_name='serial number')),
                ('uuid', models.CharField(blank=True, max_length=36, verbose_name='system UUID')),
                ('owner', models.CharField(blank=True, max_length=127, verbose_name='owner')),
                ('notes', models.TextField(blank=True, verbose_name='notes')),
                ('protected', models.BooleanField(default=False, help_text='Nothing may be installed here or switched off.', verbose_name='protected')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('cluster', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.cluster', verbose_name='cluster')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('site', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.site', verbose_name='site')),
                ('type', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.machinetype', verbose_name='type')),
            ],
            options={
                'verbose_name': 'historical machine',
                'verbose_name_plural': 'historical machines',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalMachineType',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('name', models.CharField(db_index=True, max_length=63, verbose_name='name')),
                ('boot_order', models.CharField(choices=[('disk', 'Disk first; the network once, for an install'), ('network', 'Network first for ever; Dodai sends it to its disk')], default='disk', max_length=10, verbose_name='boot order')),
                ('local_boot', models.CharField(choices=[('auto', 'By firmware: exit 1 on UEFI, first disk on BIOS'), ('exit', 'exit (plain)'), ('exit1', 'exit 1'), ('sanboot', 'sanboot first disk')], default='auto', max_length=10, verbose_name='boot from its disk')),
                ('kernel_args', models.CharField(blank=True, help_text="Added to the installer's and the OS's kernel, like console=ttyS1,115200n8", max_length=255, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9_.,:=/+\\- ]*$', 'Only letters, digits, spaces and . , : = / + - _')], verbose_name='kernel arguments')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical machine type',
                'verbose_name_plural': 'historical machine types',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalSite',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('name', models.CharField(db_index=True, max_length=63, verbose_name='name')),
                ('provision_url', models.URLField(blank=True, help_text='How its machines reach Dodai; empty: as the server was started', verbose_name='provisioning URL')),
                ('image_url', models.URLField(blank=True, verbose_name='image URL')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical site',
                'verbose_name_plural': 'historical sites',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalVlan',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('vid', models.PositiveSmallIntegerField(db_index=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(4094)], verbose_name='VLAN number')),
                ('name', models.CharField(max_length=63, verbose_name='name')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical VLAN',
                'verbose_name_plural': 'historical VLANs',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.RunPython(let_admins_manage_users, migrations.RunPython.noop),
    ]
