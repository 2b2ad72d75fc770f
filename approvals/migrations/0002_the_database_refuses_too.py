"""What holds.py and grants.py refuse, the database refuses as well, whichever door somebody came in through.

- An answer: by somebody whose word never counts here, at or after the deadline, with a time that is not its own, about another plan, or to
  a hold that has ended. The trigger locks the hold first and looks afterwards. Answers are final.
- A hold: its plan, its people and what silence means are frozen; one that has ended stays as it ended; approved takes as many different
  people as its quorum, rejected takes a rejection. Nobody deletes one.
- An exception: what was signed stays as it was signed, and its budget only shrinks.

Running it live takes a short lock on three tables. Undoing it lifts the triggers; the functions keep the rules meanwhile.
"""

from django.db import migrations

from audit.rights import final

ANSWERS = """
CREATE FUNCTION holdfast_check_answer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE held hold%ROWTYPE;
BEGIN
    SELECT * INTO held FROM hold WHERE id = NEW.hold_id FOR UPDATE;
    IF held.state <> 'open' THEN
        RAISE EXCEPTION 'this hold has ended: %', held.state USING ERRCODE = 'integrity_constraint_violation';
    ELSIF held.terms->'never' ? NEW.principal THEN
        RAISE EXCEPTION 'the word of % never counts here: %', NEW.principal, held.terms->'never'->>NEW.principal
            USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.at >= held.deadline THEN
        RAISE EXCEPTION 'the time to answer ended at %', held.deadline USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.at < transaction_timestamp() OR NEW.at > clock_timestamp() THEN
        RAISE EXCEPTION 'an answer says when it was given' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.plan_digest <> held.plan_digest THEN
        RAISE EXCEPTION 'the plan is not the one that was answered' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER an_answer_counts BEFORE INSERT ON hold_answer FOR EACH ROW EXECUTE FUNCTION holdfast_check_answer();
"""

HOLDS = """
CREATE FUNCTION holdfast_keep_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE approvals integer;
BEGIN
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'this hold has ended: %', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    ELSIF ROW(NEW.id, NEW.run_ref, NEW.case_ref, NEW.identity_ref, NEW.title, NEW.reason_class, NEW.because, NEW.plan, NEW.plan_digest,
              NEW.terms - 'step', NEW.opened_at, NEW.patience_s, NEW.in_the_end, NEW.keep_interim_s, NEW.extensions_max)
       IS DISTINCT FROM
          ROW(OLD.id, OLD.run_ref, OLD.case_ref, OLD.identity_ref, OLD.title, OLD.reason_class, OLD.because, OLD.plan, OLD.plan_digest,
              OLD.terms - 'step', OLD.opened_at, OLD.patience_s, OLD.in_the_end, OLD.keep_interim_s, OLD.extensions_max) THEN
        RAISE EXCEPTION 'what a hold asks, and whom, is frozen' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.state = 'approved' THEN
        SELECT count(DISTINCT principal) INTO approvals FROM hold_answer WHERE hold_id = NEW.id AND word = 'approve';
        IF approvals < (NEW.terms->>'quorum')::integer THEN
            RAISE EXCEPTION '% of % approvals', approvals, NEW.terms->>'quorum' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NEW.state = 'rejected' AND NOT EXISTS (SELECT FROM hold_answer WHERE hold_id = NEW.id AND word = 'reject') THEN
        RAISE EXCEPTION 'nobody rejected this hold' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_hold_is_kept BEFORE UPDATE ON hold FOR EACH ROW EXECUTE FUNCTION holdfast_keep_hold();
CREATE TRIGGER a_hold_stays BEFORE DELETE ON hold FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
"""

EXCEPTIONS = """
CREATE FUNCTION holdfast_keep_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state NOT IN ('asked', 'granted') THEN
        RAISE EXCEPTION 'this exception has ended: %', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    ELSIF ROW(NEW.id, NEW.scope, NEW.reason, NEW.ticket, NEW.requester_id, NEW.asked_at, NEW.starts_at, NEW.ends_at, NEW.budget_count, NEW.budget_risk)
       IS DISTINCT FROM
          ROW(OLD.id, OLD.scope, OLD.reason, OLD.ticket, OLD.requester_id, OLD.asked_at, OLD.starts_at, OLD.ends_at, OLD.budget_count, OLD.budget_risk)
       OR (OLD.state = 'granted' AND ROW(NEW.granter_id, NEW.granted_at) IS DISTINCT FROM ROW(OLD.granter_id, OLD.granted_at)) THEN
        RAISE EXCEPTION 'what was asked for and signed is frozen' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.used_count < OLD.used_count OR NEW.used_risk < OLD.used_risk THEN
        RAISE EXCEPTION 'what was spent is spent' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER an_exception_is_kept BEFORE UPDATE ON exception_grant FOR EACH ROW EXECUTE FUNCTION holdfast_keep_grant();
CREATE TRIGGER an_exception_stays BEFORE DELETE ON exception_grant FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
"""

LIFT_ANSWERS = "DROP TRIGGER an_answer_counts ON hold_answer; DROP FUNCTION holdfast_check_answer();"
LIFT_HOLDS = "DROP TRIGGER a_hold_stays ON hold; DROP TRIGGER a_hold_is_kept ON hold; DROP FUNCTION holdfast_keep_hold();"
LIFT_EXCEPTIONS = """
DROP TRIGGER an_exception_stays ON exception_grant; DROP TRIGGER an_exception_is_kept ON exception_grant; DROP FUNCTION holdfast_keep_grant();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0001_holds_answers_and_exceptions"),
        ("audit", "0001_entries_are_chained_and_final"),
    ]
    operations = [
        final("hold_answer"),
        migrations.RunSQL(ANSWERS, LIFT_ANSWERS),
        migrations.RunSQL(HOLDS, LIFT_HOLDS),
        migrations.RunSQL(EXCEPTIONS, LIFT_EXCEPTIONS),
    ]
