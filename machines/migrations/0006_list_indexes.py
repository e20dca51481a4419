from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("machines", "0005_history")]
    operations = [
        migrations.AddField("site", "closed_at", models.DateTimeField(blank=True, editable=False, null=True)),
    ]
