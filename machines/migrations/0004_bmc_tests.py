import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("machines", "0003_key_proof")]
    operations = [
        migrations.AddField("bmc", "tested_at", models.DateTimeField(blank=True, editable=False, null=True)),
        migrations.AddField("bmc", "test_report", models.JSONField(blank=True, default=dict, editable=False)),
        migrations.AddField(
            "bmc", "cipher_suite", models.PositiveSmallIntegerField(blank=True, editable=False, null=True)
        ),
        migrations.AddField("bmc", "privilege", models.CharField(blank=True, editable=False, max_length=15)),
        migrations.AddField("bmc", "tls_fingerprint", models.CharField(blank=True, editable=False, max_length=64)),
        migrations.AddField("site", "reach_report", models.JSONField(blank=True, default=dict, editable=False)),
        migrations.CreateModel(
            name="Checkup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asked_by", models.CharField(max_length=150)),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("lease_until", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("findings", models.JSONField(default=list)),
            ],
            options={
                'verbose_name': 'check-up',
                'verbose_name_plural': 'check-ups',
                "ordering": ["-asked_at"],
                "constraints": [
                    models.UniqueConstraint(
                        models.Value(1), condition=models.Q(("ended_at", None)), name="one_live_checkup"
                    )
                ],
            },
        ),
    ]
