"""What was answered is never changed, by nobody; and batches of allowed calls know when their rows went.

A row may still learn, once each, what came of the call, and in which batch it entered the chain; and the name of its request is set free after
its time by adding the row's own id. It may go after 90 days. On a running installation the two indexes take as long as the table is large;
it is new with the migration before this one. Undoing it lifts the triggers.
"""

from django.db import migrations, models

FROZEN = (
    *("id", "asked_at", "asked", "principal", "question", "identity", "session", "action", "tool", "resource_kind", "resource", "writes"),
    *("verdict", "reason", "because", "told", "would_have", "risk", "policy_version", "digest", "detection", "hold", "expires_at"),
)


def _row(name: str) -> str:
    return ", ".join(f"{name}.{column}" for column in FROZEN)


TRIGGERS = f"""
CREATE FUNCTION holdfast_guard_call_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.asked_at > clock_timestamp() - interval '90 days' THEN
            RAISE EXCEPTION 'calls are kept for 90 days' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF ROW({_row("NEW")}) IS DISTINCT FROM ROW({_row("OLD")})
        OR (OLD.batch IS NOT NULL AND NEW.batch IS DISTINCT FROM OLD.batch)
        OR (OLD.outcome <> '' AND NEW.outcome <> OLD.outcome)
        OR (OLD.reported_at IS NOT NULL AND NEW.reported_at IS DISTINCT FROM OLD.reported_at)
        OR (NEW.request <> OLD.request AND NEW.request <> OLD.request || '#' || OLD.id)
    THEN
        RAISE EXCEPTION 'what was answered is final' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER what_was_answered_is_final BEFORE UPDATE OR DELETE ON guard_call
    FOR EACH ROW EXECUTE FUNCTION holdfast_guard_call_is_final();

CREATE FUNCTION holdfast_guard_batch_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.tidied_at IS NOT NULL
        OR ROW(NEW.id, NEW.chained_at, NEW.count, NEW.first_at, NEW.last_at, NEW.root)
            IS DISTINCT FROM ROW(OLD.id, OLD.chained_at, OLD.count, OLD.first_at, OLD.last_at, OLD.root)
    THEN
        RAISE EXCEPTION 'a batch is final' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_batch_is_final BEFORE UPDATE OR DELETE ON guard_batch
    FOR EACH ROW EXECUTE FUNCTION holdfast_guard_batch_is_final();
"""
LIFTED = """
DROP TRIGGER what_was_answered_is_final ON guard_call;
DROP FUNCTION holdfast_guard_call_is_final();
DROP TRIGGER a_batch_is_final ON guard_batch;
DROP FUNCTION holdfast_guard_batch_is_final();
"""


class Migration(migrations.Migration):
    dependencies = [("guard", "0001_what_was_asked_and_said")]

    operations = [
        migrations.AddField(model_name="guardbatch", name="tidied_at", field=models.DateTimeField(null=True)),
        migrations.AddIndex(
            model_name="guardbatch",
            index=models.Index(condition=models.Q(("tidied_at__isnull", True)), fields=["last_at"], name="guard_batch_to_tidy"),
        ),
        migrations.AddIndex(
            model_name="guardcall",
            index=models.Index(condition=models.Q(("batch__isnull", False)), fields=["batch"], name="guard_call_by_batch"),
        ),
        migrations.RunSQL(TRIGGERS, LIFTED),
    ]
