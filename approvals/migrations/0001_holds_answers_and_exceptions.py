"""Holds, answers and exceptions: the rows, and the constraints that keep what two people may not do at once.

Runs on an empty database. Undoing it drops every hold and exception: end them first.
"""

import django.db.models.deletion
import django.db.models.functions.comparison
from django.conf import settings
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("run_ref", models.TextField()),
                ("case_ref", models.TextField()),
                ("identity_ref", models.TextField()),
                ("title", models.TextField()),
                ("reason_class", models.TextField()),
                ("because", models.TextField()),
                ("plan", models.JSONField()),
                ("plan_digest", models.TextField()),
                ("terms", models.JSONField()),
                ("opened_at", models.DateTimeField()),
                ("deadline", models.DateTimeField()),
                ("patience_s", models.PositiveIntegerField()),
                ("on_lapse", models.TextField()),
                ("in_the_end", models.TextField()),
                ("lapsed_to", models.TextField(blank=True, default="")),
                ("asked_again", models.BooleanField(default=False)),
                ("keep_interim_s", models.PositiveIntegerField(default=0)),
                ("extensions", models.PositiveSmallIntegerField(default=0)),
                ("extensions_max", models.PositiveSmallIntegerField()),
                ("state", models.TextField(default="open")),
                ("closed_at", models.DateTimeField(null=True)),
                ("closed_because", models.TextField(blank=True, default="")),
                ("closed_by", models.TextField(blank=True, default="")),
            ],
            options={
                "db_table": "hold",
                "ordering": ["deadline"],
                "indexes": [
                    models.Index(condition=models.Q(("state", "open")), fields=["deadline"], name="holds_that_are_open"),
                    models.Index(fields=["case_ref"], name="holds_of_a_case"),
                    models.Index(fields=["identity_ref"], name="holds_of_an_identity"),
                ],
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("state", "open")), fields=("run_ref",), name="one_open_hold_per_run"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["approved", "lapsed", "open", "rejected", "superseded", "withdrawn"])),
                        name="a_hold_is_in_a_state_we_know",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "open"), ("closed_at__isnull", True)),
                            models.Q(models.Q(("state", "open"), _negated=True), ("closed_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="a_hold_that_ended_says_when",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("on_lapse__in", ["contain", "release", "escalate"]), ("in_the_end__in", ["contain", "release"])
                        ),
                        name="a_hold_says_what_silence_means",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("on_lapse", "escalate"), ("on_lapse", models.F("in_the_end")), _connector="OR"),
                        name="silence_means_one_thing",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("reason_class", "protected"), _negated=True),
                            models.Q(models.Q(("on_lapse", "contain"), _negated=True), ("in_the_end", "release")),
                            _connector="OR",
                        ),
                        name="silence_never_contains_the_protected",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "lapsed"), ("lapsed_to__in", ["contain", "release"])),
                            models.Q(models.Q(("state", "lapsed"), _negated=True), ("lapsed_to__in", ["", "escalated"])),
                            _connector="OR",
                        ),
                        name="a_lapsed_hold_says_what_followed",
                    ),
                    models.CheckConstraint(condition=models.Q(("patience_s__gt", 0)), name="a_hold_waits_some_time"),
                    models.CheckConstraint(
                        condition=models.Q(("extensions__lte", models.F("extensions_max"))), name="more_time_is_bounded"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExceptionGrant",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("scope", models.JSONField()),
                ("reason", models.TextField()),
                ("ticket", models.TextField(blank=True, default="")),
                ("asked_at", models.DateTimeField()),
                ("granted_at", models.DateTimeField(null=True)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("budget_count", models.PositiveIntegerField()),
                ("budget_risk", models.DecimalField(decimal_places=1, max_digits=9)),
                ("used_count", models.PositiveIntegerField(default=0)),
                ("used_risk", models.DecimalField(decimal_places=1, default=0, max_digits=9)),
                ("reminded_at", models.DateTimeField(null=True)),
                ("state", models.TextField(default="asked")),
                ("closed_at", models.DateTimeField(null=True)),
                ("closed_because", models.TextField(blank=True, default="")),
                (
                    "granter",
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
                "db_table": "exception_grant",
                "ordering": ["-asked_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["asked", "granted"])), fields=["ends_at"], name="exceptions_that_will_end"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("granter__isnull", True), models.Q(("granter", models.F("requester")), _negated=True), _connector="OR"
                        ),
                        name="nobody_grants_their_own_exception",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="an_exception_ends_after_it_starts"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["asked", "ended", "granted", "refused", "revoked", "withdrawn"])),
                        name="an_exception_is_in_a_state_we_know",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ["granted", "revoked"]), _negated=True),
                            models.Q(("granter__isnull", False), ("granted_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="an_exception_in_force_was_signed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ["asked", "granted"]), ("closed_at__isnull", True)),
                            models.Q(models.Q(("state__in", ["asked", "granted"]), _negated=True), ("closed_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="an_exception_that_ended_says_when",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("used_count__lte", models.F("budget_count")),
                            ("used_risk__lte", models.F("budget_risk")),
                            ("used_risk__gte", 0),
                        ),
                        name="an_exception_spares_no_more_than_its_budget",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("budget_count__gt", 0), ("budget_risk__gt", 0)), name="an_exception_has_a_budget"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Answer",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("principal", models.TextField()),
                ("word", models.TextField()),
                ("plan_digest", models.TextField()),
                ("reason", models.TextField(blank=True, default="")),
                ("at", models.DateTimeField()),
                ("person", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("hold", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="answers", to="approvals.hold")),
            ],
            options={
                "db_table": "hold_answer",
                "ordering": ["at"],
                "constraints": [
                    models.UniqueConstraint(fields=("hold", "person"), name="one_answer_per_person_and_hold"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("principal", django.db.models.functions.comparison.Cast("person_id", output_field=models.TextField()))
                        ),
                        name="an_answer_is_given_by_the_person_themselves",
                    ),
                    models.CheckConstraint(condition=models.Q(("word__in", ["approve", "reject"])), name="an_answer_is_approve_or_reject"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("word", "reject"), _negated=True), models.Q(("reason", ""), _negated=True), _connector="OR"
                        ),
                        name="a_rejection_says_why",
                    ),
                ],
            },
        ),
    ]
