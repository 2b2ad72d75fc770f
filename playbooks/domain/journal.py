"""A journal: what was so each time that what is next was asked, and what the answer was, as plain JSON. Played again, it gives the same.

It names nobody and nothing: states of runs and steps, and times as seconds from the moment of asking. A journal that was recorded under
one version of the engine is what the next one is held to: runs that are under way when it is upgraded go on as they would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.domain.next_action import next_action
from playbooks.domain.step_view import Action, StepView

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
TIMES = ("next_at", "preserve_until")
USUAL = {one.name: one.default for one in fields(StepView) if one.default is not MISSING}


def line(
    state: str, steps: Sequence[StepView], *, now: datetime, action: Action, level: int = 0, sizes: Sequence[int] = ()
) -> dict[str, Any]:
    """One asking and its answer; what is as usual is left out."""
    asked: dict[str, Any] = {"state": state, "steps": [_told(step, now) for step in steps]}
    if sizes:
        asked |= {"level": level, "sizes": list(sizes)}
    return asked | {"then": said(action, now)}


def said(action: Action, now: datetime) -> dict[str, Any]:
    """What is done next, without the words for people: those may be put better any time."""
    told = {"kind": action.kind, "seq": action.seq, "move": action.move, "in": _seconds(action.until, now)}
    return {name: value for name, value in told.items() if value not in (0, "", None) or name == "kind"}


def replayed(one: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine as it is now would do in the same place."""
    steps = [_read(step) for step in one["steps"]]
    return said(next_action(one["state"], steps, now=EPOCH, level=one.get("level", 0), sizes=one.get("sizes", ())), EPOCH)


def _told(step: StepView, now: datetime) -> dict[str, Any]:
    told = {one.name: getattr(step, one.name) for one in fields(step)}
    told |= {name: _seconds(told[name], now) for name in TIMES}
    return {name: value for name, value in told.items() if name not in USUAL or value != USUAL[name]}


def _read(told: Mapping[str, Any]) -> StepView:
    times = {name: EPOCH + timedelta(seconds=told[name]) for name in TIMES if name in told}
    return StepView(**{**told, **times})


def _seconds(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (at - now).total_seconds()
