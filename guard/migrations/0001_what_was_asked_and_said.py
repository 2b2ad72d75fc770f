"""What the guard was asked, and what it said."""

from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="GuardBatch",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("chained_at", models.DateTimeField()),
                ("count", models.PositiveIntegerField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("root", models.TextField()),
            ],
            options={
                "db_table": "guard_batch",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="GuardCall",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("asked_at", models.DateTimeField()),
                ("asked", models.BooleanField(default=True)),
                ("principal", models.TextField()),
                ("request", models.TextField(blank=True, default="")),
                ("question", models.TextField()),
                ("identity", models.UUIDField()),
                ("session", models.UUIDField(null=True)),
                ("action", models.TextField()),
                ("tool", models.TextField(blank=True, default="")),
                ("resource_kind", models.TextField(blank=True, default="")),
                ("resource", models.TextField(blank=True, default="")),
                ("writes", models.BooleanField(null=True)),
                ("verdict", models.TextField()),
                ("reason", models.TextField()),
                ("because", models.TextField(blank=True, default="")),
                ("told", models.TextField(blank=True, default="")),
                ("would_have", models.TextField(blank=True, default="")),
                ("risk", models.FloatField(default=0.0)),
                ("policy_version", models.PositiveIntegerField()),
                ("digest", models.TextField(blank=True, default="")),
                ("detection", models.UUIDField(null=True)),
                ("hold", models.UUIDField(null=True)),
                ("expires_at", models.DateTimeField()),
                ("outcome", models.TextField(blank=True, default="")),
                ("reported_at", models.DateTimeField(null=True)),
                ("batch", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "guard_call",
                "ordering": ["-asked_at", "-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("batch__isnull", True), ("verdict", "allow")), fields=["id"], name="guard_call_to_chain"
                    ),
                    models.Index(
                        condition=models.Q(("session__isnull", False)), fields=["session", "asked_at"], name="guard_call_by_session"
                    ),
                    models.Index(fields=["identity", "asked_at"], name="guard_call_by_identity"),
                    models.Index(fields=["asked_at"], name="guard_call_by_time"),
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("verdict__in", ("allow", "deny", "hold"))), name="guard_verdict_is_known"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("verdict", "hold"), _negated=True),
                            ("hold__isnull", False),
                            (
                                "reason__in",
                                ("approval_required", "approval_expired", "out_of_scope", "grant_pending", "approval_unverifiable"),
                            ),
                            _connector="OR",
                        ),
                        name="a_held_call_names_why",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("request", ""), _negated=True), fields=("principal", "request"), name="one_verdict_per_request"
                    ),
                ],
            },
        ),
    ]
