"""Requests belong to the token that asked, and no longer to all tokens of its owner: one agent neither shows the approval of another one nor
cancels its task.

Requests that were made before belong to no token: what waits of them goes on until people answer, and nobody can show its approval. Undoing
it fails where two tokens of one owner have used the same key since.
"""

from django.db import migrations, models

GUARDED = """
CREATE FUNCTION holdfast_request_keeps_its_asker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was asked for is frozen' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER a_request_keeps_its_asker BEFORE UPDATE ON access_request FOR EACH ROW
    WHEN (NEW.asker IS DISTINCT FROM OLD.asker) EXECUTE FUNCTION holdfast_request_keeps_its_asker();
"""
LIFTED = "DROP TRIGGER a_request_keeps_its_asker ON access_request; DROP FUNCTION holdfast_request_keeps_its_asker();"


class Migration(migrations.Migration):
    dependencies = [("approvals", "0005_access_requests")]

    operations = [
        migrations.AddField("accessrequest", "asker", models.TextField(blank=True, default="", db_default="")),
        migrations.RemoveConstraint("accessrequest", "one_request_per_key"),
        migrations.RemoveConstraint("accessrequest", "one_request_waits_per_question"),
        migrations.AddConstraint(
            "accessrequest",
            models.UniqueConstraint(
                condition=models.Q(("key", ""), _negated=True), fields=("principal", "asker", "key"), name="one_request_per_key"
            ),
        ),
        migrations.AddConstraint(
            "accessrequest",
            models.UniqueConstraint(
                condition=models.Q(("state", "pending")),
                fields=("principal", "asker", "question"),
                name="one_request_waits_per_question",
            ),
        ),
        migrations.RunSQL(GUARDED, LIFTED),
    ]
