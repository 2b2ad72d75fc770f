"""One row per door of a connector that was ever refused, or asked for patience, by its target. A new table: nothing waits for it, and undoing it
drops it."""

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("playbooks", "0005_a_run_that_comes_back_is_live")]
    operations = [
        migrations.CreateModel(
            "Circuit",
            [
                ("door", models.TextField(primary_key=True, serialize=False)),
                ("connector", models.TextField()),
                ("open_since", models.DateTimeField(null=True)),
                ("said", models.TextField(default="")),
                ("tries", django.contrib.postgres.fields.ArrayField(models.DateTimeField(), default=list)),
                ("let_in_at", models.DateTimeField(null=True)),
                ("busy_until", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "connector_circuit",
                "constraints": [
                    models.CheckConstraint(condition=Q(open_since__isnull=True) | ~Q(said=""), name="an_open_circuit_says_why"),
                ],
            },
        ),
    ]
