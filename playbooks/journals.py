"""Journals of runs that are over, read back from their attempts: each intent says what was next, and what stood before it what was so.

What leaves no attempt (a probe, a verdict, a step that was left out) is not among them. Runs that came back level by level are left out:
their steps were added while they ran.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from playbooks import steps
from playbooks.domain import journal
from playbooks.domain.reinstating import is_return
from playbooks.domain.step_view import INTERIM, Action, StepView
from playbooks.domain.troubles import PATIENCE_WITH_BUGS
from playbooks.models import Attempt, Run, Step

OVER = ("contained", "partial", "failed", "undone", "withdrawn", "accepted", "needs_human")
BATCH = 200
AFTER = {  # the outcome of an attempt -> the state of its step; whatever else came of it, the step is tried again
    "forward": {"done": "done", "verifying": "verifying", "partial": "partial", "rejected": "failed"}
    | dict.fromkeys(("foreign", "blind", "shielded", "given_up"), "needs_human")
    | {"looked": "acting"},
    "undo": {"undone": "undone"} | dict.fromkeys(("rejected", "foreign", "blind", "given_up"), "needs_human"),
}


def finished(since: datetime) -> Iterator[Run]:
    """Runs that came to rest since then and were driven by the engine as it is, or as it was."""
    found = Run.objects.filter(state__in=OVER, finished_at__gte=since).select_related("playbook").prefetch_related("steps")
    yield from found.order_by("created_at").iterator(chunk_size=BATCH)


def of_run(run: Run) -> dict[str, Any] | None:
    """Its journal; None for a run that came back level by level, or did nothing."""
    ordered = sorted(run.steps.all(), key=lambda step: step.seq)
    attempts = list(Attempt.objects.filter(step__run=run).order_by("id"))
    if not attempts or any(is_return(step.stage) for step in ordered):
        return None
    return {"engine_version": run.engine_version, "lines": list(_lines(ordered, attempts, steps.patience_with_evidence(run)))}


def _lines(ordered: Sequence[Step], attempts: Sequence[Attempt], patience: timedelta) -> Iterator[dict[str, Any]]:
    state = {step.pk: "planned" for step in ordered}
    began: dict[Any, datetime] = {}
    by_key = {step.pk: step for step in ordered}
    tried_back = {one.step_id for one in attempts if one.direction == "undo"}
    looks: Counter[Any] = Counter()
    for one in attempts:
        step = by_key[one.step_id]
        if one.kind == "outcome":
            state[step.pk] = AFTER[one.direction].get(one.outcome, state[step.pk])
            looks[step.pk] += one.outcome == steps.LOOKED
            if one.outcome == "unexpected" and one.n - looks[step.pk] >= PATIENCE_WITH_BUGS and step.disruptive:
                state[step.pk] = "needs_human"
            continue
        forward = one.direction == "forward"
        _passed_by(ordered, state, step, forward=forward, tried_back=tried_back)
        views = [_view(each, state[each.pk], began.get(each.pk), patience) for each in ordered]
        action = Action("do" if forward else "undo", step.seq)
        yield journal.line(_run_state(step, forward), views, now=one.at, action=action)
        state[step.pk] = "acting" if forward else "undoing"
        began.setdefault(step.pk, one.at)


def _passed_by(ordered: Sequence[Step], state: dict[Any, str], step: Step, *, forward: bool, tried_back: set[Any]) -> None:
    """What must have happened, without an attempt, to the steps that come before this one on the way."""
    for other in ordered:
        if forward and other.seq < step.seq and state[other.pk] in {"planned", "acting"}:
            state[other.pk] = "skipped" if state[other.pk] == "planned" else "lost"
        if not forward and state[other.pk] == "planned":
            state[other.pk] = "skipped"
        if not forward and other.seq > step.seq and not other.disruptive and state[other.pk] == "acting":
            state[other.pk] = "lost"
        if not forward and other.seq > step.seq and other.disruptive and other.pk not in tried_back and state[other.pk] != "skipped":
            state[other.pk] = "undone"  # there was nothing of ours to put back


def _view(step: Step, state: str, began: datetime | None, patience: timedelta) -> StepView:
    seen = steps.view(step, patience)
    until = began + patience if began is not None and seen.preserve_until is not None else None
    return replace(seen, state=state, next_at=None, seen=seen.seen and began is not None, preserve_until=until)


def _run_state(step: Step, forward: bool) -> str:
    if not forward:
        return "undoing"
    return "waiting" if step.stage == INTERIM else "running"
