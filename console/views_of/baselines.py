"""What an identity usually does, as its page shows it: each baseline with how much it rests on, its bands, and what it knows best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from containment import policies
from containment.domain.baseline import ACTION, MOVE, PAIR, RESOURCE, restored
from containment.domain.policy import Minimum, shipped_text
from containment.models import Activity, Baseline, Habit, Identity, RiskPolicyVersion

MOST_BASELINES = 8
MOST_HABITS = 6
MOST_EVENTS = 12
SORTS = ((RESOURCE, "Resources"), (ACTION, "Actions"), (PAIR, "Actions in a row"), (MOVE, "Between systems"))


@dataclass(frozen=True, slots=True)
class Known:
    """One habit in words."""

    name: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Band:
    """A window of the request rate: what is usual, and the highest of those that are over."""

    window: str
    usual: float
    peak: float
    windows: int


@dataclass(frozen=True, slots=True)
class Sort:
    name: str
    kept: int
    best: Sequence[Known]


@dataclass(frozen=True, slots=True)
class Usual:
    """One baseline. `lacks`: what is missing until it counts as known in full; empty where nothing is."""

    name: str
    events: int
    days: int
    newest_at: datetime | None
    lacks: str
    bands: Sequence[Band]
    sorts: Sequence[Sort]


@dataclass(frozen=True, slots=True)
class Doings:
    """The section of a page. `more`: how many baselines are not shown."""

    baselines: Sequence[Usual]
    more: int
    events: Sequence[Activity]
    learns: bool


def of(identity: Identity) -> Doings:
    minimum = _minimum()
    rows = list(identity.baselines.order_by("-events", "id")[: MOST_BASELINES + 1])
    more = identity.baselines.count() - MOST_BASELINES if len(rows) > MOST_BASELINES else 0
    rows.sort(key=lambda row: bool(row.role or row.workflow or row.tenant))  # its own first
    events = Activity.objects.filter(identity=identity).select_related("session", "resource")[:MOST_EVENTS]
    learns = not identity.cases.exclude(state="closed").exists()
    return Doings([_usual(row, minimum) for row in rows[:MOST_BASELINES]], more, list(events), learns)


def _minimum() -> Minimum:
    """How much counts as known in full: the policy's word, where one is in force."""
    version = RiskPolicyVersion.objects.filter(state="in_force").first()
    return policies.document(version.text if version else shipped_text()).minimum


def _usual(row: Baseline, minimum: Minimum) -> Usual:
    learned = restored(row.learned)
    days = len(learned.days)
    return Usual(
        name=_named(row),
        events=row.events,
        days=days,
        newest_at=row.newest_at,
        lacks=_lacking(row.events, days, minimum),
        bands=[
            Band(name, round(window.total / window.weight, 1), round(window.peaks[0][0] if window.peaks else 0.0, 1), window.closed)
            for name, window in learned.windows.items()
            if window.weight > 0
        ],
        sorts=[Sort(name, learned.kept[about], best) for about, name in SORTS if (best := _best(row, about))],
    )


def _named(row: Baseline) -> str:
    parts = (("Role", row.role), ("Workflow", row.workflow), ("Tenant", row.tenant))
    return ", ".join(f"{what} {name}" for what, name in parts if name) or "Whatever it does"


def _lacking(events: int, days: int, minimum: Minimum) -> str:
    short = []
    if events < minimum.events:
        short.append(f"{minimum.events - events} more events")
    if days < minimum.days:
        short.append(f"{minimum.days - days} more days")
    return " and ".join(short)


def _best(row: Baseline, about: str) -> list[Known]:
    found = Habit.objects.filter(baseline=row, about=about).order_by("-count", "-last_at")[:MOST_HABITS]
    return [Known(_words(habit), habit.count, habit.first_at, habit.last_at) for habit in found]


def _words(habit: Habit) -> str:
    joint = {PAIR: " → ", MOVE: " ↔ "}.get(habit.about, " ")
    return joint.join(part for part in (habit.one, habit.two) if part)


# -- behind a decision --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """What a behaviour signal rests on, in a few named facts. `scale` draws a band: percentages of the widest value."""

    name: str
    because: str
    facts: Sequence[tuple[str, str]]
    scale: Mapping[str, float]


WHOSE = "Compared with"
FACTS: Mapping[str, str] = {
    "window": "Window",
    "count": "In this one",
    "usual": "Usually",
    "upper": "At most",
    "resource": "Resource",
    "from": "From",
    "to": "To",
    "steps": "Steps",
    "seen": "Seen",
    "drive": "Driven by",
}


def reasons(signals: Iterable[Mapping[str, Any]], label: Any) -> list[Reason]:
    """One for each behaviour signal that fired, and for what a session showed of its drive."""
    wanted = [one for one in signals if one["strength"] > 0 and (one["family"] == "behaviour" or one["code"] == "drive_mismatch")]
    return [Reason(label(one["code"]), one["because"], _facts(one), _scale(one.get("evidence") or {})) for one in wanted]


def _facts(signal: Mapping[str, Any]) -> list[tuple[str, str]]:
    evidence = signal.get("evidence") or {}
    found = [(words, _told(evidence[name])) for name, words in FACTS.items() if evidence.get(name) not in (None, "")]
    if whose := evidence.get("baseline"):
        found.append((WHOSE, "what this identity does anywhere" if whose == "identity" else f"what it does in {whose}"))
    if signal.get("observations") is not None:
        days = f" on {signal['days']} day{'' if signal['days'] == 1 else 's'}" if signal.get("days") is not None else ""
        found.append(("Rests on", f"{signal['observations']:,} observations{days}"))
    elif evidence.get("named"):
        found.append(("Rests on", "the policy, which names this chain: no history is needed"))
    if signal.get("thin"):
        found.append(("Too little", "by itself it asks people, because so little is known yet"))
    return found


def _told(value: Any) -> str:
    if isinstance(value, list):
        return " → ".join(map(str, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _scale(evidence: Mapping[str, Any]) -> dict[str, float]:
    """Of a volume, where usual, upper and this one lie on one line."""
    if not {"count", "usual", "upper"} <= set(evidence):
        return {}
    widest = max(float(evidence["count"]), float(evidence["upper"])) or 1.0
    return {name: round(100 * float(evidence[name]) / widest, 1) for name in ("usual", "upper", "count")}
