"""Approvals by several people, the shadow version, and the ramp to enforce.

Who approved was one column, so that two people could not; every earlier approver gets a row of their own. The triggers keep what a
constraint of one row cannot: nobody approves their own text, and nothing comes into force on fewer words than it needs. Both tables are
small, so it runs live; undoing it forgets second approvals, shadows and confirmations.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import core.ids
from audit.rights import final

NO_WORD_FOR_ONES_OWN = migrations.RunSQL(
    """
    CREATE FUNCTION holdfast_author_does_not_approve() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM risk_policy_version WHERE id = NEW.version_id AND author_id = NEW.person_id) THEN
            RAISE EXCEPTION 'the author does not approve' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER author_does_not_approve BEFORE INSERT ON policy_approval
        FOR EACH ROW EXECUTE FUNCTION holdfast_author_does_not_approve();
    """,
    """
    DROP TRIGGER author_does_not_approve ON policy_approval;
    DROP FUNCTION holdfast_author_does_not_approve();
    """,
)
ENOUGH_WORDS = migrations.RunSQL(
    """
    CREATE FUNCTION holdfast_enough_approvals() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.state = 'in_force' AND OLD.state <> 'in_force' AND NOT NEW.shipped AND NOT NEW.loosens_only AND (
            SELECT count(*) FROM policy_approval
            WHERE version_id = NEW.id AND digest = NEW.digest AND base_id IS NOT DISTINCT FROM NEW.supersedes_id
        ) < greatest(1, NEW.approvals_needed) THEN
            RAISE EXCEPTION 'fewer approvals than needed' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER enough_approvals BEFORE UPDATE ON risk_policy_version
        FOR EACH ROW EXECUTE FUNCTION holdfast_enough_approvals();
    """,
    """
    DROP TRIGGER enough_approvals ON risk_policy_version;
    DROP FUNCTION holdfast_enough_approvals();
    """,
)
EARLIER_APPROVERS = migrations.RunSQL(
    """
    INSERT INTO policy_approval (id, version_id, base_id, person_id, digest, untested, at)
    SELECT gen_random_uuid(), id, NULL, approver_id, digest, true, in_force_at
    FROM risk_policy_version WHERE approver_id IS NOT NULL AND in_force_at IS NOT NULL;
    """,
    migrations.RunSQL.noop,
)


class Migration(migrations.Migration):
    dependencies = [
        ("containment", "0005_limits_of_sources_and_exposures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.RemoveConstraint(model_name="riskpolicyversion", name="policy_author_does_not_approve"),
        migrations.AddField("riskpolicyversion", "approvals_needed", models.PositiveSmallIntegerField(default=1)),
        migrations.AddField("riskpolicyversion", "loosens_only", models.BooleanField(default=False)),
        migrations.AddField(
            "riskpolicyversion",
            "supersedes",
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.riskpolicyversion"),
        ),
        migrations.AddField("riskpolicyversion", "shadow_since", models.DateTimeField(null=True)),
        migrations.AddField("riskpolicyversion", "shadow_until", models.DateTimeField(null=True)),
        migrations.AddField(
            "riskpolicyversion",
            "shadow_by",
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            "riskpolicyversion",
            models.CheckConstraint(
                condition=models.Q(("state__in", ("draft", "shadow", "in_force", "superseded"))), name="policy_state_is_known"
            ),
        ),
        migrations.AddConstraint(
            "riskpolicyversion",
            models.UniqueConstraint(condition=models.Q(("state", "shadow")), fields=("state",), name="one_risk_policy_in_the_shadow"),
        ),
        migrations.AddConstraint(
            "riskpolicyversion",
            models.CheckConstraint(
                condition=models.Q(
                    ("author__isnull", True),
                    ("approver__isnull", True),
                    models.Q(("author", models.F("approver")), _negated=True),
                    ("loosens_only", True),
                    _connector="OR",
                ),
                name="policy_author_does_not_approve",
            ),
        ),
        migrations.AddConstraint(
            "riskpolicyversion",
            models.CheckConstraint(
                condition=models.Q(("loosens_only", False), ("supersedes__isnull", False), _connector="OR"),
                name="a_step_back_leads_from_some_version",
            ),
        ),
        migrations.CreateModel(
            name="PolicyApproval",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("digest", models.TextField()),
                ("untested", models.BooleanField(default=False)),
                ("at", models.DateTimeField()),
                (
                    "base",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.riskpolicyversion"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="approvals", to="containment.riskpolicyversion"
                    ),
                ),
            ],
            options={
                "db_table": "policy_approval",
                "ordering": ["at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("version", "base", "person"), name="a_person_approves_a_policy_version_once", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ShadowDifference",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("verdict", models.TextField(blank=True, default="")),
                ("stage", models.TextField(blank=True, default="")),
                ("would_have", models.TextField(blank=True, default="")),
                ("risk", models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ("soft", models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ("hard", models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ("because", models.TextField(blank=True, default="")),
                ("trouble", models.TextField(blank=True, default="")),
                ("at", models.DateTimeField()),
                (
                    "decision",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="containment.decision"),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="differences", to="containment.riskpolicyversion"
                    ),
                ),
            ],
            options={
                "db_table": "shadow_difference",
                "ordering": ["-at"],
                "indexes": [models.Index(fields=["version", "at"], name="shadow_difference_by_time")],
                "constraints": [models.UniqueConstraint(fields=("version", "decision"), name="a_shadow_judges_a_decision_once")],
            },
        ),
        migrations.CreateModel(
            name="ProtectedConfirmation",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("identities", models.JSONField(default=list)),
                ("at", models.DateTimeField()),
                (
                    "person",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "db_table": "protected_confirmation",
                "ordering": ["-at"],
                "indexes": [models.Index(fields=["at"], name="protected_confirmation_time")],
            },
        ),
        migrations.CreateModel(
            name="PreflightCheck",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("environment", models.TextField(blank=True, default="")),
                ("provider", models.TextField()),
                ("green", models.BooleanField()),
                ("lacks", models.JSONField(default=list)),
                ("looked_at", models.PositiveSmallIntegerField(default=0)),
                ("at", models.DateTimeField()),
                (
                    "person",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "preflight_check",
                "ordering": ["-at"],
                "indexes": [models.Index(fields=["kind", "environment", "at"], name="preflight_check_by_cell")],
            },
        ),
        final("policy_approval"),
        final("shadow_difference"),
        final("protected_confirmation"),
        final("preflight_check"),
        NO_WORD_FOR_ONES_OWN,
        ENOUGH_WORDS,
        EARLIER_APPROVERS,
    ]
