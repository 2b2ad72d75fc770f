"""Activity and the baselines that are learned from it; where a resource lives; what a baseline said when a detection came in.

New, empty tables, and two columns with a default: safe to run live. Undoing it forgets what every identity usually does, so that it is
learned anew. `activity` is not partitioned: an id is remembered per source, and a unique index of a partitioned table cannot do that
without the time in it. The sweep removes old rows in small steps instead.
"""

import django.db.models.deletion
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [("containment", "0002_a_merge_knows_what_it_moved")]

    operations = [
        migrations.AddField(
            model_name="detection",
            name="noticed",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="resource",
            name="system",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.CreateModel(
            name="Baseline",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("role", models.TextField(blank=True, default="")),
                ("workflow", models.TextField(blank=True, default="")),
                ("tenant", models.TextField(blank=True, default="")),
                ("events", models.PositiveBigIntegerField(default=0)),
                ("newest_at", models.DateTimeField(null=True)),
                ("oldest_at", models.DateTimeField(null=True)),
                ("learned", models.JSONField(default=dict)),
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="baselines", to="containment.identity"),
                ),
            ],
            options={
                "db_table": "baseline",
                "ordering": ["identity", "role", "workflow", "tenant"],
                "constraints": [
                    models.UniqueConstraint(fields=("identity", "role", "workflow", "tenant"), name="one_baseline_per_identity_and_part")
                ],
            },
        ),
        migrations.CreateModel(
            name="DailyUse",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("workflow", models.TextField(blank=True, default="")),
                ("events", models.PositiveBigIntegerField(default=0)),
                (
                    "credential",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="containment.credential"
                    ),
                ),
                ("identity", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="containment.identity")),
                (
                    "session",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="containment.session"),
                ),
            ],
            options={
                "db_table": "daily_use",
                "ordering": ["-day"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("credential__isnull", False)), fields=["credential", "day"], name="daily_use_by_credential"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("identity", "day", "session", "workflow", "credential"), name="one_daily_use_per_way", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Habit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("about", models.TextField()),
                ("one", models.TextField()),
                ("two", models.TextField(blank=True, default="")),
                ("count", models.PositiveBigIntegerField(default=0)),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                (
                    "baseline",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="habits", to="containment.baseline"),
                ),
            ],
            options={
                "db_table": "habit",
                "ordering": ["-last_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("baseline", "about", "one", "two"), name="one_habit_per_baseline_and_thing"),
                    models.CheckConstraint(
                        condition=models.Q(("about__in", ["resource", "action", "pair", "move"])), name="habit_is_about_something_known"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Trail",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("newest_at", models.DateTimeField()),
                ("kept", models.JSONField(default=dict)),
                ("identity", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="containment.identity")),
                (
                    "session",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="containment.session"),
                ),
            ],
            options={
                "db_table": "trail",
                "ordering": ["-newest_at"],
                "indexes": [models.Index(fields=["newest_at"], name="trail_by_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("identity", "session"), name="one_trail_per_session", nulls_distinct=False)
                ],
            },
        ),
        migrations.CreateModel(
            name="Activity",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("external_id", models.TextField(null=True)),
                ("action", models.TextField()),
                ("count", models.PositiveIntegerField(default=1)),
                ("tool", models.TextField(blank=True, default="")),
                ("writes", models.BooleanField(null=True)),
                ("system", models.TextField(blank=True, default="")),
                ("occurred_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("learned", models.BooleanField(default=True)),
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="activity", to="containment.identity"),
                ),
                (
                    "resource",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.resource"),
                ),
                (
                    "session",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="activity", to="containment.session"
                    ),
                ),
                ("source", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.source")),
            ],
            options={
                "db_table": "activity",
                "ordering": ["-occurred_at", "-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("session__isnull", False)),
                        fields=["session", "action", "occurred_at"],
                        name="activity_by_session",
                    ),
                    models.Index(fields=["identity", "occurred_at"], name="activity_by_identity"),
                    models.Index(fields=["received_at"], name="activity_by_age"),
                ],
                "constraints": [models.UniqueConstraint(fields=("source", "external_id"), name="one_activity_per_source_and_external_id")],
            },
        ),
    ]
