"""The live sessions of an identity, and of a credential, are found without reading those that ended: every call asks for them.

Running it live builds two partial indexes, which reads the sessions once while nobody can write them: some milliseconds for a hundred
thousand. Undoing it only drops them.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("containment", "0012_who_discovered_an_identity")]
    operations = [
        migrations.AddIndex(
            "session",
            models.Index(fields=["identity"], condition=Q(ended_at__isnull=True), name="live_session_by_identity"),
        ),
        migrations.AddIndex(
            "session",
            models.Index(
                fields=["credential"], condition=Q(ended_at__isnull=True, credential__isnull=False), name="live_session_by_credential"
            ),
        ),
    ]
