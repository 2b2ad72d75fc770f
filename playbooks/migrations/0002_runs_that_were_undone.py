"""Every decision asks whether a person undid a run of its identity lately. Without an index that question reads every run there ever was.

Running it live takes a short lock on the runs; undoing it costs nothing but time.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("playbooks", "0001_runs_steps_and_their_journal")]
    operations = [
        migrations.AddIndex(
            "run",
            models.Index(condition=models.Q(("undo_at__isnull", False)), fields=["identity_ref", "undo_at"], name="runs_that_were_undone"),
        ),
    ]
