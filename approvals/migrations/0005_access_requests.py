"""What programs ask people for, call by call.

A request waits for a hold: the one of a case, or one that is opened for this call alone and names no run. Of those any number may be open.
It ends once. Who asked, for what and whose word counts nothing is frozen when it is made; the hold may change while it waits, where another
one asks about the same run. Approved takes the word of somebody whom `never` does not name, whatever door it came through: "approve" about a
call, "reject" ("leave it running") about a run. An approval is used up to its number and never gives a use back; a revocation stays.

Running it live makes a small index anew and reads the holds once for two checks. Undoing it takes requests and approvals away: end the holds of
the class access_request first.
"""

import django.db.models.deletion
from django.db import migrations, models

import core.ids

REQUESTS = """
CREATE FUNCTION holdfast_keep_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'a request begins by waiting' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF ROW(NEW.id, NEW.principal, NEW.asked_by, NEW.key, NEW.body_digest, NEW.evaluation, NEW.question, NEW.asks, NEW.justification, NEW.emergency,
           NEW.wanted_until, NEW.client, NEW.never, NEW.identity_ref, NEW.run_ref, NEW.asked_at, NEW.uses_max)
       IS DISTINCT FROM
       ROW(OLD.id, OLD.principal, OLD.asked_by, OLD.key, OLD.body_digest, OLD.evaluation, OLD.question, OLD.asks, OLD.justification, OLD.emergency,
           OLD.wanted_until, OLD.client, OLD.never, OLD.identity_ref, OLD.run_ref, OLD.asked_at, OLD.uses_max) THEN
        RAISE EXCEPTION 'what was asked for is frozen' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF OLD.state <> 'pending' AND
          ROW(NEW.state, NEW.hold_id, NEW.closed_at, NEW.closed_because, NEW.approval, NEW.approved_until)
          IS DISTINCT FROM
          ROW(OLD.state, OLD.hold_id, OLD.closed_at, OLD.closed_because, OLD.approval, OLD.approved_until) THEN
        RAISE EXCEPTION 'this request has ended: %', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.uses < OLD.uses OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) THEN
        RAISE EXCEPTION 'what was used or revoked stays so' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF OLD.state = 'pending' AND NEW.state = 'approved' AND NOT EXISTS (
          SELECT FROM hold_answer a JOIN hold h ON h.id = a.hold_id
          WHERE h.id = NEW.hold_id AND NOT (NEW.never ? a.principal)
            AND ((h.reason_class = 'access_request' AND h.state = 'approved' AND a.word = 'approve')
              OR (h.reason_class <> 'access_request' AND h.state = 'rejected' AND a.word = 'reject'))) THEN
        RAISE EXCEPTION 'nobody who may allowed this call' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_request_is_kept BEFORE INSERT OR UPDATE ON access_request FOR EACH ROW EXECUTE FUNCTION holdfast_keep_request();
CREATE TRIGGER a_request_stays BEFORE DELETE ON access_request FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
"""
LIFT_REQUESTS = """
DROP TRIGGER a_request_stays ON access_request; DROP TRIGGER a_request_is_kept ON access_request; DROP FUNCTION holdfast_keep_request();
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_each_team_is_asked_about_its_own")]
    operations = [
        migrations.CreateModel(
            name="AccessRequest",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("principal", models.TextField()),
                ("asked_by", models.TextField()),
                ("key", models.TextField(blank=True, default="")),
                ("body_digest", models.TextField()),
                ("evaluation", models.UUIDField()),
                ("question", models.TextField()),
                ("asks", models.JSONField()),
                ("justification", models.TextField(blank=True, default="")),
                ("emergency", models.BooleanField(default=False)),
                ("wanted_until", models.DateTimeField(null=True)),
                ("client", models.JSONField(default=dict)),
                ("never", models.JSONField(default=dict)),
                ("identity_ref", models.TextField()),
                ("run_ref", models.TextField(blank=True, default="")),
                ("asked_at", models.DateTimeField()),
                ("state", models.TextField(default="pending")),
                ("closed_at", models.DateTimeField(null=True)),
                ("closed_because", models.TextField(blank=True, default="")),
                ("approval", models.UUIDField(null=True, unique=True)),
                ("approved_until", models.DateTimeField(null=True)),
                ("uses_max", models.PositiveIntegerField(null=True)),
                ("uses", models.PositiveIntegerField(default=0)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("revoked_because", models.TextField(blank=True, default="")),
                ("hold", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="requests", to="approvals.hold")),
            ],
            options={
                "db_table": "access_request",
                "ordering": ["-asked_at", "-id"],
                "indexes": [
                    models.Index(condition=models.Q(("state", "pending")), fields=["run_ref"], name="requests_that_wait_for_a_run"),
                    models.Index(fields=["identity_ref", "asked_at"], name="requests_of_an_identity"),
                    models.Index(fields=["hold", "state"], name="requests_of_a_hold"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("key", ""), _negated=True), fields=("principal", "key"), name="one_request_per_key"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "pending")), fields=("principal", "question"), name="one_request_waits_per_question"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["approved", "cancelled", "denied", "expired", "failed", "pending"])),
                        name="a_request_is_in_a_state_we_know",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at__isnull", True), ("state", "pending")),
                            models.Q(models.Q(("state", "pending"), _negated=True), ("closed_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="a_request_that_ended_says_when",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("approval__isnull", False), ("approved_until__gt", models.F("closed_at")), ("state", "approved")),
                            models.Q(
                                models.Q(("state", "approved"), _negated=True),
                                ("approval__isnull", True),
                                ("approved_until__isnull", True),
                                ("uses", 0),
                            ),
                            _connector="OR",
                        ),
                        name="only_an_approved_request_has_an_approval",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("uses_max__isnull", True), models.Q(("uses__lte", models.F("uses_max")), ("uses_max__gt", 0)), _connector="OR"
                        ),
                        name="an_approval_covers_no_more_calls",
                    ),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="hold",
            name="one_open_hold_per_run",
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(
                condition=models.Q(("grouped", False), ("state", "open"), models.Q(("run_ref", ""), _negated=True)),
                fields=("run_ref",),
                name="one_open_hold_per_run",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("grouped", True), models.Q(("run_ref", ""), _negated=True), ("reason_class", "access_request"), _connector="OR"
                ),
                name="a_hold_without_a_run_is_about_many_or_a_call",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("reason_class", "access_request"), _negated=True),
                    models.Q(
                        models.Q(("on_lapse", "contain"), _negated=True), ("grouped", False), ("in_the_end", "release"), ("run_ref", "")
                    ),
                    _connector="OR",
                ),
                name="silence_never_allows_a_call",
            ),
        ),
        migrations.RunSQL(REQUESTS, LIFT_REQUESTS),
    ]
