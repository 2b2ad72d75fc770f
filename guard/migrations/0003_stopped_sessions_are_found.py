"""Stopped sessions are found without reading the others.

Each web process asks twice a second which sessions are paused, restricted or were ended for their agent, while a runtime waits for that. The
rows are containment's and only this room looks for them so; the indexes hold stopped sessions alone. On a large table, make them beforehand
with CREATE INDEX CONCURRENTLY, under these names: they are found here then. Undoing it drops them.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("guard", "0002_rows_are_final"),
        ("containment", "0011_sessions_that_work_for_others"),
    ]

    operations = [
        migrations.RunSQL(
            """
            CREATE INDEX IF NOT EXISTS session_held ON session (id) WHERE gate IN ('paused', 'restricted');
            CREATE INDEX IF NOT EXISTS session_cut ON session (gated_at) WHERE gate = 'ended' AND gate_key <> '';
            """,
            "DROP INDEX IF EXISTS session_held; DROP INDEX IF EXISTS session_cut;",
        ),
    ]
