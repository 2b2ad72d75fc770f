"""The database's clock was set back: leases, and what counts how long a step has taken, go with it; not what was said since.

No run is claimed for the longest time that a call may take: one that was made under the former time may still be out, and its intent, which
now lies ahead, does not say for how long. Whoever holds a run goes on with it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Least, Now

from audit.models import AuditEntry
from playbooks.domain.backward import PATIENCE
from playbooks.domain.moves import COMING_BACK, WORKABLE
from playbooks.domain.specs import LONGEST_CALL
from playbooks.models import Circuit, Run, Step


def stop_claims() -> None:
    """Called in a story, before anything else of a run is touched. Whatever is written from here on waits until that is told."""
    locked = Run.objects.select_for_update(of=("self",)).filter(state__in=WORKABLE).order_by("pk")
    Run.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).update(lease_until=Now() + LONGEST_CALL)


def followed(by: timedelta, now: datetime) -> None:
    steps = Step.objects.filter(run__state__in=WORKABLE)
    steps.filter(started_at__gt=now).update(started_at=F("started_at") - by)
    latest = Now() + F("settle_s") * timedelta(seconds=1) + PATIENCE  # that much more where nobody could ask
    steps.filter(verify_until__gt=latest).update(verify_until=Least(F("verify_until") - by, latest))
    for row in Circuit.objects.select_for_update().filter(Q(busy_until__gt=now) | ~Q(tries=[])).order_by("pk"):
        row.tries = [at - by for at in row.tries]
        row.busy_until = row.busy_until - by if row.busy_until else None
        row.save(update_fields=["tries", "busy_until"])


def comes_back_later(now: datetime) -> list[UUID]:
    """Runs that come back and of which the newest that is on record was not under the former time: how long they are watched was said
    before, or since. They keep their moment, since what stays cut longer than it should harms less than what comes back too early."""
    back = Run.objects.filter(state__in=COMING_BACK, next_at__gt=now).prefetch_related("steps")
    return [run.pk for run in back if _last_on_record(run) <= now]


def _last_on_record(run: Run) -> datetime:
    subjects = [str(run.ref), *(str(step.ref) for step in run.steps.all())]
    return AuditEntry.objects.filter(subject__in=subjects).order_by("-seq").values_list("at", flat=True)[0]
