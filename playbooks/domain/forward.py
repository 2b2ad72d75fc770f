"""What is next on the way to contained.

Evidence comes before what would destroy it, for as long as a cut may wait for it: then it is lost, and the cut goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from playbooks.domain.moves import SETTLED
from playbooks.domain.step_view import INTERIM, Action, StepView, when_due

HARD = "hard"
ACTED_EARLY = "lost by acting early: it could not be had within the time that a cut waits for it"


def forward(state: str, steps: Sequence[StepView], now: datetime) -> Action:
    """Trouble in the interim stage stops the rest of that stage and nothing else: people are asked already, and what they approve runs."""
    stopped: dict[str, str] = {}  # stage -> why the rest of it is left out
    for step in steps:
        interim = step.stage == INTERIM
        if step.state == "needs_human" and not interim:
            return Action("finish", move="give_up", because=f"step {step.seq} waits for a person")
        if step.state == "failed" and step.on_failure == "undo" and not interim:
            return Action("finish", move="undo", because=f"step {step.seq} failed, and the playbook says to undo")
        if step.state in {"failed", "needs_human"} and step.on_failure != "continue":
            stopped.setdefault(step.stage, f"step {step.seq} failed, and the playbook says to stop")
        if step.state == "acting":
            return _again(step, now, waited_for=state != "waiting" or any(one.disruptive and one.state == "planned" for one in steps))
        if step.state == "planned":
            return Action("skip", step.seq, because=stopped[step.stage]) if step.stage in stopped else Action("do", step.seq)
        if step.state not in SETTLED:
            raise ValueError(f"a step that is {step.state} has no place in a forward run")
    verifying = [step for step in steps if step.state == "verifying"]
    due = [step for step in verifying if step.next_at is None or step.next_at <= now]
    if due:
        return Action("probe", due[0].seq)
    if verifying:
        return Action("wait", until=min(step.next_at for step in verifying if step.next_at is not None), move="verify")
    if state == "waiting":
        return Action("rest")
    return _verdict(steps)


def _again(step: StepView, now: datetime, *, waited_for: bool) -> Action:
    """Another attempt when it is due; of evidence that something waits for, none after its time."""
    until = step.preserve_until if waited_for else None
    if until is None:
        return when_due(step, Action("do", step.seq), now)
    if until <= now:
        return Action("lose", step.seq, because=ACTED_EARLY)
    if step.next_at is not None and step.next_at > now:
        return Action("wait", until=min(step.next_at, until), move="preserve")
    return Action("do", step.seq)


def _verdict(steps: Sequence[StepView]) -> Action:
    """By what the hardest stage was to cut, which is whole by itself. The stages before it count only as something that stands and can be
    undone."""
    touched = [step for step in steps if step.disruptive and step.state != "skipped"]
    raised = any(step.stage == HARD for step in touched)
    cuts = [step for step in touched if step.stage == HARD or not (raised or step.stage == INTERIM)]
    short = [step for step in cuts if step.state != "done"]
    if cuts and not short:
        return Action("finish", move="contain")
    if any(step.state in {"done", "partial", "needs_human"} for step in touched):
        return Action("finish", move="leave_partial", because=f"{len(short)} of {len(cuts)} measures are not whole")
    return Action("finish", move="fail", because="no measure took effect")
