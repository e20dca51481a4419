"""Switches are rows; what was entered as text stands beside them until it is one of them."""

import django.db.models.deletion
import django.utils.timezone
import machines.models.switches
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('machines', '0007_settings'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalSwitch',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_by', models.CharField(blank=True, max_length=150)),
                ('history_changes', models.JSONField(default=dict)),
                ('name', models.CharField(db_index=True, max_length=63, verbose_name='name')),
                ('driver', models.CharField(choices=machines.models.switches.network_drivers, default='manual', max_length=20, verbose_name='network driver')),
                ('settings', models.JSONField(blank=True, default=dict, editable=False, verbose_name='settings')),
                ('vlans', models.CharField(blank=True, help_text='Numbers and ranges, like 210-219, 300. A port that is in another VLAN is left alone.', max_length=1000, validators=[machines.models.switches.validate_vlans], verbose_name='VLANs that Dodai may use')),
                ('ports', models.TextField(blank=True, help_text='Names and ranges, like Ethernet1/1..24, Ethernet2/7. Empty: none.', max_length=20000, validators=[machines.models.switches.validate_ports], verbose_name='ports that Dodai may move')),
                ('notes', models.TextField(blank=True, verbose_name='notes')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('quarantine', models.ForeignKey(blank=True, db_constraint=False, help_text='Where ports of machines wait that belong to nobody.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='machines.vlan', verbose_name='quarantine VLAN')),
            ],
            options={
                'verbose_name': 'historical switch',
                'verbose_name_plural': 'historical switches',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
                'default_permissions': (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Switch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=63, unique=True, verbose_name='name')),
                ('driver', models.CharField(choices=machines.models.switches.network_drivers, default='manual', max_length=20, verbose_name='network driver')),
                ('settings', models.JSONField(blank=True, default=dict, editable=False, verbose_name='settings')),
                ('secrets_sealed', models.TextField(blank=True, editable=False, verbose_name='secret settings')),
                ('vlans', models.CharField(blank=True, help_text='Numbers and ranges, like 210-219, 300. A port that is in another VLAN is left alone.', max_length=1000, validators=[machines.models.switches.validate_vlans], verbose_name='VLANs that Dodai may use')),
                ('ports', models.TextField(blank=True, help_text='Names and ranges, like Ethernet1/1..24, Ethernet2/7. Empty: none.', max_length=20000, validators=[machines.models.switches.validate_ports], verbose_name='ports that Dodai may move')),
                ('notes', models.TextField(blank=True, verbose_name='notes')),
                ('held_by', models.CharField(blank=True, editable=False, max_length=32)),
                ('held_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('read_asked_by', models.CharField(blank=True, editable=False, max_length=150)),
                ('read_asked_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('read_at', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='ports read')),
                ('read_report', models.JSONField(blank=True, default=list, editable=False)),
                ('quarantine', models.ForeignKey(blank=True, help_text='Where ports of machines wait that belong to nobody.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='machines.vlan', verbose_name='quarantine VLAN')),
            ],
            options={
                'verbose_name': 'switch',
                'verbose_name_plural': 'switches',
                'ordering': ['name'],
            },
        ),
        migrations.RenameField("interface", "switch", "switch_name"),
        migrations.RenameField("historicalinterface", "switch", "switch_name"),
        migrations.AddField(
            model_name="historicalinterface",
            name="switch",
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="machines.switch", verbose_name="switch"),
        ),
        migrations.AddField(
            model_name="interface",
            name="switch",
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="interfaces", to="machines.switch", verbose_name="switch"),
        ),
        migrations.CreateModel(
            name='PortMove',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('port', models.CharField(max_length=63, verbose_name='port')),
                ('before', models.PositiveSmallIntegerField(help_text='VLAN that was read before; null: none', null=True)),
                ('vlan', models.PositiveSmallIntegerField(help_text='VLAN it was to go to; null: none', null=True)),
                ('after', models.PositiveSmallIntegerField(help_text='VLAN that was read afterwards; null: none', null=True)),
                ('state', models.CharField(choices=[('moving', 'under way'), ('asked', 'waits for an operator'), ('moved', 'moved'), ('put_back', 'put back'), ('failed', 'not moved'), ('astray', 'could not be put back'), ('withdrawn', 'no longer wanted')], default='moving', max_length=10, verbose_name='state')),
                ('problem', models.CharField(blank=True, max_length=500)),
                ('asked_by', models.CharField(max_length=150)),
                ('asked_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('ended_by', models.CharField(blank=True, max_length=150)),
                ('ended_at', models.DateTimeField(null=True)),
                ('interface', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='moves', to='machines.interface', verbose_name='network card')),
                ('switch', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='moves', to='machines.switch', verbose_name='switch')),
            ],
            options={
                'verbose_name': 'move of a port',
                'verbose_name_plural': 'moves of ports',
                'ordering': ['-pk'],
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('state__in', ['moving', 'asked'])), fields=('switch', 'port'), name='one_live_move_per_port')],
            },
        ),
    ]
