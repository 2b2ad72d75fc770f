"""A run that comes back level by level still has its identity: no other run of the same control begins beside it.

Running it live builds a small partial index anew. Undoing it is safe as long as no run is reinstating.
"""

from django.db import migrations, models
from django.db.models import Q

NAME = "one_live_run_per_identity_and_family"
BEFORE = ["contained", "needs_human", "partial", "pending", "prepared", "running", "undoing", "verifying", "waiting"]


class Migration(migrations.Migration):
    dependencies = [("playbooks", "0004_a_milder_kill_switch_takes_two")]
    operations = [
        migrations.RemoveConstraint("run", NAME),
        migrations.AddConstraint(
            "run",
            models.UniqueConstraint(
                fields=["identity_ref", "control_family"], condition=Q(state__in=sorted([*BEFORE, "reinstating"])), name=NAME
            ),
        ),
    ]
