"""The database's clock was set back. It alone says what is due, so leases and waits would stand for as long as that, and a deadline would
come that much later than people were told: they are moved with it. Whoever beat last left the former time.

Set forward, nothing is moved: nobody can tell that from a database which stood still, and what is found late is treated as late where it is
found. Dates that people agreed on (the end of an exception, of a time-limited containment) stay as they are.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.apps import apps
from django.db.models import F, Model
from django.db.models.functions import Now

from approvals.models import Hold
from audit import clock
from audit.record import record, story
from containment.models import Heartbeat, Source
from core.actor import SYSTEM
from core.refs import Ref
from playbooks import setback
from playbooks.models import Run

log = logging.getLogger(__name__)

JUMP = timedelta(seconds=5)  # less is a correction, and nobody waits noticeably longer for it
CLOCK = Ref("clock", "main")


def follow(*, who: str) -> int:
    """Called before each beat of a sweeper. 1 where the clock was set back and nobody had followed it."""
    if not Heartbeat.objects.filter(at__gt=Now() + JUMP).exists():
        return 0
    return _follow(who)


@story
def _follow(who: str) -> int:
    ahead = list(Heartbeat.objects.select_for_update().filter(at__gt=Now() + JUMP).order_by("name"))
    now = clock.now()
    if not ahead:  # another sweeper was first
        return 0
    by = max(row.at for row in ahead) - now
    Heartbeat.objects.filter(pk__in=[row.pk for row in ahead]).update(at=now)
    setback.followed(by, now)
    coming_back = setback.comes_back_later(now)
    for model in _that_wait():
        rows = model._default_manager.filter(next_at__gt=now)
        (rows.exclude(pk__in=coming_back) if model is Run else rows).update(next_at=F("next_at") - by)
    Source.objects.filter(observes_until__gt=now).update(observes_until=F("observes_until") - by)
    holds = _deadlines_moved(by, now)
    record("clock.followed", CLOCK, actor=SYSTEM, about=[hold.ref for hold in holds], by=str(by), noticed_by=who, holds=len(holds))
    log.error("the database's clock was set back by %s; %d deadlines went with it", by, len(holds))
    return 1


def _that_wait() -> list[type[Model]]:
    """All whose `next_at` says when a row is looked at again."""
    return [model for model in apps.get_models() if any(field.name == "next_at" for field in model._meta.fields)]


def _deadlines_moved(by: timedelta, now: datetime) -> list[Hold]:
    """Of what was asked under the former time."""
    asked = list(Hold.objects.select_for_update().filter(state="open", opened_at__gt=now).order_by("pk"))
    for hold in asked:
        hold.deadline -= by
        hold.save(update_fields=["deadline"])
    return asked
