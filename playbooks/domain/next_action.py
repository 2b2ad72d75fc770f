"""What may be done next, asked of the rows alone: the same rows give the same next action, whichever process asks, and however often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from playbooks.domain.backward import backward
from playbooks.domain.forward import forward
from playbooks.domain.step_view import Action, StepView


def next_action(state: str, steps: Sequence[StepView], *, now: datetime) -> Action:
    ordered = sorted(steps, key=lambda step: step.seq)
    return backward(ordered, now) if state == "undoing" else forward(state, ordered, now)
