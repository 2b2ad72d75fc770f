"""One ask about many: a grouped hold with its members, for whatever the containment budget does not cover.

A hold may be grouped; it then names no run, and its members do. While it gathers, its list grows and with it the digest, the people whose
word does not count, and the quorum; once it does not, all of that is frozen like every other hold. Members are added to a hold that gathers,
and what was asked about one stays as it was.

Running it live adds three columns with defaults and an empty table; the unique index is made anew in one short lock. Undoing it takes the
members away, so settle grouped holds first.
"""

import django.db.models.deletion
from django.db import migrations, models

import core.ids

FROZEN = """
CREATE OR REPLACE FUNCTION holdfast_keep_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE approvals integer;
BEGIN
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'this hold has ended: %', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    ELSIF ROW(NEW.id, NEW.run_ref, NEW.case_ref, NEW.identity_ref, NEW.title, NEW.reason_class, NEW.because, NEW.plan,
              NEW.opened_at, NEW.patience_s, NEW.in_the_end, NEW.keep_interim_s, NEW.extensions_max GROUPED_NEW)
       IS DISTINCT FROM
          ROW(OLD.id, OLD.run_ref, OLD.case_ref, OLD.identity_ref, OLD.title, OLD.reason_class, OLD.because, OLD.plan,
              OLD.opened_at, OLD.patience_s, OLD.in_the_end, OLD.keep_interim_s, OLD.extensions_max GROUPED_OLD)
       OR (WHILE_FROZEN ROW(NEW.plan_digest, NEW.terms - 'step') IS DISTINCT FROM ROW(OLD.plan_digest, OLD.terms - 'step')) THEN
        RAISE EXCEPTION 'what a hold asks, and whom, is frozen' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.state = 'approved' THEN
        SELECT count(DISTINCT principal) INTO approvals FROM hold_answer WHERE hold_id = NEW.id AND word = 'approve';
        IF approvals < (NEW.terms->>'quorum')::integer THEN
            RAISE EXCEPTION '% of % approvals', approvals, NEW.terms->>'quorum' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        MEMBERS_SEEN
    ELSIF NEW.state = 'rejected' AND NOT EXISTS (SELECT FROM hold_answer WHERE hold_id = NEW.id AND word = 'reject') THEN
        RAISE EXCEPTION 'nobody rejected this hold' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""


def _kept(new: str, old: str, frozen: str, members: str) -> str:
    filled = FROZEN.replace("GROUPED_NEW", new).replace("GROUPED_OLD", old).replace("WHILE_FROZEN", frozen)
    return filled.replace("MEMBERS_SEEN", members)


HOLDS = _kept(
    ", NEW.grouped, NEW.gathers_until",
    ", OLD.grouped, OLD.gathers_until",
    "NOT OLD.gathers AND",
    """IF NEW.grouped AND EXISTS (
            SELECT FROM hold_member WHERE hold_id = NEW.id AND state = 'waiting' AND seq > coalesce(
                (SELECT seq FROM hold_member WHERE hold_id = NEW.id AND list_digest = NEW.plan_digest), 0)) THEN
            RAISE EXCEPTION 'nobody saw all of its members' USING ERRCODE = 'integrity_constraint_violation';
        END IF;""",
)
HOLDS_BEFORE = _kept("", "", "", "")

MEMBERS = """
CREATE FUNCTION holdfast_keep_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'waiting' THEN
        RAISE EXCEPTION 'this member is settled: %', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    ELSIF TG_OP = 'UPDATE' AND
          ROW(NEW.id, NEW.seq, NEW.run_ref, NEW.case_ref, NEW.identity_ref, NEW.name, NEW.kind, NEW.environment, NEW.title, NEW.because, NEW.risk,
              NEW.plan_digest, NEW.list_digest, NEW.asks, NEW.joined_at)
          IS DISTINCT FROM
          ROW(OLD.id, OLD.seq, OLD.run_ref, OLD.case_ref, OLD.identity_ref, OLD.name, OLD.kind, OLD.environment, OLD.title, OLD.because, OLD.risk,
              OLD.plan_digest, OLD.list_digest, OLD.asks, OLD.joined_at) THEN
        RAISE EXCEPTION 'what was asked about a member is frozen' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF (TG_OP = 'INSERT' OR NEW.hold_id <> OLD.hold_id)
          AND NOT EXISTS (SELECT FROM hold WHERE id = NEW.hold_id AND gathers) THEN
        RAISE EXCEPTION 'this group takes no members any more' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_member_is_kept BEFORE INSERT OR UPDATE ON hold_member FOR EACH ROW EXECUTE FUNCTION holdfast_keep_member();
