"""Limits of sources, alarms about them, and reports of exposed credentials."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0004_what_a_session_used")]
    operations = []
