"""Who works for whom, and signs of life."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0010_raising_a_source_takes_two")]
    operations = []
