"""One grouped hold gathers per answering team, so that nobody decides about the environment of others; and a member counts attempts.

A group that gathers now may hold identities of several environments: it keeps whom it asks, and takes nobody more, since no team is named
like it. Running it live adds two columns with defaults and makes a small index anew. Undoing it wants one group at most that gathers.
"""

from django.db import migrations, models

THOSE_THAT_GATHER = "UPDATE hold SET asks_team = id::text WHERE gathers;"
FROZEN = """
CREATE FUNCTION holdfast_keep_team() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.asks_team IS DISTINCT FROM OLD.asks_team THEN
        RAISE EXCEPTION 'what a hold asks, and whom, is frozen' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_hold_asks_one_team BEFORE UPDATE ON hold FOR EACH ROW EXECUTE FUNCTION holdfast_keep_team();
"""
LIFT = "DROP TRIGGER a_hold_asks_one_team ON hold; DROP FUNCTION holdfast_keep_team();"


class Migration(migrations.Migration):
    dependencies = [("approvals", "0003_one_ask_about_many")]
    operations = [
        migrations.RemoveConstraint(model_name="hold", name="one_group_takes_members"),
        migrations.AddField(model_name="groupmember", name="strikes", field=models.PositiveSmallIntegerField(default=0)),
        migrations.AddField(model_name="hold", name="asks_team", field=models.TextField(blank=True, default="")),
        migrations.RunSQL(THOSE_THAT_GATHER, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(
                condition=models.Q(("gathers", True)), fields=("asks_team",), name="one_group_per_team_takes_members"
            ),
        ),
        migrations.RunSQL(FROZEN, LIFT),
    ]
