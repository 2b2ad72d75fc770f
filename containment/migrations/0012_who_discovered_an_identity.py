"""Which source asked about an identity first, so that none fills the inventory with invented ones; and what the guard's own source may lead to.

Running it live adds a column with a constant default and a partial index that no row is in yet, which reads the identities once while they
are locked: some milliseconds for a hundred thousand. Undoing it forgets who discovered whom.
"""

from django.db import migrations, models
from django.db.models import Q

NOT_BY_ITSELF = "UPDATE source SET ceiling = 'hold' WHERE name = 'guard' AND ceiling = 'contain'"


class Migration(migrations.Migration):
    dependencies = [("containment", "0011_sessions_that_work_for_others")]
    operations = [
        migrations.AddField("identity", "discovered_by", models.TextField(blank=True, db_default="", default="")),
        migrations.AddIndex(
            "identity",
            models.Index(fields=["discovered_by", "discovered_at"], condition=~Q(discovered_by=""), name="identity_by_who_found_it"),
        ),
        migrations.RunSQL(NOT_BY_ITSELF, migrations.RunSQL.noop),
    ]
