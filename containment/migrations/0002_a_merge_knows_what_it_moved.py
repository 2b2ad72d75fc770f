"""Merges of identities, with what each one moved, so that a split can put exactly that back.

A new, empty table: safe to run live. Undoing it forgets what earlier merges moved; the merged identities themselves stay merged.
"""

import django.db.models.deletion
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("containment", "0001_who_exists_and_what_was_decided"),
    ]

    operations = [
        migrations.CreateModel(
            name="Merge",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("because", models.TextField()),
                ("moved", models.JSONField(default=dict)),
                ("merged_by", models.TextField()),
                ("merged_at", models.DateTimeField()),
                ("split_at", models.DateTimeField(null=True)),
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="merges", to="containment.identity"),
                ),
                (
                    "into",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="taken_in", to="containment.identity"),
                ),
            ],
            options={
                "db_table": "identity_merge",
                "ordering": ["-merged_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("split_at__isnull", True)), fields=("identity",), name="an_identity_is_merged_into_one_other"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("identity", models.F("into")), _negated=True), name="no_identity_is_merged_into_itself"
                    ),
                ],
            },
        ),
    ]
