"""Trails: the steps of one session just before now, in bounded room: the last ones, and the first and last time of each action.

So a chain that the policy names is found however many steps lie between its ends. Pure; the caller reads and writes the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from containment.domain.event import Event
from containment.domain.facts import StepFacts

LATEST = 30
MOST_ACTIONS = 64
LOOSE = timedelta(hours=1)  # what was done outside any session belongs together for so long


@dataclass(frozen=True, slots=True)
class Step:
    """`number` tells steps of the same moment apart, in the order in which they were told."""

    at: datetime
    number: int
    step: StepFacts


@dataclass(slots=True)
class Trail:
    """`loose`: of no session, so that only steps of the last hour belong together."""

    loose: bool = False
    newest_at: datetime | None = None
    number: int = 0
    latest: list[Step] = field(default_factory=list)
    firsts: dict[str, Step] = field(default_factory=dict)
    lasts: dict[str, Step] = field(default_factory=dict)


def is_on_time(trail: Trail, event: Event) -> bool:
    return trail.newest_at is None or event.occurred_at >= trail.newest_at


def before(trail: Trail, event: Event) -> StepFacts | None:
    """The step just before this event; None where there is none, or where the event is late and nobody can tell."""
    if not trail.latest or not is_on_time(trail, event) or _is_past(trail, trail.latest[-1], event):
        return None
    return trail.latest[-1].step


def steps(trail: Trail, event: Event, *, named: Iterable[str] = ()) -> tuple[StepFacts, ...]:
    """What came before this event, oldest first: the last steps, and the ends of what chains name."""
    wanted = set(named)
    ends = [step for table in (trail.firsts, trail.lasts) for action, step in table.items() if action in wanted]
    found = {step.number: step for step in (*ends, *trail.latest) if step.at <= event.occurred_at and not _is_past(trail, step, event)}
    return tuple(step.step for step in sorted(found.values(), key=lambda step: (step.at, step.number)))


def add(trail: Trail, event: Event, step: StepFacts) -> None:
    """A late event is no step: where it belongs, nobody has looked."""
    if not is_on_time(trail, event):
        return
    trail.number += 1
    made = Step(event.occurred_at, trail.number, step)
    trail.newest_at = event.occurred_at
    if trail.latest and trail.latest[-1].step == step:
        trail.latest.pop()  # the same again leaves room for what differs
    trail.latest.append(made)
    del trail.latest[:-LATEST]
    known = step.action in trail.firsts
    if known or len(trail.firsts) < MOST_ACTIONS:
        trail.lasts[step.action] = made
    if not known and len(trail.firsts) < MOST_ACTIONS:
        trail.firsts[step.action] = made


def copied(trail: Trail) -> Trail:
    return Trail(trail.loose, trail.newest_at, trail.number, list(trail.latest), dict(trail.firsts), dict(trail.lasts))


def without(trail: Trail, event: Event, *, within: timedelta) -> Trail:
    """As it was before this event, where its last step is this very event, told before."""
    last = trail.latest[-1] if trail.latest else None
    same = last is not None and (last.step.action, last.step.resource) == (event.action, event.resource)
    if last is None or not same or abs(last.at - event.occurred_at) > within:
        return trail
    made = copied(trail)
    made.latest.pop()
    made.firsts = {action: step for action, step in trail.firsts.items() if step.number != last.number}
    made.lasts = {action: step for action, step in trail.lasts.items() if step.number != last.number}
    made.newest_at = made.latest[-1].at if made.latest else None
    return made


def written(trail: Trail) -> dict[str, Any]:
    return {
        "number": trail.number,
        "latest": [_plain(step) for step in trail.latest],
        "firsts": [_plain(step) for step in trail.firsts.values()],
        "lasts": [_plain(step) for step in trail.lasts.values()],
    }


def restored(kept: Mapping[str, Any], *, newest_at: datetime | None, loose: bool, now: datetime) -> Trail:
    """The reverse of `written`. A step that is dated after `now` is as of now: it must not make every later one late."""
    newest_at = min(newest_at, now) if newest_at else None
    firsts, lasts = ([_step(one, now) for one in kept.get(name, [])] for name in ("firsts", "lasts"))
    return Trail(
        loose=loose,
        newest_at=newest_at,
        number=kept.get("number", 0),
        latest=[_step(one, now) for one in kept.get("latest", [])],
        firsts={one.step.action: one for one in firsts},
        lasts={one.step.action: one for one in lasts},
    )


def _is_past(trail: Trail, step: Step, event: Event) -> bool:
    return trail.loose and event.occurred_at - step.at > LOOSE


def _plain(one: Step) -> list[Any]:
    step = one.step
    return [one.at.astimezone(UTC).isoformat(), one.number, step.action, step.system, step.resource, step.tool, step.writes]


def _step(plain: list[Any], now: datetime) -> Step:
    at, number, action, system, resource, tool, writes = plain
    facts = StepFacts(action=action, system=system, resource=resource, tool=tool, writes=writes)
    return Step(min(datetime.fromisoformat(at), now), number, facts)
