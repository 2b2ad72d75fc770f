"""Backtests of a policy over what was decided."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0006_the_life_of_a_policy")]
    operations = []
