"""Who works for whom, signs of life, and the credentials that a session made.

Running it live adds three columns without a default to compute, an empty table, an index and a check over the sessions, which reads them
once while they are locked: some milliseconds for a hundred thousand. Undoing it forgets which session made which credential.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

import core.ids


class Migration(migrations.Migration):
    dependencies = [("containment", "0010_raising_a_source_takes_two")]
    operations = [
        migrations.AddField("session", "gate_before", models.JSONField(default=dict)),
        migrations.AddField("session", "heartbeat_seconds", models.PositiveIntegerField(null=True)),
        migrations.AddField("session", "heartbeat_at", models.DateTimeField(null=True)),
        migrations.AddIndex(
            "session",
            models.Index(fields=["expires_at"], condition=Q(ended_at__isnull=True, expires_at__isnull=False), name="session_by_its_end"),
        ),
        migrations.AddConstraint(
            "session",
            models.CheckConstraint(condition=Q(parent__isnull=True) | ~Q(parent=F("id")), name="no_session_works_for_itself"),
        ),
        migrations.CreateModel(
            name="MintedCredential",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("told_by", models.TextField()),
                ("vouched", models.BooleanField(default=False)),
                ("told_at", models.DateTimeField()),
                ("state", models.TextField(default="standing")),
                ("settled_by", models.TextField(blank=True, default="")),
                ("settled_by_name", models.TextField(blank=True, default="")),
                ("settled_at", models.DateTimeField(null=True)),
                ("because", models.TextField(blank=True, default="")),
                (
                    "credential",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="mints", to="containment.credential"),
                ),
                (
                    "session",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="mints", to="containment.session"),
                ),
            ],
            options={
                "db_table": "minted_credential",
                "ordering": ["told_at", "id"],
                "constraints": [
                    models.UniqueConstraint(fields=["session", "credential"], name="one_line_per_minted_credential"),
                    models.CheckConstraint(
                        condition=Q(state__in=("standing", "cut", "cleared", "accepted")), name="state_of_a_minted_credential_is_known"
                    ),
                    models.CheckConstraint(
                        condition=Q(state="standing") | (Q(settled_at__isnull=False) & ~Q(settled_by="")),
                        name="a_settled_mint_says_by_whom",
                    ),
                ],
            },
        ),
    ]
