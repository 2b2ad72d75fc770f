"""What may be done next, asked of the rows alone: the same rows give the same next action, whichever process asks, and however often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from playbooks.domain.backward import backward
from playbooks.domain.forward import forward
from playbooks.domain.reinstating import is_return, reinstating
from playbooks.domain.step_view import Action, StepView, when_due


def next_action(state: str, steps: Sequence[StepView], *, now: datetime, level: int = 0, sizes: Sequence[int] = ()) -> Action:
    """`level` and `sizes` are of a return in levels: how many have had their watch, and how many steps each has."""
    ordered = sorted(steps, key=lambda step: step.seq)
    if state == "undoing":
        return backward(ordered, now)
    if state == "reinstating":
        return reinstating(ordered, now, level=level, sizes=sizes)
    return _forward(state, ordered, now)


def _forward(state: str, steps: Sequence[StepView], now: datetime) -> Action:
    """Where it came back and is contained again, what was being put back at that moment comes to its end first: what follows it is looked
    at after it, not beside it. What stands of the levels stays beneath, to be undone one day with the rest.
    """
    for step in reversed(steps):
        if step.state == "undoing":
            return when_due(step, Action("undo", step.seq), now)
    action = forward(state, [step for step in steps if step.state != "undone" and not is_return(step.stage)], now)
    if action.kind != "finish" or action.move == "give_up":
        return action
    for step in (step for step in steps if is_return(step.stage)):
        match step.state:
            case "planned":
                return Action("skip", step.seq, because="it was contained again before this level was reached")
            case "acting":
                return when_due(step, Action("do", step.seq), now)
            case "verifying":
                return when_due(step, Action("probe", step.seq), now)
    return action