CREATE TRIGGER a_member_stays BEFORE DELETE ON hold_member FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
"""
LIFT_MEMBERS = """
DROP TRIGGER a_member_stays ON hold_member; DROP TRIGGER a_member_is_kept ON hold_member; DROP FUNCTION holdfast_keep_member();
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0002_the_database_refuses_too")]
    operations = [
        migrations.CreateModel(
            name="GroupMember",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("seq", models.PositiveIntegerField()),
                ("run_ref", models.TextField()),
                ("case_ref", models.TextField()),
                ("identity_ref", models.TextField()),
                ("name", models.TextField()),
                ("kind", models.TextField()),
                ("environment", models.TextField(blank=True, default="")),
                ("title", models.TextField()),
                ("because", models.TextField()),
                ("risk", models.DecimalField(decimal_places=1, max_digits=4)),
                ("plan_digest", models.TextField()),
                ("list_digest", models.TextField()),
                ("asks", models.JSONField(default=dict)),
                ("joined_at", models.DateTimeField()),
                ("state", models.TextField(default="waiting")),
                ("next_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("closed_because", models.TextField(blank=True, default="")),
                ("hold", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="members", to="approvals.hold")),
            ],
            options={
                "db_table": "hold_member",
                "ordering": ["hold", "seq"],
                "indexes": [
                    models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="members_to_follow"),
                    models.Index(fields=["identity_ref"], name="members_by_identity"),
                    models.Index(fields=["case_ref"], name="members_by_case"),
                ],
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("state", "waiting")), fields=("run_ref",), name="a_run_waits_in_one_group"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["followed", "left", "waiting"])), name="a_member_is_in_a_state_we_know"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at__isnull", True), ("state", "waiting")),
                            models.Q(
                                models.Q(("state", "waiting"), _negated=True), ("closed_at__isnull", False), ("next_at__isnull", True)
                            ),
                            _connector="OR",
                        ),
                        name="a_member_that_is_settled_says_when",
                    ),
                    models.UniqueConstraint(fields=("hold", "seq"), name="one_place_in_the_list_per_member"),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="hold",
            name="one_open_hold_per_run",
        ),
        migrations.AddField(
            model_name="hold",
            name="gathers",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="hold",
            name="gathers_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="hold",
            name="grouped",
            field=models.BooleanField(default=False),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(
                condition=models.Q(("grouped", False), ("state", "open")), fields=("run_ref",), name="one_open_hold_per_run"
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(condition=models.Q(("gathers", True)), fields=("gathers",), name="one_group_takes_members"),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("gathers", False), models.Q(("grouped", True), ("state", "open")), _connector="OR"),
                name="only_an_open_group_takes_members",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("gathers_until__isnull", True), ("grouped", False)),
                    models.Q(("gathers_until__isnull", False), ("grouped", True), ("run_ref", "")),
                    _connector="OR",
                ),
                name="a_group_is_about_its_members",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("grouped", False),
                    models.Q(models.Q(("on_lapse", "contain"), _negated=True), ("in_the_end", "release")),
                    _connector="OR",
                ),
                name="silence_never_contains_a_group",
            ),
        ),
        migrations.RunSQL(HOLDS, HOLDS_BEFORE),
        migrations.RunSQL(MEMBERS, LIFT_MEMBERS),
    ]
