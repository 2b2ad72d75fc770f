"""Published plans, runs, steps and the journal of attempts, which is final.

Runs on an empty database. Undoing it drops all runs: undo them first, so that nothing stays contained without a record.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import core.ids
from audit.rights import final


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PlaybookVersion",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("version", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("digest", models.TextField()),
                ("kinds", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ("drives", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("pattern", models.TextField(default="any")),
                ("state", models.TextField(default="draft")),
                ("shipped", models.BooleanField(default=False)),
                ("drafted_at", models.DateTimeField()),
                ("in_force_at", models.DateTimeField(null=True)),
                (
                    "approver",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "playbook_version",
                "ordering": ["name", "-version"],
                "constraints": [
                    models.UniqueConstraint(fields=("name", "version"), name="one_text_per_playbook_version"),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "in_force")), fields=("name",), name="one_version_in_force_per_playbook"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("author", models.F("approver")), _negated=True),
                            ("author__isnull", True),
                            ("approver__isnull", True),
                            _connector="OR",
                        ),
                        name="playbook_author_does_not_approve",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "in_force"), _negated=True), ("shipped", True), ("approver__isnull", False), _connector="OR"
                        ),
                        name="playbook_in_force_is_approved",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("identity_ref", models.TextField()),
                ("case_ref", models.TextField()),
                ("decision_ref", models.TextField()),
                ("control_family", models.TextField(default="access")),
                ("target", models.JSONField()),
                ("plan", models.JSONField()),
                ("plan_digest", models.TextField()),
                ("stage", models.TextField(default="soft")),
                ("state", models.TextField(default="prepared")),
                ("because", models.TextField(default="")),
                ("engine_version", models.PositiveIntegerField(default=1)),
                ("lease_owner", models.TextField(default="")),
                ("fence", models.BigIntegerField(default=0)),
                ("lease_until", models.DateTimeField(null=True)),
                ("next_at", models.DateTimeField(null=True)),
                ("crash_count", models.PositiveIntegerField(default=0)),
                ("last_executor", models.TextField(default="")),
                ("created_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(null=True)),
                ("contained_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("proof_level", models.TextField(default="")),
                ("residual_until", models.DateTimeField(null=True)),
                ("undo_reason", models.TextField(default="")),
                ("undo_by", models.TextField(default="")),
                ("undo_at", models.DateTimeField(null=True)),
                ("playbook", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="playbooks.playbookversion")),
            ],
            options={
                "db_table": "run",
                "ordering": ["-created_at"],
                "indexes": [
                    models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="run_due"),
                    models.Index(fields=["case_ref"], name="run_by_case"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                [
                                    "contained",
                                    "needs_human",
                                    "partial",
                                    "pending",
                                    "prepared",
                                    "running",
                                    "undoing",
                                    "verifying",
                                    "waiting",
                                ],
                            )
                        ),
                        fields=("identity_ref", "control_family"),
                        name="one_live_run_per_identity_and_family",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Step",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("seq", models.PositiveIntegerField()),
                ("stage", models.TextField()),
                ("measure", models.TextField()),
                ("connector", models.TextField()),
                ("parameters", models.JSONField(default=dict)),
                ("timeout_s", models.FloatField(default=10)),
                ("on_failure", models.TextField(default="stop")),
                ("disruptive", models.BooleanField(default=True)),
                ("effect", models.TextField()),
                ("on_ambiguous", models.TextField()),
                ("inverse", models.TextField()),
                ("settle_s", models.FloatField(default=30)),
                ("state", models.TextField(default="planned")),
                ("key", models.UUIDField(default=core.ids.uuid7)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("performed", models.BooleanField(default=False)),
                ("was", models.JSONField(null=True)),
                ("was_sealed", models.BinaryField(null=True)),
                ("said", models.TextField(default="")),
                ("left", models.JSONField(default=list)),
                ("diff", models.JSONField(null=True)),
                ("proof_level", models.TextField(default="")),
                ("proof", models.JSONField(default=dict)),
                ("next_at", models.DateTimeField(null=True)),
                ("verify_until", models.DateTimeField(null=True)),
                ("residual_until", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("settled_at", models.DateTimeField(null=True)),
                ("run", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="playbooks.run")),
            ],
            options={
                "db_table": "run_step",
                "ordering": ["run", "seq"],
                "constraints": [models.UniqueConstraint(fields=("run", "seq"), name="one_step_per_place_in_a_run")],
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("n", models.PositiveIntegerField()),
                ("direction", models.TextField()),
                ("kind", models.TextField()),
                ("at", models.DateTimeField()),
                ("fence", models.BigIntegerField()),
                ("worker", models.TextField()),
                ("executor", models.TextField()),
                ("outcome", models.TextField(default="")),
                ("said", models.TextField(default="")),
                ("step", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="journal", to="playbooks.step")),
            ],
            options={
                "db_table": "run_attempt",
                "ordering": ["id"],
                "indexes": [models.Index(fields=["executor"], name="attempt_by_executor")],
            },
        ),
        final("run_attempt"),
    ]
