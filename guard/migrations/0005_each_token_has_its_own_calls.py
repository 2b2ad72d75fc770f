"""Calls belong to the token that asked, and no longer to all tokens of its owner: two agents of one person may use the same request id.

Calls that were answered before belong to no token, so that nobody tells what came of them any more. The index is made anew: it takes as long
as the table is large. Undoing it fails where two tokens of one owner have used the same request id since.
"""

from django.db import migrations, models

GUARDED = """
CREATE FUNCTION holdfast_guard_call_keeps_its_asker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was answered is final' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER guard_call_keeps_its_asker BEFORE UPDATE ON guard_call FOR EACH ROW
    WHEN (NEW.asker IS DISTINCT FROM OLD.asker) EXECUTE FUNCTION holdfast_guard_call_keeps_its_asker();
"""
LIFTED = "DROP TRIGGER guard_call_keeps_its_asker ON guard_call; DROP FUNCTION holdfast_guard_call_keeps_its_asker();"


class Migration(migrations.Migration):
    dependencies = [("guard", "0004_names_are_set_free")]

    operations = [
        migrations.AddField("guardcall", "asker", models.TextField(blank=True, default="", db_default="")),
        migrations.RemoveConstraint("guardcall", "one_verdict_per_request"),
        migrations.AddConstraint(
            "guardcall",
            models.UniqueConstraint(
                condition=models.Q(("request", ""), _negated=True), fields=("principal", "request", "asker"), name="one_verdict_per_request"
            ),
        ),
        migrations.RunSQL(GUARDED, LIFTED),
    ]
