import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('installs', '0002_group_permissions'),
    ]

    operations = [
        migrations.AddField(
            model_name='image',
            name='deleted_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='Kept for the history of machines that had it; the file is gone', null=True),
        ),
        migrations.AddField(
            model_name='image',
            name='imported_by',
            field=models.CharField(blank=True, editable=False, max_length=150),
        ),
        migrations.AddField(
            model_name='image',
            name='recipe',
            field=models.CharField(blank=True, editable=False, max_length=63),
        ),
        migrations.AddField(
            model_name='image',
            name='report',
            field=models.JSONField(blank=True, default=dict, editable=False),
        ),
        migrations.AddField(
            model_name='image',
            name='source',
            field=models.CharField(blank=True, editable=False, max_length=255),
        ),
        migrations.CreateModel(
            name='ImageImport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='Of the image that it becomes', max_length=63)),
                ('source', models.CharField(choices=[('upload', 'Upload'), ('url', 'URL'), ('path', 'File on the server'), ('debian', 'Debian 12, built here')], max_length=10)),
                ('location', models.TextField(blank=True, help_text='URL, path, or the name of the uploaded file')),
                ('sha256', models.CharField(blank=True, max_length=64, validators=[django.core.validators.RegexValidator('^[0-9a-f]{64}$', 'A SHA-256 digest has 64 hexadecimal digits.')], verbose_name='SHA-256')),
                ('fields', models.JSONField(blank=True, default=dict, help_text='Columns of the image, like root_mib')),
                ('requested_by', models.CharField(max_length=150)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('state', models.CharField(choices=[('receiving', 'Receiving'), ('waiting', 'Waiting'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='waiting', max_length=10)),
                ('phase', models.CharField(blank=True, max_length=15)),
                ('done', models.PositiveBigIntegerField(default=0, help_text='Bytes; packages while Debian is installed')),
                ('total', models.PositiveBigIntegerField(default=0, help_text='0: nobody knows')),
                ('progress_at', models.DateTimeField(null=True)),
                ('error', models.TextField(blank=True)),
                ('cancelled_by', models.CharField(blank=True, max_length=150)),
                ('started_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('owner', models.CharField(blank=True, help_text='Another random value at each claim', max_length=32)),
                ('lease_until', models.DateTimeField(null=True)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('again_at', models.DateTimeField(help_text='Not before, after a try that failed', null=True)),
                ('image', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='imports', to='installs.image')),
            ],
            options={
                'verbose_name': 'image import',
                'verbose_name_plural': 'image imports',
                'ordering': ['-pk'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state__in', ['receiving', 'waiting', 'running'])), fields=('name',), name='one_live_import_per_name')],
            },
        ),
    ]
