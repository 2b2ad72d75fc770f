"""Inventory, detections, decisions, cases and the risk policy.

Runs on an empty database. Undoing it drops what was detected and decided.
"""

import datetime

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("approvals", "0002_the_database_refuses_too"),
        ("playbooks", "0001_runs_steps_and_their_journal"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BudgetLock",
            fields=[
                ("name", models.TextField(default="containment", primary_key=True, serialize=False)),
            ],
            options={
                "db_table": "budget_lock",
            },
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("provider", models.TextField()),
                ("kind", models.TextField()),
                ("fingerprint", models.TextField()),
                ("name", models.TextField(blank=True, default="")),
                ("ephemeral", models.BooleanField(default=False)),
                ("planted", models.BooleanField(default=False)),
                ("protected", models.BooleanField(default=False)),
                ("expires_at", models.DateTimeField(null=True)),
                ("exposed_at", models.DateTimeField(null=True)),
                ("exposure_verified", models.BooleanField(default=False)),
                ("discovered_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": "credential",
                "ordering": ["provider", "kind", "fingerprint"],
                "constraints": [models.UniqueConstraint(fields=("provider", "kind", "fingerprint"), name="one_credential_per_fingerprint")],
            },
        ),
        migrations.CreateModel(
            name="Detection",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("external_id", models.TextField()),
                ("body_digest", models.TextField()),
                ("title", models.TextField()),
                ("severity", models.TextField()),
                ("confidence", models.FloatField()),
                ("claims", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("named_session", models.TextField(blank=True, default="")),
                ("named_role", models.TextField(blank=True, default="")),
                ("named_workflow", models.TextField(blank=True, default="")),
                ("action", models.TextField()),
                ("action_count", models.PositiveIntegerField(default=1)),
                ("context", models.JSONField(default=dict)),
                ("workload", models.JSONField(default=dict)),
                ("claimed_kind", models.TextField(blank=True, default="")),
                ("posted_by", models.TextField(blank=True, default="")),
                ("occurred_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("state", models.TextField(default="received")),
                ("next_at", models.DateTimeField(null=True)),
                ("crash_count", models.PositiveIntegerField(default=0)),
                (
                    "credential",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="detections", to="containment.credential"
                    ),
                ),
            ],
            options={
                "db_table": "detection",
                "ordering": ["-received_at"],
                "indexes": [models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="detection_due")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["decided", "quarantined"]),
                            models.Q(("next_at__isnull", False), ("state", "received")),
                            _connector="OR",
                        ),
                        name="an_undecided_detection_is_due",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("at", models.DateTimeField()),
                ("detail", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "heartbeat",
            },
        ),
        migrations.CreateModel(
            name="DetectionBody",
            fields=[
                (
                    "detection",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="body",
                        serialize=False,
                        to="containment.detection",
                    ),
                ),
                ("content", models.TextField()),
            ],
            options={
                "db_table": "detection_body",
            },
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("provider", models.TextField()),
                ("subject", models.TextField()),
                ("kind", models.TextField()),
                ("name", models.TextField(blank=True, default="")),
                ("environment", models.TextField(default="prod")),
                ("tenant", models.TextField(blank=True, default="")),
                ("owner_team", models.TextField(blank=True, default="")),
                ("reach", models.TextField(default="unknown")),
                ("reach_from", models.TextField(default="unknown")),
                ("reach_at", models.DateTimeField(null=True)),
                ("drive", models.TextField(blank=True, default="")),
                ("known_networks", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("attested", models.JSONField(default=dict)),
                ("protected", models.BooleanField(default=False)),
                ("protected_because", models.TextField(blank=True, default="")),
                ("discovered_at", models.DateTimeField(null=True)),
                ("last_seen_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "merged_into",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="merged", to="containment.identity"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "identity",
                "ordering": ["provider", "subject"],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "subject"), name="one_identity_per_provider_and_subject"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ("human", "service_account", "workload", "ci_pipeline", "ai_agent"))),
                        name="identity_kind_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reach__in", ("narrow", "team", "wide", "estate", "unknown"))), name="identity_reach_is_known"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="detection",
            name="identity",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="detections", to="containment.identity"),
        ),
        migrations.CreateModel(
            name="Designation",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("session_name", models.TextField(blank=True, default="")),
                ("workflow", models.TextField(blank=True, default="")),
                ("service", models.TextField()),
                ("owner_team", models.TextField()),
                ("kind", models.TextField()),
                ("because", models.TextField()),
                ("stop_cost_per_hour", models.PositiveIntegerField(default=0)),
                ("restart_minutes", models.PositiveIntegerField(default=0)),
                ("safe_stop", models.TextField(blank=True, default="")),
                ("must_go_on", models.JSONField(default=dict)),
                ("requested_at", models.DateTimeField()),
                ("granted_at", models.DateTimeField(null=True)),
                ("review_by", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
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
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="designations", to="containment.identity"),
                ),
            ],
            options={
                "db_table": "designation",
                "ordering": ["-requested_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("granter__isnull", True), models.Q(("granter", models.F("requester")), _negated=True), _connector="OR"
                        ),
                        name="designation_granted_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ("payment", "customer_facing", "long_running_job", "regulated"))),
                        name="designation_class_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("session_name", ""), ("workflow", ""), _negated=True),
                        name="designation_names_session_or_workflow",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "review_by__lte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("requested_at"), "+", models.Value(datetime.timedelta(days=90))
                                ),
                            )
                        ),
                        name="designation_is_reviewed_in_90_days",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CredentialUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("workflow", models.TextField(blank=True, default="")),
                ("last_used_at", models.DateTimeField(null=True)),
                (
                    "credential",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="uses", to="containment.credential"),
                ),
                (
                    "identity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="credential_uses", to="containment.identity"
                    ),
                ),
            ],
            options={
                "db_table": "credential_use",
                "constraints": [
                    models.UniqueConstraint(fields=("credential", "identity", "workflow"), name="one_line_per_user_of_a_credential")
                ],
            },
        ),
        migrations.CreateModel(
            name="Case",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("title", models.TextField()),
                ("state", models.TextField(default="open")),
                ("opened_at", models.DateTimeField()),
                ("first_event_at", models.DateTimeField()),
                ("last_event_at", models.DateTimeField()),
                ("detections_seen", models.PositiveIntegerField(default=0)),
                ("highest_risk", models.DecimalField(decimal_places=1, default=0, max_digits=4)),
                ("verdict", models.TextField(blank=True, default="")),
                ("verdict_reason", models.TextField(blank=True, default="")),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="cases", to="containment.identity"),
                ),
            ],
            options={
                "db_table": "incident_case",
                "ordering": ["-last_event_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "closed"), _negated=True), fields=("identity",), name="one_open_case_per_identity"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IdentityAlias",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.TextField()),
                ("subject", models.TextField()),
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="aliases", to="containment.identity"),
                ),
            ],
            options={
                "db_table": "identity_alias",
                "constraints": [models.UniqueConstraint(fields=("provider", "subject"), name="one_identity_per_alias")],
            },
        ),
        migrations.CreateModel(
            name="Resource",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("key", models.TextField()),
                ("sensitivity", models.TextField(default="unknown")),
                ("admin_api", models.BooleanField(default=False)),
                ("environment", models.TextField(blank=True, default="")),
                ("tenant", models.TextField(blank=True, default="")),
                ("discovered_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "resource",
                "ordering": ["kind", "key"],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "key"), name="one_resource_per_kind_and_key"),
                    models.CheckConstraint(
                        condition=models.Q(("sensitivity__in", ("low", "moderate", "high", "critical", "unknown"))),
                        name="resource_sensitivity_is_known",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="detection",
            name="resource",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="detections", to="containment.resource"
            ),
        ),
        migrations.CreateModel(
            name="RiskPolicyVersion",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("version", models.PositiveIntegerField(unique=True)),
                ("text", models.TextField()),
                ("digest", models.TextField()),
                ("state", models.TextField(default="draft")),
                ("shipped", models.BooleanField(default=False)),
                ("drafted_at", models.DateTimeField()),
                ("in_force_at", models.DateTimeField(null=True)),
                (
                    "approver",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "risk_policy_version",
                "ordering": ["-version"],
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("state", "in_force")), fields=("state",), name="one_risk_policy_in_force"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("author__isnull", True),
                            ("approver__isnull", True),
                            models.Q(("author", models.F("approver")), _negated=True),
                            _connector="OR",
                        ),
                        name="policy_author_does_not_approve",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "in_force"), _negated=True), ("shipped", True), ("approver__isnull", False), _connector="OR"
                        ),
                        name="policy_in_force_is_approved",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("generation", models.PositiveIntegerField(default=0)),
                ("cause", models.TextField(blank=True, default="")),
                ("verdict", models.TextField()),
                ("stage", models.TextField(blank=True, default="")),
                ("sentence", models.PositiveSmallIntegerField()),
                ("because", models.TextField()),
                ("would_have", models.TextField(blank=True, default="")),
                ("risk", models.DecimalField(decimal_places=1, max_digits=4)),
                ("soft", models.DecimalField(decimal_places=1, max_digits=4)),
                ("hard", models.DecimalField(decimal_places=1, max_digits=4)),
                ("signals", models.JSONField(default=list)),
                ("waterfall", models.JSONField(default=dict)),
                ("facts", models.JSONField(default=dict)),
                ("digest", models.TextField()),
                ("playbook", models.TextField(blank=True, default="")),
                ("passed_over", models.JSONField(default=list)),
                ("decided_at", models.DateTimeField()),
                (
                    "case",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="containment.case"
                    ),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="approvals.exceptiongrant"
                    ),
                ),
                (
                    "hold",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="approvals.hold"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="playbooks.run"),
                ),
                (
                    "detection",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="containment.detection"),
                ),
                ("policy", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="containment.riskpolicyversion")),
            ],
            options={
                "db_table": "decision",
                "ordering": ["-decided_at"],
                "indexes": [models.Index(fields=["decided_at"], name="decision_by_time")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("detection", "policy", "generation"), name="one_decision_per_detection_policy_generation"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("generation", 0), models.Q(("cause", ""), _negated=True), _connector="OR"),
                        name="a_later_generation_names_its_cause",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("verdict", "contain"), _negated=True), ("run__isnull", False), _connector="OR"),
                        name="a_contain_has_a_run",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("verdict", "hold"), _negated=True),
                            models.Q(("hold__isnull", False), ("run__isnull", False)),
                            _connector="OR",
                        ),
                        name="a_hold_has_a_run_and_a_hold",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Session",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("external_id", models.TextField()),
                ("role", models.TextField(blank=True, default="")),
                ("workflow", models.TextField(blank=True, default="")),
                ("tenant", models.TextField(blank=True, default="")),
                ("environment", models.TextField(blank=True, default="")),
                ("drive", models.TextField(blank=True, default="")),
                ("origin", models.JSONField(default=dict)),
                ("intent", models.JSONField(default=dict)),
                ("claimed", models.JSONField(default=dict)),
                ("gate", models.TextField(default="active")),
                ("gate_because", models.TextField(blank=True, default="")),
                ("gate_allows", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("gate_key", models.TextField(blank=True, default="")),
                ("gated_at", models.DateTimeField(null=True)),
                ("registered_by", models.TextField(blank=True, default="")),
                ("started_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(null=True)),
                ("last_seen_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("discovered_at", models.DateTimeField(null=True)),
                (
                    "credential",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="sessions", to="containment.credential"
                    ),
                ),
                (
                    "identity",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="sessions", to="containment.identity"),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="children", to="containment.session"
                    ),
                ),
            ],
            options={
                "db_table": "session",
                "ordering": ["-started_at"],
                "indexes": [models.Index(fields=["external_id"], name="session_by_name")],
                "constraints": [
                    models.UniqueConstraint(fields=("identity", "external_id"), name="one_session_per_identity_and_name"),
                    models.CheckConstraint(
                        condition=models.Q(("gate__in", ("active", "paused", "restricted", "ended"))), name="session_gate_is_known"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="detection",
            name="session",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="detections", to="containment.session"
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="minted_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="minted", to="containment.session"
            ),
        ),
        migrations.CreateModel(
            name="Source",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.TextField(unique=True)),
                ("reads", models.TextField(default="native")),
                ("trust", models.FloatField(default=0.9)),
                ("ceiling", models.TextField(default="contain")),
                ("kinds", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("providers", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ("budget_per_hour", models.PositiveIntegerField(default=60)),
            ],
            options={
                "db_table": "source",
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("trust__gte", 0), ("trust__lte", 1)), name="source_trust_is_a_share"),
                    models.CheckConstraint(
                        condition=models.Q(("ceiling__in", ["watch", "hold", "contain"])), name="source_ceiling_is_known"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="detection",
            name="source",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="containment.source"),
        ),
        migrations.CreateModel(
            name="ContainmentSpend",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.TextField()),
                ("at", models.DateTimeField()),
                ("identity", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.identity")),
                ("source", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.source")),
            ],
            options={
                "db_table": "containment_spend",
                "indexes": [models.Index(fields=["at"], name="spend_by_time")],
            },
        ),
        migrations.CreateModel(
            name="WorkDocument",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("name", models.TextField()),
                ("version", models.PositiveIntegerField()),
                ("body", models.JSONField()),
                ("digest", models.TextField()),
                ("state", models.TextField(default="draft")),
                ("drafted_at", models.DateTimeField()),
                ("in_force_at", models.DateTimeField(null=True)),
                (
                    "approver",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("author", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "work_document",
                "ordering": ["kind", "name", "-version"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["agent_profile", "workflow"])), name="work_document_kind_is_known"
                    ),
                    models.UniqueConstraint(fields=("kind", "name", "version"), name="one_text_per_work_document_version"),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "in_force")), fields=("kind", "name"), name="one_work_document_in_force"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approver__isnull", True), models.Q(("approver", models.F("author")), _negated=True), _connector="OR"
                        ),
                        name="work_document_author_does_not_approve",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("state", "in_force"), _negated=True), ("approver__isnull", False), _connector="OR"),
                        name="work_document_in_force_is_approved",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="detection",
            index=models.Index(fields=["identity", "received_at"], name="detection_by_identity"),
        ),
        migrations.AddConstraint(
            model_name="detection",
            constraint=models.UniqueConstraint(fields=("source", "external_id"), name="one_detection_per_source_and_external_id"),
        ),
    ]
