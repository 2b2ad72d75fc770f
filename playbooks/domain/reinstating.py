"""What is next on the way back in levels: each level stands before what is looser is given back, and is looked at anew afterwards.

The steps of level k are added to the run when their turn comes, as the stage `return-k`. Once they stand, everything else is undone. What
was undone may have taken with it what the level relied on, so the level is then carried out once more, as `return-k-held`: for most of it
that is a look. Then it is watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from playbooks.domain.backward import backward
from playbooks.domain.step_view import Action, StepView, when_due

RETURN = "return-"
_STANDS_WITHOUT = frozenset({"lost", "skipped", "failed"})  # of a step that cuts nothing


def stage_of(level: int) -> str:
    return f"{RETURN}{level}"


def held_stage_of(level: int) -> str:
    return f"{RETURN}{level}-held"


def is_return(stage: str) -> bool:
    return stage.startswith(RETURN)


def level_of(stage: str) -> int:
    return int(stage.removeprefix(RETURN).removesuffix("-held"))


def reinstating(steps: Sequence[StepView], now: datetime, *, level: int, sizes: Sequence[int]) -> Action:
    """`level`: how many have had their watch. `sizes`: how many steps each level has. After the last one everything is undone."""
    nth = level + 1
    if nth > len(sizes):
        return backward(steps, now)
    own, held = _of_level(steps, nth, sizes[level])
    if not own:
        return Action("add_level", nth)
    if action := _brought_about(own, now, otherwise="give_up"):
        return action
    others = [step for step in steps if step not in own and step not in held]
    action = backward(others, now)
    if (action.kind, action.move) != ("finish", "finish_undo"):
        return action
    if not held:
        return Action("hold_level", nth)
    return _brought_about(held, now, otherwise="contain_again") or Action("finish", move="watch")


def _of_level(steps: Sequence[StepView], nth: int, size: int) -> tuple[list[StepView], list[StepView]]:
    """The steps of this level at the end of the run: those that came last, as an earlier try may stand before them."""
    last: list[StepView] = []
    for step in reversed(steps):
        if step.stage not in (stage_of(nth), held_stage_of(nth)):
            break
        last.insert(0, step)
    own = [step for step in last if step.stage == stage_of(nth)][-size:]
    return own, [step for step in last if own and step.seq > own[-1].seq]


def _brought_about(steps: Sequence[StepView], now: datetime, *, otherwise: str) -> Action | None:
    """What is still to do until all of these stand; None when they do. One that does not come to stand ends the return."""
    for step in steps:
        if step.state in {"planned", "acting"}:
            return when_due(step, Action("do", step.seq), now)
        short = step.state not in {"done", "verifying"} and not (step.state in _STANDS_WITHOUT and not step.disruptive)
        if short:
            return Action("finish", move=otherwise, because=f"step {step.seq}, a level of the way back, does not stand")
    for step in steps:
        if step.state == "verifying":
            return when_due(step, Action("probe", step.seq), now)
    return None
