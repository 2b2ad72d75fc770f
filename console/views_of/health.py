"""How the product itself is: what must always be true, who is alive, what is due, and who carried out what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet

from approvals.models import ExceptionGrant, GroupMember, Hold
from audit import clock
from audit.models import AuditEntry, AuditHead
from console.views_of import audit as trail
from containment import invariants
from containment.models import Detection, Exposure, Heartbeat, InvariantCheck, MassUndoMember
from playbooks.domain.moves import WORKABLE
from playbooks.models import Attempt, Run

BREATH = timedelta(seconds=10)
LATE = timedelta(minutes=5)  # from here on "what is due is done" does not hold
RECENT = 10_000  # attempts that the shares are counted from
SHOWN = 5  # rows of one that is broken
EARLIER = 24  # looks on the strip


@dataclass(frozen=True, slots=True)
class Said:
    """One invariant with what the last look found. `state`: holds, broken, silent (it could not be asked), unasked."""

    name: str
    sentence: str
    state: str
    rows: Sequence[str]
    more: int


@dataclass(frozen=True, slots=True)
class Due:
    what: str
    due: int
    later: int
    oldest: datetime | None
    tone: str


@dataclass(frozen=True, slots=True)
class Beat:
    name: str
    kind: str
    at: datetime
    alive: bool


@dataclass(frozen=True, slots=True)
class Share:
    executor: str
    count: int
    percent: str


@dataclass(frozen=True, slots=True)
class Health:
    now: datetime
    last: InvariantCheck | None
    late: bool  # the last look is older than it may be
    said: Sequence[Said]
    broken: int
    silent: int
    beats: Sequence[Beat]
    due: Sequence[Due]
    oldest: datetime | None
    shares: Sequence[Share]
    attempts: int
    head: AuditHead | None
    verified: trail.Told | None
    earlier: Sequence[InvariantCheck]


def health() -> Health:
    now = clock.now()
    looks = list(InvariantCheck.objects.filter(at__lte=now).order_by("-at")[:EARLIER])
    last = looks[0] if looks else None
    said = _said(last)
    due = _due(now)
    counted, shares = _shares()
    verified = AuditEntry.objects.filter(verb="audit.verified").order_by("-seq")[:1]
    return Health(
        now=now,
        last=last,
        late=last is not None and last.at < now - 2 * invariants.EVERY,
        said=said,
        broken=sum(one.state == "broken" for one in said),
        silent=sum(one.state == "silent" for one in said),
        beats=[
            Beat(one.name, one.kind, one.at, one.at > now - BREATH)
            for one in Heartbeat.objects.exclude(kind="turn").order_by("kind", "name")[:50]
        ],
        due=due,
        oldest=min((line.oldest for line in due if line.oldest is not None and line.due), default=None),
        shares=shares,
        attempts=counted,
        head=AuditHead.objects.filter(chain="main").first(),
        verified=next(iter(trail.told(verified)), None),
        earlier=list(reversed(looks)),
    )


def _said(last: InvariantCheck | None) -> list[Said]:
    found = last.found if last is not None else {}
    said = []
    for name, one in invariants.INVARIANTS.items():
        rows = [str(row) for row in found.get(name, [])]
        state = "unasked" if last is None else "holds" if not rows else "silent" if invariants.is_silence(rows) else "broken"
        said.append(Said(name, one.sentence, state, rows[:SHOWN], max(0, len(rows) - SHOWN)))
    order = {"broken": 0, "silent": 1}
    return sorted(said, key=lambda one: order.get(one.state, 2))


def _due(now: datetime) -> list[Due]:
    undecided = Detection.objects.filter(state="received", next_at__isnull=False)
    running = Run.objects.filter(state__in=WORKABLE, next_at__isnull=False)
    ending = Run.objects.filter(state__in=["contained", "partial"], lasts_until__isnull=False)
    return [
        _line("Detections to decide", undecided, "next_at", now),
        _line("Runs to go on with", running, "next_at", now),
        _line("Holds with a deadline", Hold.objects.filter(state="open"), "deadline", now),
        _line("Members of grouped holds to follow", GroupMember.objects.filter(next_at__isnull=False), "next_at", now),
        _line("Containments that end by themselves", ending, "lasts_until", now),
        _line("Runs of a mass undo", MassUndoMember.objects.filter(next_at__isnull=False), "next_at", now),
        _line("Reports of leaks to pass on", Exposure.objects.filter(next_at__isnull=False), "next_at", now),
        _line("Exceptions that will end", ExceptionGrant.objects.filter(state__in=["asked", "granted"]), "ends_at", now),
    ]


def _line(what: str, rows: QuerySet, by: str, now: datetime) -> Due:  # type: ignore[type-arg] # of any of our models
    is_due = Q(**{f"{by}__lte": now})
    found = rows.aggregate(due=Count("pk", filter=is_due), later=Count("pk", filter=~is_due), oldest=Min(by))
    oldest = found["oldest"]
    tone = "hot" if oldest is not None and oldest < now - LATE else "warn" if found["due"] else "ok"
    return Due(what, found["due"], found["later"], oldest, tone)


def _shares() -> tuple[int, list[Share]]:
    recent = Attempt.objects.filter(kind="intent").order_by("-id").values("executor")[:RECENT]
    counts: dict[str, int] = {}
    for row in recent:
        counts[row["executor"]] = counts.get(row["executor"], 0) + 1
    total = sum(counts.values())
    shares = [Share(name, count, f"{100 * count / total:.1f} %") for name, count in sorted(counts.items(), key=lambda one: -one[1])]
    return total, shares
