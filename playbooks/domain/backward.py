"""What is next on the way back: in reverse order, and only what is ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from connectors.base import IRREVERSIBLE
from playbooks.domain.step_view import Action, StepView, when_due

ATTEMPTS = 5  # to put one step back, over a quarter of an hour; then a person
PAUSES_S = (1, 15, 180, 704)
PATIENCE = timedelta(minutes=15)


def backward(steps: Sequence[StepView], now: datetime) -> Action:
    for step in reversed(steps):
        match step.state:
            case "undone" | "skipped" | "lost":
                continue
            case "planned":
                return Action("skip", step.seq, because="the run is being undone")
            case "needs_human":
                return Action("finish", move="give_up", because=f"step {step.seq} waits for a person")
        if not step.disruptive and step.state == "acting" and step.preserve_until is not None:
            return Action("lose", step.seq, because="the run is being undone")
        if not step.disruptive and step.state not in {"undoing", "acting"}:
            continue
        if not step.disruptive or not step.seen or step.was_contained or step.inverse == IRREVERSIBLE:
            return Action("let_be", step.seq)
        return when_due(step, Action("undo", step.seq), now) if step.state == "undoing" else Action("undo", step.seq)
    return Action("finish", move="finish_undo")


def pause_before_another_undo(tries: int, *, outcome: str, retry_after: float | None) -> float | None:
    """Seconds until it is tried again; None when it has been tried often enough. `tries`: attempts at it that may have reached
    the target. One of which it is known that nothing was done is patient as on the way forward (troubles.py), and not counted here."""
    if tries >= ATTEMPTS:
        return None
    if outcome == "ambiguous" and tries == 1:
        return 0.2  # a first doubt is looked into at once
    pause = float(PAUSES_S[max(tries, 1) - 1])
    return pause if retry_after is None else max(pause, min(retry_after, PATIENCE.total_seconds()))
