"""The name of a request is set free under one that no request can have: with two spaces before it, which are stripped of what anybody asks.

With the row's own id behind it alone, as until now, it could be the name of another request. Rows that were set free before stay as they
are. Takes no time. Undoing it brings the former rule back.
"""

from django.db import migrations

FROZEN = (
    *("id", "asked_at", "asked", "principal", "question", "identity", "session", "action", "tool", "resource_kind", "resource", "writes"),
    *("verdict", "reason", "because", "told", "would_have", "risk", "policy_version", "digest", "detection", "hold", "expires_at"),
)


def _row(name: str) -> str:
    return ", ".join(f"{name}.{column}" for column in FROZEN)


def _rule(freed: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION holdfast_guard_call_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
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
        OR (NEW.request <> OLD.request AND NEW.request <> {freed})
    THEN
        RAISE EXCEPTION 'what was answered is final' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("guard", "0003_stopped_sessions_are_found")]

    operations = [migrations.RunSQL(_rule("'  ' || OLD.request || '#' || OLD.id"), _rule("OLD.request || '#' || OLD.id"))]
