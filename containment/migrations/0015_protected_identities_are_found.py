"""Before every cut the protected list is asked whether the name, however it is spelt, stands on it.

A small index: of the protected alone. Made while the table is only read for a moment; undoing it drops the index and nothing else.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("containment", "0014_many_at_once_what_was_taken_and_who_is_protected")]

    operations = [
        migrations.AddIndex(
            model_name="identity",
            index=models.Index(fields=["provider", "subject"], condition=Q(protected=True), name="protected_identities"),
        ),
    ]
