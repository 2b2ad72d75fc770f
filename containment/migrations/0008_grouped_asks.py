"""What is kept of the containment budget: the alarm when it is first spent in a window, and how many identities of a kind there are.

Running it live makes one index on the identities (a short lock on a small table, some seconds on a million) and an empty table. Undoing it
forgets the alarms.
"""

from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [("containment", "0007_backtests")]
    operations = [
        migrations.AddField("budgetlock", "sizes", models.JSONField(default=dict)),
        migrations.CreateModel(
            name="BudgetAlarm",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("limit", models.TextField()),
                ("scope", models.TextField()),
                ("allowed", models.PositiveIntegerField()),
                ("said", models.TextField()),
                ("raised_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("refused", models.PositiveIntegerField(default=1)),
            ],
            options={"db_table": "budget_alarm", "indexes": [models.Index(fields=["last_at"], name="budget_alarm_by_time")]},
        ),
        migrations.AddIndex(
            "identity",
            models.Index(condition=models.Q(("merged_into__isnull", True)), fields=["kind"], name="identities_of_a_kind"),
        ),
    ]
