"""What may be known of a step when it is asked what is next, and what the answer may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

INTERIM = "interim"


@dataclass(frozen=True, slots=True)
class StepView:
    """What `next_action` may know of a step."""

    seq: int
    state: str
    disruptive: bool
    stage: str = "soft"
    on_failure: str = "stop"
    inverse: str = ""
    seen: bool = False  # what was there before is committed
    was_contained: bool = False
    next_at: datetime | None = None
    preserve_until: datetime | None = None  # evidence that is being taken: no cut waits for it any longer


@dataclass(frozen=True, slots=True)
class Action:
    """do, probe, undo, skip, let_be, lose: on the step `seq`. add_level, hold_level: the steps of a level
    of the way back (`seq` says which) are added. finish: the run makes `move`. wait: nothing until `until`. rest: nothing at all."""

    kind: Literal["do", "probe", "undo", "skip", "let_be", "lose", "add_level", "hold_level", "finish", "wait", "rest"]
    seq: int = 0
    move: str = ""
    because: str = ""
    until: datetime | None = None


def when_due(step: StepView, action: Action, now: datetime) -> Action:
    if step.next_at is not None and step.next_at > now:
        return Action("wait", until=step.next_at)
    return action
