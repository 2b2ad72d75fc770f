"""Sources: what each may bring about, how much it posts against what it may, and how often it was right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console.controls import Control, control
from console.views_of import decisions as told
from containment import limits, verdicts
from containment.models import ContainmentSpend, Decision, Source, SourceAlarm, SourceAsk, VerdictCount
from core.actor import Actor

MOST_LISTED = 30
LIMITS = {
    "ceiling": "Ceiling",
    "trust": "Trust",
    "kinds": "Kinds",
    "providers": "Providers",
    "rate_per_minute": "Messages a minute",
    "budget_per_hour": "Identities contained an hour",
    "max_age_seconds": "Events count up to",
}
TONES = {"active": "ok", "observing": "hot"}


@dataclass(frozen=True, slots=True)
class Line:
    """`now`, `before`: messages of this minute and the last. `brought`: distinct identities contained because of it within the hour."""

    source: Source
    state: str
    tone: str
    now: int
    before: int
    brought: int
    counted: VerdictCount | None

    @property
    def share_of_rate(self) -> float:
        return min(100.0, 100 * max(self.now, self.before) / max(1, self.source.rate_per_minute))

    @property
    def share_of_budget(self) -> float:
        return min(100.0, 100 * self.brought / self.source.budget_per_hour) if self.source.budget_per_hour else 100.0

    @property
    def precision(self) -> str:
        return percent(self.counted)

    @property
    def max_age(self) -> str:
        seconds = self.source.max_age_seconds
        return "any age" if seconds is None else _span(seconds)


@dataclass(frozen=True, slots=True)
class Raised:
    """One limit that somebody wants raised, in words."""

    name: str
    was: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a second person. `after`: all limits as they will be, which `digest` is of."""

    ask: SourceAsk
    raised: Sequence[Raised]
    after: Sequence[tuple[str, str]]
    digest: str
    may_confirm: Control
    may_take_back: bool


@dataclass(frozen=True, slots=True)
class Card:
    line: Line
    waiting: Waiting | None
    alarms: Sequence[SourceAlarm]
    decisions: Sequence[told.Line]
    may_edit: Control


@dataclass(frozen=True, slots=True)
class Counted:
    """One row of the page of verdicts: how often a signal or a source was right, and of how many cases that is known."""

    name: str
    count: VerdictCount

    @property
    def precision(self) -> str:
        return percent(self.count)


def lines(sources: Iterable[Source], *, now: datetime) -> list[Line]:
    listed = list(sources)
    counted = verdicts.of_sources(source.name for source in listed)
    spent = ContainmentSpend.objects.filter(source__in=listed, at__gt=now - timedelta(hours=1)).values_list("source_id", "identity_id")
    brought: dict[object, set[object]] = {}
    for source_id, identity_id in spent:
        brought.setdefault(source_id, set()).add(identity_id)
    return [_line(source, counted.get(source.name), len(brought.get(source.pk, ())), now) for source in listed]


def card(source: Source, viewer: Actor, *, now: datetime) -> Card:
    decided = Decision.objects.filter(detection__source=source).select_related(
        "detection__identity", "detection__resource", "detection__source"
    )
    return Card(
        line=lines([source], now=now)[0],
        waiting=_waiting(source, viewer),
        alarms=list(source.alarms.order_by("-raised_at")[:MOST_LISTED]),
        decisions=told.lines(decided.order_by("-decided_at")[:MOST_LISTED]),
        may_edit=control(viewer, "connector.edit"),
    )


def asked_for_more() -> list[Source]:
    """Sources of which something waits for a second person."""
    return list(Source.objects.filter(asks__state="waiting").order_by("name")[:MOST_LISTED])


def _waiting(source: Source, viewer: Actor) -> Waiting | None:
    found = limits.waiting(source)
    if found is None:
        return None
    own = "You asked for it. Somebody else has to confirm it." if found.asked_by == viewer.principal else ""
    wanted = dict(found.wanted)
    return Waiting(
        ask=found,
        raised=[Raised(LIMITS[name], said_of(name, getattr(source, name)), said_of(name, value)) for name, value in wanted.items()],
        after=[(words, said_of(name, wanted.get(name, getattr(source, name)))) for name, words in LIMITS.items()],
        digest=limits.digest_of(found, source),
        may_confirm=control(viewer, limits.CONFIRMS, unless=own),
        may_take_back=viewer.may("connector.edit"),
    )


def said_of(name: str, value: Any) -> str:
    if name == "max_age_seconds":
        return "any age" if value is None else _span(value)
    if isinstance(value, list):
        return ", ".join(str(one).replace("_", " ") for one in value) or "any"
    return f"{value:,}" if isinstance(value, int) else str(value)


def counted(kind: str, *, most: int) -> list[Counted]:
    """Those with most judged cases first."""
    rows = VerdictCount.objects.filter(kind=kind)[:most]
    return [Counted(row.name.replace("_", " ") if kind == verdicts.SIGNAL else row.name, row) for row in _busiest(rows)]


def percent(count: VerdictCount | None) -> str:
    if count is None or count.precision is None:
        return ""
    return f"{count.precision:.0%} of {count.judged} case{'' if count.judged == 1 else 's'}"


def observing() -> list[Source]:
    """Sources that were dropped to observe, for a notice where people look first."""
    return [source for source in Source.objects.filter(state="observing")[:MOST_LISTED] if limits.observed_because(source)]


def _busiest(rows: Iterable[VerdictCount]) -> list[VerdictCount]:
    return sorted((row for row in rows if row.judged), key=lambda row: (-row.judged, row.name))


def _line(source: Source, count: VerdictCount | None, brought: int, now: datetime) -> Line:
    this, before = limits.rates(source, at=now)
    state = "observing" if limits.observed_because(source, at=now) else "active"
    return Line(source, state, TONES[state], this, before, brought, count)


def _span(seconds: int) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % size == 0:
            return f"{seconds // size} {name}{'' if seconds == size else 's'}"
    return f"{seconds} seconds"
