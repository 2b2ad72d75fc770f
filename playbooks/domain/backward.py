"""What is next on the way back: in reverse order, and only what is ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.base import IRREVERSIBLE
from playbooks.domain.step_view import Action, StepView, when_due


def backward(steps: Sequence[StepView], now: datetime) -> Action:
    for step in reversed(steps):
        match step.state:
            case "undone" | "skipped" | "lost":
                continue
            case "planned":
                return Action("skip", step.seq, because="the run is being undone")
            case "needs_human":
                return Action("finish", move="give_up", because=f"step {step.seq} waits for a person")
        if not step.disruptive and step.state != "undoing":
            continue
        if not step.disruptive or not step.seen or step.was_contained or step.inverse == IRREVERSIBLE:
            return Action("let_be", step.seq)
        return when_due(step, Action("undo", step.seq), now) if step.state == "undoing" else Action("undo", step.seq)
    return Action("finish", move="finish_undo")
