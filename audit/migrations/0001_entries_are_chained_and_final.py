"""The audit chain: entries, its head, and the trigger that keeps entries final.

Runs on an empty database. Undoing it drops the trail: export it first.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from audit.rights import final


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("verb", models.TextField()),
                ("actor", models.TextField()),
                ("actor_name", models.TextField()),
                ("subject", models.TextField()),
                ("about", ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("body", models.TextField()),
                ("body_digest", models.TextField()),
                ("prev", models.TextField()),
                ("hash", models.TextField()),
            ],
            options={
                "db_table": "audit_entry",
                "ordering": ["-seq"],
                "indexes": [
                    models.Index(fields=["subject", "seq"], name="audit_by_subject"),
                    models.Index(fields=["verb", "seq"], name="audit_by_verb"),
                    models.Index(fields=["actor", "seq"], name="audit_by_actor"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("chain", models.TextField(default="main", primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(default=0)),
                ("hash", models.TextField()),
            ],
            options={"db_table": "audit_head"},
        ),
        migrations.RunSQL("CREATE INDEX audit_by_about ON audit_entry USING gin (about)", "DROP INDEX audit_by_about"),
        final("audit_entry"),
    ]
