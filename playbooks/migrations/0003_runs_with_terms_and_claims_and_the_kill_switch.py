"""What a run needs to climb, to end by itself and to come back in stages; who holds which control; and the kill switch.

New columns have defaults and new tables are empty: old and new code work beside it. The state of a playbook is checked from here on.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("playbooks", "0002_runs_that_were_undone"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ControlClaim",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("connector", models.TextField()),
                ("subject", models.TextField()),
                ("measure", models.TextField()),
                ("claimed_at", models.DateTimeField()),
                ("run", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="claims", to="playbooks.run")),
            ],
            options={
                "db_table": "control_claim",
                "indexes": [models.Index(fields=["connector", "subject", "measure"], name="claims_on_a_control")],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "connector", "subject", "measure"), name="one_claim_per_run_and_control")
                ],
            },
        ),
        migrations.CreateModel(
            name="KillSwitch",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("position", models.TextField(default="off")),
                ("because", models.TextField(default="")),
                ("at", models.DateTimeField(null=True)),
                ("lift_to", models.TextField(default="")),
                ("lift_because", models.TextField(default="")),
                ("lift_at", models.DateTimeField(null=True)),
                (
                    "by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "lift_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "kill_switch",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="there_is_one_kill_switch"),
                    models.CheckConstraint(
                        condition=models.Q(("position__in", ("off", "no_new", "nothing"))), name="position_of_the_kill_switch_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("position", "off"), models.Q(("by__isnull", False), ("at__isnull", False)), _connector="OR"),
                        name="a_kill_switch_that_is_on_says_by_whom",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="playbookversion",
            name="ended_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="playbookversion",
            name="ended_because",
            field=models.TextField(default=""),
        ),
        migrations.AddField(
            model_name="playbookversion",
            name="ended_by",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name="run",
            name="drifted",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="run",
            name="lasts_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="level",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="run",
            name="looked_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="terms",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="run",
            name="wants",
            field=models.TextField(default=""),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("lasts_until__isnull", False)), fields=["lasts_until"], name="runs_that_end_by_themselves"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(condition=models.Q(("wants", ""), _negated=True), fields=["created_at"], name="runs_that_want_more"),
        ),
        migrations.AddConstraint(
            model_name="playbookversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["draft", "in_force", "superseded", "retired", "revoked", "dropped"])),
                name="playbook_state_is_known",
            ),
        ),
    ]
