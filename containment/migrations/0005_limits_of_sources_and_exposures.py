"""Limits of sources, alarms about them, reports of exposed credentials, and how often a signal or source was right.

New tables, and new columns with constant defaults: PostgreSQL adds them without rewriting a table. The index on `detection` is built while
nobody can write to it; on a large table build it beforehand, concurrently, under the same name. The meter of each source is not logged: it
is written for every message, says nothing about yesterday, and starts anew after a crash. Undoing forgets limits, alarms, reports and counts.
"""

import django.db.models.deletion
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [("containment", "0004_what_a_session_used")]

    operations = [
        migrations.CreateModel(
            name="Exposure",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("external_id", models.TextField()),
                ("body_digest", models.TextField()),
                ("where", models.TextField()),
                ("note", models.TextField(blank=True, default="")),
                ("store", models.TextField(blank=True, default="")),
                ("found_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("posted_by", models.TextField(blank=True, default="")),
                ("observed_because", models.TextField(blank=True, default="")),
                ("state", models.TextField(default="passing_on")),
                ("next_at", models.DateTimeField(null=True)),
                (
                    "source",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="exposures", to="containment.source"),
                ),
            ],
            options={
                "db_table": "exposure",
                "ordering": ["-received_at"],
                "indexes": [models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="exposure_due")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("next_at__isnull", True), ("state", "passed_on")),
                            models.Q(("next_at__isnull", False), ("state", "passing_on")),
                            _connector="OR",
                        ),
                        name="an_exposure_that_is_not_passed_on_is_due",
                    ),
                    models.UniqueConstraint(fields=("source", "external_id"), name="one_exposure_per_source_and_external_id"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExposureMember",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("place", models.PositiveIntegerField()),
                ("named", models.TextField()),
                ("found_by", models.TextField(blank=True, default="")),
                ("verified", models.BooleanField(default=False)),
                ("state", models.TextField(default="waiting")),
                ("said", models.TextField(blank=True, default="")),
                (
                    "credential",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="exposures", to="containment.credential"
                    ),
                ),
                ("detections", models.ManyToManyField(db_table="exposure_detection", related_name="exposed", to="containment.detection")),
                (
                    "exposure",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="members", to="containment.exposure"),
                ),
            ],
            options={
                "db_table": "exposure_member",
                "ordering": ["exposure", "place", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "passed_on", "unknown", "twice"])),
                        name="state_of_an_exposed_one_is_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("credential__isnull", False)),
                        fields=("exposure", "credential"),
                        name="a_credential_is_once_in_an_exposure",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["unknown", "twice"]), ("credential__isnull", False), _connector="OR"),
                        name="what_is_passed_on_is_a_credential",
                    ),
                ],
                "indexes": [
                    models.Index(condition=models.Q(("state", "waiting")), fields=["exposure", "place", "id"], name="exposed_and_waiting")
                ],
            },
        ),
        migrations.CreateModel(
            name="SourceAlarm",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("over", models.TextField()),
                ("limit", models.PositiveIntegerField(null=True)),
                ("because", models.TextField()),
                ("raised_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_because", models.TextField(blank=True, default="")),
                ("pardoned", models.BooleanField(default=False)),
                ("source", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="alarms", to="containment.source")),
            ],
            options={
                "db_table": "source_alarm",
                "ordering": ["-raised_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("over__in", ["rate", "budget", "person"])), name="what_a_source_went_over_is_known"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)), fields=("source",), name="one_open_alarm_per_source"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SourceMeter",
            fields=[
                (
                    "source",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="meter",
                        serialize=False,
                        to="containment.source",
                    ),
                ),
                ("level", models.FloatField()),
                ("minute", models.DateTimeField()),
                ("in_minute", models.PositiveIntegerField()),
                ("minute_before", models.PositiveIntegerField(default=0)),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "source_meter",
            },
        ),
        migrations.CreateModel(
            name="VerdictCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.TextField()),
                ("name", models.TextField()),
                ("true_positive", models.PositiveIntegerField(default=0)),
                ("benign", models.PositiveIntegerField(default=0)),
                ("harmless_but_right_to_stop", models.PositiveIntegerField(default=0)),
            ],
            options={
                "db_table": "verdict_count",
                "ordering": ["kind", "name"],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "name"), name="one_count_per_signal_or_source"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["signal", "source"])), name="what_verdicts_are_counted_for_is_known"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="case",
            name="counted",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="credential",
            name="exposed_where",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="credential",
            name="rotated_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="credential",
            name="secret_digest",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="credential",
            name="store",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="detection",
            name="observed_because",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="source",
            name="max_age_seconds",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="source",
            name="observes_because",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="source",
            name="observes_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="source",
            name="rate_per_minute",
            field=models.PositiveIntegerField(default=6000),
        ),
        migrations.AddField(
            model_name="source",
            name="state",
            field=models.TextField(default="active"),
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(condition=models.Q(("store", ""), _negated=True), fields=["store", "id"], name="credential_by_store"),
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(
                condition=models.Q(("secret_digest", ""), _negated=True), fields=["secret_digest"], name="credential_by_secret_digest"
            ),
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(fields=["fingerprint"], name="credential_by_fingerprint"),
        ),
        migrations.AddIndex(
            model_name="detection",
            index=models.Index(fields=["source", "received_at"], name="detection_by_source"),
        ),
        migrations.AddConstraint(
            model_name="source",
            constraint=models.CheckConstraint(condition=models.Q(("state__in", ["active", "observing"])), name="source_state_is_known"),
        ),
        migrations.AddConstraint(
            model_name="source",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "active"), models.Q(("observes_because", ""), _negated=True), _connector="OR"),
                name="a_source_that_observes_says_why",
            ),
        ),
        migrations.RunSQL(
            "ALTER TABLE source_meter SET UNLOGGED; ALTER TABLE source_meter SET (fillfactor = 50);",
            "ALTER TABLE source_meter SET LOGGED;",
        ),
    ]
