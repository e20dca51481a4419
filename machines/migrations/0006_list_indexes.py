from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("machines", "0005_history")]
    operations = [
        migrations.AddField("site", "closed_at", models.DateTimeField(blank=True, editable=False, help_text="Since when nobody wants it", null=True)),
        migrations.AddIndex("machine", models.Index(fields=["name", "state", "site", "cluster", "rack", "unit", "power_state", "power_seen_at", "power_error", "image_name", "serial", "owner"], name="machines_as_listed")),
    ]
