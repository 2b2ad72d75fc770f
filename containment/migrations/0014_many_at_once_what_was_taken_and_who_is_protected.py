"""Many runs undone at once, what was taken before a cut, whose account is whose, what connectors ask to protect, and how all of it is.

New tables only; undoing it loses what stands in them.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("containment", "0013_live_sessions_are_found"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="InvariantCheck",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("took_ms", models.PositiveIntegerField()),
                ("looked_at", models.PositiveIntegerField()),
                ("found", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "invariant_check",
                "ordering": ["-at"],
                "indexes": [models.Index(fields=["-at"], name="invariant_checks_by_time")],
            },
        ),
        migrations.CreateModel(
            name="MassUndo",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("picks", models.JSONField()),
                ("reason", models.TextField()),
                ("digest", models.TextField()),
                ("state", models.TextField(default="asked")),
                ("asked_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "approver",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "requester",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "db_table": "mass_undo",
                "ordering": ["-asked_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["asked", "approved", "done", "withdrawn"])), name="mass_undo_state_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approver__isnull", True), models.Q(("approver", models.F("requester")), _negated=True), _connector="OR"
                        ),
                        name="mass_undo_takes_two_people",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ["approved", "done"]), _negated=True), ("approver__isnull", False), _connector="OR"
                        ),
                        name="mass_undo_is_approved_by_somebody",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MassUndoMember",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("run_ref", models.TextField()),
                ("identity_ref", models.TextField()),
                ("state", models.TextField(default="waiting")),
                ("said", models.TextField(default="")),
                ("next_at", models.DateTimeField(null=True)),
                (
                    "mass_undo",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="members", to="containment.massundo"),
                ),
            ],
            options={
                "db_table": "mass_undo_member",
                "ordering": ["id"],
                "indexes": [models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="mass_undo_member_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("mass_undo", "run_ref"), name="one_member_per_run_of_a_mass_undo"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "undoing", "undone", "drifted", "refused"])),
                        name="mass_undo_member_state_is_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonIdentity",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("linked_at", models.DateTimeField()),
                (
                    "identity",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="belongs_to", to="containment.identity"),
                ),
                ("person", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "person_identity",
            },
        ),
        migrations.CreateModel(
            name="ProtectionProposal",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("provider", models.TextField()),
                ("subject", models.TextField()),
                ("because", models.TextField()),
                ("state", models.TextField(default="open")),
                ("proposed_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("answered_at", models.DateTimeField(null=True)),
                (
                    "answered_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "protection_proposal",
                "ordering": ["provider", "subject"],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "subject"), name="one_proposal_per_subject"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["open", "agreed", "declined"])), name="state_of_a_proposal_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state", "open"), ("answered_by__isnull", False), _connector="OR"),
                        name="a_proposal_is_answered_by_somebody",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Readiness",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("provider", models.TextField()),
                ("measure", models.TextField()),
                ("subject", models.TextField(default="")),
                ("can", models.BooleanField()),
                ("missing", models.JSONField(default=list)),
                ("remedy", models.JSONField(default=list)),
                ("too_much", models.JSONField(default=list)),
                ("checked_at", models.DateTimeField()),
            ],
            options={
                "db_table": "readiness",
                "ordering": ["provider", "subject", "measure"],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "measure", "subject"), name="one_readiness_per_measure_and_target")
                ],
            },
        ),
        migrations.CreateModel(
            name="Taken",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("key", models.TextField()),
                ("said", models.TextField()),
                ("about_ref", models.TextField(default="")),
                ("first_at", models.DateTimeField()),
                ("found_at", models.DateTimeField()),
                ("state", models.TextField(default="open")),
                ("cut_by_ref", models.TextField(default="")),
                ("settled_by", models.TextField(default="")),
                ("settled_by_name", models.TextField(default="")),
                ("settled_at", models.DateTimeField(null=True)),
                ("because", models.TextField(default="")),
                ("case", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="taken", to="containment.case")),
            ],
            options={
                "db_table": "taken",
                "ordering": ["first_at", "id"],
                "constraints": [
                    models.UniqueConstraint(fields=("case", "kind", "key"), name="one_line_per_thing_taken"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ("secret_read", "grant_made", "session_elsewhere"))),
                        name="kind_of_what_was_taken_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("open", "cut", "cleared", "accepted"))), name="state_of_what_was_taken_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state", "open"),
                            models.Q(("settled_at__isnull", False), models.Q(("settled_by", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="what_was_taken_is_settled_by_somebody",
                    ),
                ],
            },
        ),
    ]
