"""The database's clock was set back: leases, and what counts how long a step has taken, go with it.

No run is claimed for the longest time that a call may take: one that was made under the former time may still be out, and its intent, which
now lies ahead, does not say for how long. Whoever holds a run goes on with it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q

from playbooks.domain.moves import WORKABLE
from playbooks.domain.specs import LONGEST_CALL
from playbooks.models import Circuit, Run, Step


def followed(by: timedelta, now: datetime) -> None:
    """Called in a story, before anything else of a run is touched."""
    Run.objects.filter(state__in=WORKABLE).update(lease_until=now + LONGEST_CALL)
    for name in ("started_at", "verify_until"):
        steps = Step.objects.filter(run__state__in=WORKABLE, **{f"{name}__gt": now})
        steps.update(**{name: F(name) - by})
    for row in Circuit.objects.select_for_update().filter(Q(busy_until__gt=now) | ~Q(tries=[])).order_by("pk"):
        row.tries = [at - by for at in row.tries]
        row.busy_until = row.busy_until - by if row.busy_until else None
        row.save(update_fields=["tries", "busy_until"])


def comes_back_later(now: datetime) -> list[UUID]:
    """Runs that come back and did nothing under the former time: how long they are watched was said before, or since. They keep their
    moment, since what stays cut longer than it should harms less than what comes back too early."""
    back = Run.objects.filter(state__in=["undoing", "reinstating"], next_at__gt=now).exclude(undo_at__gt=now)
    return list(back.exclude(steps__journal__at__gt=now).values_list("pk", flat=True))
