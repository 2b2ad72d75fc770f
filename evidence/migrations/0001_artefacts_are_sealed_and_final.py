"""Artefacts, their sealed bytes and their custody; all of them final.

Runs on an empty database. Undoing it drops all evidence: export it first.
"""

import django.db.models.deletion
from django.db import migrations, models

import core.ids
from audit.rights import final


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Artefact",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("sha256", models.TextField()),
                ("name", models.TextField()),
                ("media_type", models.TextField()),
                ("size", models.PositiveBigIntegerField()),
                ("redactions", models.PositiveIntegerField(default=0)),
                ("key_id", models.TextField()),
                ("run_ref", models.TextField()),
                ("case_ref", models.TextField()),
                ("identity_ref", models.TextField()),
                ("collected_at", models.DateTimeField()),
                ("collected_by", models.TextField()),
            ],
            options={
                "db_table": "artefact",
                "ordering": ["collected_at", "id"],
                "indexes": [
                    models.Index(fields=["case_ref", "collected_at"], name="artefacts_of_a_case"),
                    models.Index(fields=["sha256"], name="artefacts_by_content"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("run_ref", "name", "sha256"), name="the_same_content_is_sealed_once_per_run"),
                    models.CheckConstraint(
                        condition=models.Q(("sha256__regex", "^sha256:[0-9a-f]{64}$")), name="an_artefact_is_addressed_by_its_content"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Custody",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("n", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                ("actor", models.TextField()),
                ("actor_name", models.TextField()),
                ("act", models.TextField()),
                ("sha256_seen", models.TextField(blank=True)),
                (
                    "artefact",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="custody", to="evidence.artefact"),
                ),
            ],
            options={
                "db_table": "custody",
                "ordering": ["artefact", "n"],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("n__gt", 0)), name="custody_starts_at_one"),
                    models.CheckConstraint(
                        condition=models.Q(("act__in", ["sealed", "viewed", "found_broken"])), name="a_touch_is_of_a_kind_we_know"
                    ),
                    models.UniqueConstraint(fields=("artefact", "n"), name="custody_is_numbered_without_gaps"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SealedBytes",
            fields=[
                (
                    "artefact",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="evidence.artefact",
                    ),
                ),
                ("content", models.BinaryField()),
            ],
            options={
                "db_table": "artefact_sealed",
            },
        ),
        final("artefact"),
        final("artefact_sealed"),
        final("custody"),
    ]
