"""What somebody wants a source to be allowed, until a second person confirmed it; and credentials of a leak that were set aside.

Running it live makes an empty table, a column with a constant default, and one index on the members of leaks. The constraint on their
states is checked over that table while it is locked: some milliseconds for a hundred thousand. Undoing it forgets who asked for what, and
is refused while a member is set aside.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

import core.ids


class Migration(migrations.Migration):
    dependencies = [("containment", "0009_who_may_teach")]
    operations = [
        migrations.CreateModel(
            name="SourceAsk",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("was", models.JSONField()),
                ("wanted", models.JSONField()),
                ("asked_by", models.TextField()),
                ("asked_by_name", models.TextField()),
                ("asked_at", models.DateTimeField()),
                ("state", models.TextField(default="waiting")),
                ("digest", models.TextField(blank=True, default="")),
                ("answered_by", models.TextField(blank=True, default="")),
                ("answered_by_name", models.TextField(blank=True, default="")),
                ("answered_at", models.DateTimeField(null=True)),
                ("because", models.TextField(blank=True, default="")),
                (
                    "source",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="asks", to="containment.source"),
                ),
            ],
            options={
                "db_table": "source_ask",
                "ordering": ["-asked_at"],
                "constraints": [
                    models.UniqueConstraint(fields=["source"], condition=Q(state="waiting"), name="one_raise_of_a_source_waits"),
                    models.CheckConstraint(
                        condition=Q(state__in=["waiting", "confirmed", "refused", "replaced"]), name="state_of_a_raise_is_known"
                    ),
                    models.CheckConstraint(
                        condition=~Q(state="confirmed") | (~Q(answered_by=F("asked_by")) & ~Q(answered_by="")),
                        name="a_second_person_raises_a_source",
                    ),
                ],
            },
        ),
        migrations.AddField("exposuremember", "strikes", models.PositiveSmallIntegerField(default=0)),
        migrations.AddIndex("exposuremember", models.Index(fields=["exposure", "state"], name="exposed_by_state")),
        migrations.RemoveConstraint("exposuremember", "state_of_an_exposed_one_is_known"),
        migrations.AddConstraint(
            "exposuremember",
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "passed_on", "set_aside", "unknown", "twice"]), name="state_of_an_exposed_one_is_known"
            ),
        ),
    ]
