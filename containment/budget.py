"""The containment budget: how many identities may be contained by themselves, counted and spent under one lock, and its alarm.

Counted from what was spent, so the count is as exact as the rows: distinct identities per source and hour, per day, and of a kind at once.
Only the size of a kind, a share of which may be contained, is kept beside the lock and counted anew every ten minutes; it matters once more
of a kind are contained than are always allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Q

from audit import clock
from audit.record import record
from containment import limits
from containment.domain.policy import RiskPolicy
from containment.models import BudgetAlarm, BudgetLock, ContainmentSpend, Detection, Identity
from core.actor import SYSTEM
from core.refs import Ref
from playbooks.domain.moves import LIVE
from playbooks.models import Run

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIZES_FOR = timedelta(minutes=10)
WINDOWS = {"hour": HOUR, "day": DAY, "kind": HOUR}
SAID = {"hour": "{allowed} in an hour because of {scope}", "day": "{allowed} in a day", "kind": "{allowed} at once of the kind {scope}"}
_CONTAINED = sorted(LIVE - {"waiting", "prepared"})


@dataclass(frozen=True, slots=True)
class Left:
    """How many more, and which limit says so: `hour` (of a source), `day` or `kind`, with what it is about and what it allows."""

    count: int
    limit: str = ""
    scope: str = ""
    allowed: int = 0

    @property
    def said(self) -> str:
        return SAID[self.limit].format(allowed=self.allowed, scope=self.scope.replace("_", " ")) if self.limit else "none at all"


def left(detection: Detection, policy: RiskPolicy) -> Left:
    """Counted under its lock, which is held until the story is over: no two spend the same last one."""
    if policy.budget is None:
        return Left(0)
    locked, _ = BudgetLock.objects.select_for_update().get_or_create(name="containment")
    now, source, kind = clock.now(), detection.source, detection.identity.kind
    by_source = Count("identity", distinct=True, filter=Q(source=source, at__gt=now - HOUR))
    spent = ContainmentSpend.objects.filter(at__gt=now - DAY).aggregate(hour=by_source, day=Count("identity", distinct=True))
    found = [
        Left(policy.budget.per_source_hour - spent["hour"], "hour", source.name, policy.budget.per_source_hour),
        Left(policy.budget.per_day - spent["day"], "day", "all", policy.budget.per_day),
    ]
    if all(one.count > 0 for one in found):  # otherwise the rest cannot matter
        own = limits.budget_left(source, detection.identity, now=now)
        found.append(Left(own, "hour", source.name, source.budget_per_hour))
        found.append(_of_kind(locked, kind, policy.budget.share_at_least, policy.budget.share_of_kind, now))
    least = min(found, key=lambda one: one.count)
    return Left(max(0, least.count), least.limit, least.scope, least.allowed)


def _of_kind(locked: BudgetLock, kind: str, at_least: int, share: float, now: datetime) -> Left:
    contained = Run.objects.filter(state__in=_CONTAINED, target__kind=kind).values("identity_ref").distinct().count()
    allowed = at_least if contained < at_least else max(at_least, int(share * _size(locked, kind, now)))
    return Left(allowed - contained, "kind", kind, allowed)


def _size(locked: BudgetLock, kind: str, now: datetime) -> int:
    size, at = locked.sizes.get(kind, (0, ""))
    if not at or now - datetime.fromisoformat(at) >= SIZES_FOR:
        size = Identity.objects.filter(kind=kind, merged_into__isnull=True).count()
        locked.sizes[kind] = (size, now.isoformat())
        locked.save(update_fields=["sizes"])
    return int(size)


def spend(detection: Detection, now: datetime) -> None:
    ContainmentSpend.objects.create(identity=detection.identity, kind=detection.identity.kind, source=detection.source, at=now)


def refused(detection: Detection, spent: Left, now: datetime) -> None:
    """An alarm the first time in a window; after that it counts. The budget's lock is held, so there is one alarm."""
    if not spent.limit:
        return
    alarm = BudgetAlarm.objects.filter(limit=spent.limit, scope=spent.scope, raised_at__gt=now - WINDOWS[spent.limit])
    if alarm.update(last_at=now, refused=F("refused") + 1):
        return
    raised = BudgetAlarm.objects.create(
        limit=spent.limit, scope=spent.scope, allowed=spent.allowed, said=spent.said, raised_at=now, last_at=now
    )
    about = [detection.source.ref, Ref.to("identity", detection.identity_id)]
    record("budget.refused", raised.ref, actor=SYSTEM, about=about, scope=spent.said, limit=spent.limit, allowed=spent.allowed)


def alarms(now: datetime) -> list[BudgetAlarm]:
    """What was refused within the last hour, the latest first."""
    return list(BudgetAlarm.objects.filter(last_at__gt=now - HOUR).order_by("-last_at")[:10])
