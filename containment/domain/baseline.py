"""Baselines: what one identity usually does in one role, workflow and tenant, learned one event at a time, in bounded room.

Pure: an event comes in, the baseline in memory changes; nothing here reads rows or a clock. The cost of an event does not depend on how
many came before it. The caller brings the habits that the events at hand could meet, and writes back what was gained.

Late events have one rule: an event older than the running window counts for what was used and when, and not for how fast; one older than
the newest step of its session counts for no pair and no move.

Days are lived, not told: what was received counts for no day before the one on which this baseline first learned, nor before the latest
that counts, and not for a day of its own where it came more than LATE_DAYS later. So no sender fills a week in an hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from containment.domain.event import Event
from containment.domain.facts import BaselineFacts, RateFacts, StepFacts

RESOURCE, ACTION, PAIR, MOVE = "resource", "action", "pair", "move"
MOST: Mapping[str, int] = {RESOURCE: 5_000, ACTION: 500, PAIR: 5_000, MOVE: 1_000}  # habits of each sort in one baseline
MOST_DAYS = 64  # distinct days that are told apart; the newest stay
MOST_AT_ONCE = 100  # of one message's count, this much counts as experience; rates see all of it
LATE_DAYS = 3  # a feed may rest over a weekend
WINDOWS: Mapping[str, int] = {"minute": 60, "hour": 3_600, "day": 86_400}
DAY = WINDOWS["day"]
FORGETS_S = 14 * DAY  # after so long a past window counts half
PEAK_FORGETS_S = 365 * DAY  # the highest windows are remembered longer, so that monthly work stays usual
DEVIATIONS, ABOVE_PEAK, AT_LEAST_MORE = 3.0, 1.3, 5.0
GROWN_DAYS = 7  # from so many days on, a window beyond its band teaches no more than the band's edge, and a peak counts once it came twice


class Habit(NamedTuple):
    """One thing that was used or done: (resource, kind, key), (action, name), (pair, before, after), (move, system, system)."""

    about: str
    one: str
    two: str = ""


@dataclass(slots=True)
class Use:
    """How often a habit was met among the events at hand, first and last."""

    count: int
    first_at: datetime
    last_at: datetime


@dataclass(slots=True)
class Window:
    """A running count, and the band of those that are over: decayed number, sum and squares of the windows in which it was active.
    `peaks`: the two highest of different days, each with its day, the higher first; they fade as well. `day`: for which the running one
    counts."""

    index: int = -1
    count: int = 0
    closed: int = 0
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    peaks: list[tuple[float, int]] = field(default_factory=list)
    days: list[int] = field(default_factory=list)
    day: int = -1


@dataclass(slots=True)
class Baseline:
    """`known`: habits it has, as far as the caller looked them up; `gained`: what the events at hand add. `kept`: how many it has of each
    sort. `pairs` and `moves` count the steps that could have shown a new pair or system, whether or not they did. `since`: the day on which
    it first learned anything."""

    of: str = "identity"
    events: int = 0
    newest_at: datetime | None = None
    oldest_at: datetime | None = None
    since: int | None = None
    days: list[int] = field(default_factory=list)
    pairs: int = 0
    pair_days: list[int] = field(default_factory=list)
    moves: int = 0
    move_days: list[int] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=lambda: {name: Window() for name in WINDOWS})
    kept: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOST, 0))
    known: set[Habit] = field(default_factory=set)
    gained: dict[Habit, Use] = field(default_factory=dict)


def step_of(event: Event) -> StepFacts:
    return StepFacts(action=event.action, system=event.system, resource=event.resource, tool=event.tool, writes=event.writes)


def label(step: StepFacts) -> str:
    """What a pair is made of: the action, and of a tool call its tool too, because every call is a `tool.call`."""
    return f"{step.action} {step.tool}" if step.tool else step.action


def habits_of(event: Event, before: StepFacts | None) -> list[Habit]:
    """Everything about one event that a baseline may know or learn."""
    found = [Habit(ACTION, event.action)]
    if event.resource:
        found.append(Habit(RESOURCE, event.resource_kind, event.resource))
    if before is not None:
        found.append(pair(before, step_of(event)))
        if before.system and event.system and before.system != event.system:
            found.append(move(before.system, event.system))
    return found


def pair(before: StepFacts, after: StepFacts) -> Habit:
    return Habit(PAIR, label(before), label(after))


def move(one: str, other: str) -> Habit:
    """Both ways: whoever goes there also comes back."""
    return Habit(MOVE, *sorted((one, other)))


def learn(
    baseline: Baseline, event: Event, before: StepFacts | None, *, in_order: bool = True, received_at: datetime | None = None
) -> None:
    """Take one event in. `before`: the step of the same session just before it; `in_order`: it is not older than that session's newest.
    Without `received_at` it is history that somebody answers for: it counts as if it had been received when it happened."""
    day = _day_for(baseline, event.occurred_at, received_at)
    baseline.events += min(event.count, MOST_AT_ONCE)
    baseline.newest_at = max(baseline.newest_at or event.occurred_at, event.occurred_at)
    baseline.oldest_at = min(baseline.oldest_at or event.occurred_at, event.occurred_at)
    _add_day(baseline.days, day)
    before = before if in_order else None
    if before is not None:
        baseline.pairs += 1
        _add_day(baseline.pair_days, day)
        if before.system and event.system:
            baseline.moves += 1
            _add_day(baseline.move_days, day)
    for name, window in baseline.windows.items():
        _count(window, WINDOWS[name], event, day)
    for habit in habits_of(event, before):
        _gain(baseline, habit, event)


def facts_of(baseline: Baseline, event: Event, before: StepFacts | None) -> BaselineFacts:
    """What the baseline says of an event that it has not learned."""
    systems = before is not None and before.system and event.system and before.system != event.system
    return BaselineFacts(
        of=baseline.of,
        events=baseline.events,
        days=len(baseline.days),
        resource_known=Habit(RESOURCE, event.resource_kind, event.resource) in baseline.known if event.resource else None,
        rates=tuple(rate for name in WINDOWS if (rate := _rate(name, baseline.windows[name], event)) is not None),
        pair_known=pair(before, step_of(event)) in baseline.known if before is not None else None,
        pairs=baseline.pairs,
        pair_days=len(baseline.pair_days),
        systems_joined=move(before.system, event.system) in baseline.known if before is not None and systems else None,
        moves=baseline.moves,
        move_days=len(baseline.move_days),
    )


def chosen(exact: Baseline | None, own: Baseline | None, *, enough: float) -> Baseline | None:
    """The baseline of this role, workflow and tenant once it knows enough events, until then the identity's own."""
    if exact is not None and exact.events >= enough:
        return exact
    return own or exact


