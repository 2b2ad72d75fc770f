"""What a session declared, called and used up: counters of its budgets, fingerprints of the values it has seen, and the call of a detection.

New, empty tables and a column with a default: safe to run live. Undoing it forgets where sessions that run just then have seen what, so
that their next writes are asked about more often than before.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("containment", "0003_what_identities_usually_do")]

    operations = [
        migrations.CreateModel(
            name="SessionUse",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="use",
                        serialize=False,
                        to="containment.session",
                    ),
                ),
                ("windows", models.JSONField(default=dict)),
                ("marks", models.PositiveIntegerField(default=0)),
                ("full_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "session_use"},
        ),
        migrations.AddField(model_name="detection", name="called", field=models.JSONField(default=dict)),
        migrations.CreateModel(
            name="SessionMark",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("mark", models.BinaryField(max_length=16)),
                ("seen", models.PositiveSmallIntegerField(default=0)),
                ("touched_at", models.DateTimeField(null=True)),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="containment.session"
                    ),
                ),
            ],
            options={
                "db_table": "session_mark",
                "indexes": [
                    models.Index(
                        condition=models.Q(("touched_at__isnull", False)), fields=["session", "touched_at"], name="session_mark_touched"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("session", "mark"), name="one_mark_per_session_and_value"),
                    models.CheckConstraint(condition=models.Q(("seen__lte", 31)), name="where_a_value_was_seen_is_known"),
                ],
            },
        ),
    ]
