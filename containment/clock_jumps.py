"""The database's clock was set back. It alone says what is due, so leases and waits would stand for as long as that, and a deadline would
come that much later than people were told: they are moved with it, a deadline where it leaves more time than anybody is given. The last
heartbeats and entries of the trail lie ahead then, and say by how much.

Set forward, nothing is moved: nobody can tell that from a database which stood still, and what is found late is treated as late where it is
found. Dates that people agreed on (the end of an exception, of a time-limited containment) stay as they are.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.apps import apps
from django.db import connection
from django.db.models import F, Max, Model
from django.db.models.functions import Now

from approvals import holds
from audit import clock
from audit.models import AuditEntry
from audit.record import record, story
from containment import limits
from containment.models import Heartbeat
from core.actor import SYSTEM
from core.refs import Ref
from playbooks import setback
from playbooks.models import Attempt, Run

log = logging.getLogger(__name__)

JUMP = timedelta(seconds=5)  # less is a correction, and nobody waits noticeably longer for it
CLOCK = Ref("clock", "main")
FOLLOWED = "clock.followed"


def follow(*, who: str) -> int:
    """Called before each beat of a sweeper. 1 where the clock was set back and nobody had followed it."""
    return _follow(who) if _former_time() > clock.now() + JUMP else 0


@story
def _follow(who: str) -> int:
    with connection.cursor() as cursor:  # one sweeper follows; what it moved is not moved again by the next
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('clock', 8))")
    by = _former_time() - clock.now()
    if by <= JUMP:
        return 0
    setback.stop_claims()
    now = clock.now()
    Heartbeat.objects.filter(at__gt=now).update(at=now)
    setback.followed(by, now)
    coming_back = setback.comes_back_later(now)
    for model in _that_wait():
        rows = model._default_manager.filter(next_at__gt=now)
        (rows.exclude(pk__in=coming_back) if model is Run else rows).update(next_at=F("next_at") - by)
    limits.set_back(by)
    moved = holds.set_back(by)
    calls = Attempt.objects.aggregate(last=Max("pk"))["last"] or 0
    told = {"by": str(by), "noticed_by": who, "holds": len(moved), "calls_to": calls}
    record(FOLLOWED, CLOCK, actor=SYSTEM, about=[hold.ref for hold in moved], **told)
    log.error("the database's clock was set back by %s; %d deadlines went with it", by, len(moved))
    return 1


def _former_time() -> datetime:
    """The latest moment that is known to have been. Whoever writes between the jump and the next beat does not hide it."""
    followed = AuditEntry.objects.filter(verb=FOLLOWED).aggregate(seq=Max("seq"))["seq"] or 0
    told = AuditEntry.objects.filter(at__gt=Now() + JUMP, seq__gt=followed).aggregate(at=Max("at"))["at"]
    beaten = Heartbeat.objects.exclude(kind="turn").aggregate(at=Max("at"))["at"]
    return max((at for at in (told, beaten) if at), default=datetime.min.replace(tzinfo=UTC))


def _that_wait() -> list[type[Model]]:
    """All whose `next_at` says when a row is looked at again."""
    return [model for model in apps.get_models() if any(field.name == "next_at" for field in model._meta.fields)]