def let_go(baseline: Baseline) -> dict[str, int]:
    """How many habits of a sort have to go, the longest unused first. A tenth goes at once, so that a full baseline rarely has to look."""
    gone = {about: kept - MOST[about] * 9 // 10 for about, kept in baseline.kept.items() if kept > MOST[about]}
    baseline.kept |= {about: baseline.kept[about] - count for about, count in gone.items()}
    return gone


def written(baseline: Baseline) -> dict[str, Any]:
    """Everything but its name, its three columns and its habits, as plain JSON."""
    return {
        "since": baseline.since,
        "days": baseline.days,
        "pairs": baseline.pairs,
        "pair_days": baseline.pair_days,
        "moves": baseline.moves,
        "move_days": baseline.move_days,
        "kept": baseline.kept,
        "windows": {
            name: [
                *(window.index, window.count, window.closed),
                *(round(value, 6) for value in (window.weight, window.total, window.squares)),
                [[round(height, 6), day] for height, day in window.peaks],
                window.days,
                window.day,
            ]
            for name, window in baseline.windows.items()
        },
    }


def restored(learned: Mapping[str, Any], **columns: Any) -> Baseline:
    """The reverse of `written`. A member that was not written yet begins empty; without `since`, the days it has are believed."""
    made = Baseline(**columns)
    for name in ("days", "pair_days", "move_days"):
        setattr(made, name, list(learned.get(name, [])))
    made.since = learned.get("since", made.days[0] if made.days else None)
    made.pairs, made.moves = learned.get("pairs", 0), learned.get("moves", 0)
    made.kept |= {about: kept for about, kept in learned.get("kept", {}).items() if about in MOST}
    made.windows |= {name: Window(*values) for name, values in learned.get("windows", {}).items() if name in WINDOWS}
    return made


def not_ahead(baseline: Baseline, *, now: datetime) -> Baseline:
    """What says that it is from the future is as of now, so that nobody who ever dated something ahead makes all that follows late."""
    today = _second(now) // DAY
    baseline.newest_at, baseline.oldest_at = (at and min(at, now) for at in (baseline.newest_at, baseline.oldest_at))
    baseline.since = min(baseline.since, today) if baseline.since is not None else None
    for days in (baseline.days, baseline.pair_days, baseline.move_days, *(window.days for window in baseline.windows.values())):
        days[:] = [day for day in days if day <= today]
    for name, window in baseline.windows.items():
        if window.index > (running := _second(now) // WINDOWS[name]):
            window.index, window.count = running, 0
        window.day = min(window.day, today)
        window.peaks = [(height, min(day, today)) for height, day in window.peaks]
    return baseline


def in_order(events: Iterable[Event]) -> list[Event]:
    """By when they happened; at the same moment as they were told."""
    return sorted(events, key=lambda event: event.occurred_at)


# -- rates -------------------------------------------------------------------------------------------------------------------------------


def _count(window: Window, length: int, event: Event, day: int) -> None:
    index = _second(event.occurred_at) // length
    if window.index < 0:
        window.index = index
    if index < window.index:
        return  # late: the window that it belongs to is over
    if index > window.index:
        _close(window, length, index)
    window.count += event.count
    window.day = day


def _close(window: Window, length: int, index: int) -> None:
    """The running window joins the band, which fades by the time that passed. Windows without activity are no windows.

    A burst must not make the next one usual: a grown band learns no more from it than its own edge.
    """
    passed, day = (index - window.index) * length, window.day if window.day >= 0 else window.index * length // DAY
    grown = len(window.days) >= GROWN_DAYS and window.weight > 0  # after a year of silence nothing is left of a band
    learned = min(float(window.count), _upper(window)) if grown else float(window.count)
    fades = _faded(passed, FORGETS_S)
    window.weight = (window.weight + 1.0) * fades
    window.total = (window.total + learned) * fades
    window.squares = (window.squares + learned**2) * fades
    window.peaks = _peaks(window.peaks, float(window.count), day, fades=_faded(passed, PEAK_FORGETS_S))
    window.closed += 1
    _add_day(window.days, day)
    window.index, window.count = index, 0


def _peaks(peaks: list[tuple[float, int]], height: float, day: int, *, fades: float) -> list[tuple[float, int]]:
    highest = {day: height}
    for other, its_day in peaks:
        highest[its_day] = max(highest.get(its_day, 0.0), other)
    return [(height * fades, day) for day, height in sorted(highest.items(), key=lambda one: (-one[1], one[0]))[:2]]


def _usual(window: Window) -> float:
    return window.total / window.weight


def _upper(window: Window) -> float:
    """The upper edge of the band. Work that comes back counts by its peak: a young band takes the highest, a grown one what was reached on
    two different days."""
    usual = _usual(window)
    deviation = math.sqrt(max(0.0, window.squares / window.weight - usual * usual))
    reached = window.peaks[-1 if len(window.days) >= GROWN_DAYS else 0][0] if window.peaks else 0.0
    return max(usual + DEVIATIONS * deviation, usual + AT_LEAST_MORE, ABOVE_PEAK * reached)


def _rate(name: str, window: Window, event: Event) -> RateFacts | None:
    """What this event makes of the window it falls into, beside the band of those before. None while no window is over, or for a late
    event."""
    index = _second(event.occurred_at) // WINDOWS[name]
    if index < window.index or window.index < 0:
        return None
    band = window
    if index > window.index:
        band = replace(window, days=list(window.days))
        _close(band, WINDOWS[name], index)
    if band.weight <= 0:
        return None
    return RateFacts(
        window=name,
        count=float(band.count + event.count),
        usual=round(_usual(band), 2),
        upper=round(_upper(band), 2),
        observations=band.closed,
        days=len(band.days),
    )


def _faded(seconds: float, half_life: float) -> float:
    return math.pow(2.0, -seconds / half_life)


# -- habits and days ---------------------------------------------------------------------------------------------------------------------


def _gain(baseline: Baseline, habit: Habit, event: Event) -> None:
    use = baseline.gained.get(habit)
    if use is None:
        baseline.gained[habit] = Use(event.count, event.occurred_at, event.occurred_at)
    else:
        use.count += event.count
        use.first_at, use.last_at = min(use.first_at, event.occurred_at), max(use.last_at, event.occurred_at)
    if habit not in baseline.known:
        baseline.known.add(habit)
        baseline.kept[habit.about] += 1


def _day_for(baseline: Baseline, occurred_at: datetime, received_at: datetime | None) -> int:
    """The day for which an event counts."""
    day = _second(occurred_at) // DAY
    received = day if received_at is None else _second(received_at) // DAY
    if baseline.since is None or received_at is None:
        baseline.since = received if baseline.since is None else min(baseline.since, received)
    if received_at is None:
        return day
    day, latest = max(day, baseline.since), baseline.days[-1] if baseline.days else baseline.since
    return latest if day < latest or received - day > LATE_DAYS else day


def _add_day(days: list[int], day: int) -> None:
    if day in days:
        return
    days.append(day)
    days.sort()
    del days[:-MOST_DAYS]


def _second(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())
