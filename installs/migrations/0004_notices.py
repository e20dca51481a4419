from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("installs", "0003_image_imports")]
    operations = []
