"""Activity and the baselines that are learned from it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0002_a_merge_knows_what_it_moved")]
    operations = []
