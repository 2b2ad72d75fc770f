"""The kill switch gets milder, or goes off, only by the word of two different people, whoever writes the row.

Running it live checks one row. Undoing it only drops the two checks.
"""

from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("playbooks", "0003_runs_with_terms_and_claims_and_the_kill_switch")]
    operations = [
        migrations.AddConstraint(
            "killswitch",
            models.CheckConstraint(
                condition=~Q(lift_to=F("position")) | ~Q(by=F("lift_by")), name="a_milder_kill_switch_is_two_peoples_word"
            ),
        ),
        migrations.AddConstraint(
            "killswitch",
            models.CheckConstraint(
                condition=~Q(position="off") | Q(by__isnull=True) | Q(lift_to="off", lift_by__isnull=False),
                name="a_kill_switch_goes_off_by_what_was_asked",
            ),
        ),
    ]
