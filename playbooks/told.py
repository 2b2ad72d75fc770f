"""Told whenever a step is proven, and whenever it is put back: rooms further up name here what follows for what they keep.

Called inside the story of the step, so that both are true or neither is.
"""

from __future__ import annotations

from collections.abc import Callable

from playbooks.models import Run, Step

Hear = Callable[[Run, Step], None]

proven: list[Hear] = []
undone: list[Hear] = []


def is_proven(run: Run, step: Step) -> None:
    if step.state == "done":
        for one in proven:
            one(run, step)


def is_undone(run: Run, step: Step) -> None:
    for one in undone:
        one(run, step)


def register(*, when_proven: Hear, when_undone: Hear) -> None:
    if when_proven not in proven:
        proven.append(when_proven)
        undone.append(when_undone)
