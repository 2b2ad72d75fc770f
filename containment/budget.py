"""The containment budget: how many identities may be contained by themselves, counted and spent under one lock, and its alarm.

Counted from what was spent, so the count is as exact as the rows: distinct identities per source and hour, per day, and of a kind at once:
those under a run that acts, and those that wait for people while their interim stage, which was spent for, stands.
Only the size of a kind, a share of which may be contained, is kept beside the lock and counted anew every ten minutes; it matters once more
of a kind are contained than are always allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from audit import clock
from audit.record import record
from containment import limits
from containment.domain.policy import Budget, RiskPolicy
from containment.models import BudgetAlarm, BudgetLock, ContainmentSpend, Decision, Detection, Identity, Source
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


def left(detection: Detection, policy: RiskPolicy, *, beside: bool = False) -> Left:
    """Counted under its lock, which is held until the story is over: no two spend the same last one. `beside`: how many there are beside
    this identity, which may be counted already, since its interim stage ran.

    What is spent already takes no lock: what others spend meanwhile makes it no less, and in a storm nobody waits for a no.
    """
    if policy.budget is None:
        return Left(0)
    source, kind, own = detection.source, detection.identity.kind, detection.identity if beside else None
    if source.budget_per_hour >= policy.budget.per_source_hour:  # else the source may have to be dropped, which takes the lock
        least = min(_of_time(source, policy.budget, clock.now(), beside=own), key=lambda one: one.count)
        if least.count <= 0:
            return replace(least, count=0)
    locked, _ = BudgetLock.objects.select_for_update().get_or_create(name="containment")
    now = clock.now()
    found = _of_time(source, policy.budget, now, beside=own)
    if all(one.count > 0 for one in found):  # otherwise the rest cannot matter
        of_source = limits.budget_left(source, detection.identity, now=now)
        found.append(Left(of_source, "hour", source.name, source.budget_per_hour))
        found.append(_of_kind(locked, kind, policy.budget, now, beside=own))
    least = min(found, key=lambda one: one.count)
    return Left(max(0, least.count), least.limit, least.scope, least.allowed)


def _of_time(source: Source, budget: Budget, now: datetime, *, beside: Identity | None) -> list[Left]:
    by_source = Count("identity", distinct=True, filter=Q(source=source, at__gt=now - HOUR))
    since = ContainmentSpend.objects.filter(at__gt=now - DAY)
    spent = (since.exclude(identity=beside) if beside else since).aggregate(hour=by_source, day=Count("identity", distinct=True))
    return [
        Left(budget.per_source_hour - spent["hour"], "hour", source.name, budget.per_source_hour),
        Left(budget.per_day - spent["day"], "day", "all", budget.per_day),
    ]


def _of_kind(locked: BudgetLock, kind: str, budget: Budget, now: datetime, *, beside: Identity | None) -> Left:
    spent = ContainmentSpend.objects.filter(source=OuterRef("detection__source"), at=OuterRef("decided_at"))
    restricted = Q(Exists(Decision.objects.filter(Exists(spent), run=OuterRef("pk"))), state="waiting")
    runs = Run.objects.filter(Q(state__in=_CONTAINED) | restricted, target__kind=kind)
    if beside is not None:
        runs = runs.exclude(identity_ref=str(beside.ref))
    contained, at_least = runs.values("identity_ref").distinct().count(), budget.share_at_least
    allowed = at_least if contained < at_least else max(at_least, int(budget.share_of_kind * _size(locked, kind, now)))
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


def spend_anew(detection: Detection, now: datetime) -> None:
    """More is done to an identity: counted in this hour, unless what was spent for it is."""
    if not ContainmentSpend.objects.filter(identity=detection.identity, source=detection.source, at__gt=now - HOUR).exists():
        spend(detection, now)


def count_refused(spent: Left, now: datetime) -> None:
    """One more, in the alarm that refused() made sure of. Called late in a story: the alarm's row is everybody's in a storm."""
    if spent.limit:
        _alarms(spent, now).update(last_at=now, refused=F("refused") + 1)


def refused(detection: Detection, spent: Left, now: datetime) -> None:
    """An alarm the first time in a window, raised under the budget's lock, so that there is one."""
    if not spent.limit or _alarms(spent, now).exists():
        return
    BudgetLock.objects.select_for_update().get_or_create(name="containment")
    if _alarms(spent, now).exists():
        return
    raised = BudgetAlarm.objects.create(
        limit=spent.limit, scope=spent.scope, allowed=spent.allowed, said=spent.said, raised_at=now, last_at=now, refused=0
    )
    about = [detection.source.ref, Ref.to("identity", detection.identity_id)]
    record("budget.refused", raised.ref, actor=SYSTEM, about=about, scope=spent.said, limit=spent.limit, allowed=spent.allowed)


def _alarms(spent: Left, now: datetime) -> QuerySet[BudgetAlarm]:
    return BudgetAlarm.objects.filter(limit=spent.limit, scope=spent.scope, raised_at__gt=now - WINDOWS[spent.limit])


def alarms(now: datetime) -> list[BudgetAlarm]:
    """What was refused within the last hour, the latest first."""
    return list(BudgetAlarm.objects.filter(last_at__gt=now - HOUR).order_by("-last_at")[:10])
