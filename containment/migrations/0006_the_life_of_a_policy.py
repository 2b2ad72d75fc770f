"""Approvals by several people, the shadow version, and the ramp to enforce."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0005_limits_of_sources_and_exposures")]
    operations = []
