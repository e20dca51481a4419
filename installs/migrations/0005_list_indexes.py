from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("installs", "0004_notices")]
    operations = [migrations.AddIndex("install", models.Index(fields=["state", "machine"], name="installs_by_state"))]
