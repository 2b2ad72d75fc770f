"""Backtests of a policy over what was decided, and the short form of decisions that makes them quick.

Only new tables. Decisions that stand already have no short form: a backtest judges them in full. Undoing it loses what backtests
counted, and no decision.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("containment", "0006_the_life_of_a_policy"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Backtest",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("policy_text", models.TextField()),
                ("policy_digest", models.TextField()),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("whole", models.BooleanField(default=False)),
                ("state", models.TextField(default="due")),
                ("next_at", models.DateTimeField(null=True)),
                ("events", models.PositiveIntegerField(default=0)),
                ("done", models.PositiveIntegerField(default=0)),
                ("counts", models.JSONField(default=dict)),
                ("result", models.JSONField(default=dict)),
                ("trouble", models.TextField(blank=True, default="")),
                ("made_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "made_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="backtests", to="containment.riskpolicyversion"
                    ),
                ),
            ],
            options={
                "db_table": "backtest",
                "ordering": ["-made_at"],
                "indexes": [
                    models.Index(fields=["policy_digest", "made_at"], name="backtest_by_policy"),
                    models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="backtest_due"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["due", "running", "done", "failed"])), name="backtest_state_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ["due", "running"]), _negated=True), ("next_at__isnull", False), _connector="OR"
                        ),
                        name="an_unfinished_backtest_is_due",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BacktestSeen",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seen_at", models.DateTimeField()),
                (
                    "backtest",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="seen", to="containment.backtest"),
                ),
                ("person", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "backtest_seen",
                "constraints": [models.UniqueConstraint(fields=("backtest", "person"), name="a_person_first_sees_a_backtest_once")],
            },
        ),
        migrations.CreateModel(
            name="BacktestSlice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("shard", models.PositiveSmallIntegerField(default=0)),
                ("shards", models.PositiveSmallIntegerField(default=1)),
                ("next_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("ticket", models.UUIDField(null=True)),
                ("events", models.PositiveIntegerField(default=0)),
                ("tally", models.JSONField(null=True)),
                (
                    "backtest",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="slices", to="containment.backtest"),
                ),
            ],
            options={
                "db_table": "backtest_slice",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("tally__isnull", False), ("next_at__isnull", False), _connector="OR"),
                        name="a_slice_is_due_until_it_has_a_tally",
                    ),
                    models.UniqueConstraint(fields=("backtest", "number"), name="one_slice_of_a_number"),
                ],
            },
        ),
        migrations.CreateModel(
            name="DecisionGist",
            fields=[
                (
                    "decision",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="gist",
                        serialize=False,
                        to="containment.decision",
                    ),
                ),
                ("decided_at", models.DateTimeField()),
                ("identity", models.UUIDField()),
                ("source", models.TextField(blank=True, default="")),
                ("verdict", models.TextField()),
                ("stage", models.TextField(blank=True, default="")),
                ("sentence", models.PositiveSmallIntegerField()),
                ("risk", models.PositiveSmallIntegerField()),
                ("gist", models.TextField()),
            ],
            options={
                "db_table": "decision_gist",
                "indexes": [models.Index(fields=["decided_at"], name="decision_gist_by_time")],
            },
        ),
    ]
