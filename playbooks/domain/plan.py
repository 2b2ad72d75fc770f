"""What will be done, rendered once and frozen; and what may be done next, asked of the rows alone.

`render` turns a document and a target into the plan that people see and whose digest they answer. `next_action` is pure: the same rows give
the same next action, whichever process asks, however often processes die.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from connectors.base import IRREVERSIBLE, Ability, Measure
from core.digest import digest
from core.refusals import BadInput, Fault, Refusal
from playbooks.domain.document import Document, StepSpec
from playbooks.domain.moves import SETTLED


class CannotPlan(Refusal):
    """No connector acts on the target, or it lacks a measure that the playbook needs."""

    code = "cannot_plan"


INTERIM = "interim"

AbilityOf = Callable[[str, Measure], Ability | None]


def render(document: Document, target: Mapping[str, Any], ability_of: AbilityOf) -> dict[str, Any]:
    """{stage: [step …]} with parameters resolved and what each connector declares. CannotPlan names the first thing that is missing."""
    return {
        stage: [rendered for step in steps if (rendered := _render_step(step, target, ability_of)) is not None]
        for stage, steps in document.stages.items()
    }


def plan_digest(plan: Mapping[str, Any], target: Mapping[str, Any], **versions: object) -> str:
    """What an approver answers: target, measures, parameters, and the versions of policy and playbook. Not the deadline."""
    return digest({"plan": plan, "target": target, "versions": versions})


def narrowed(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a plan where only the credential may be cut: what preserves, and the measures on credentials."""
    return {
        stage: [step for step in steps if not step["disruptive"] or str(step["measure"]).startswith("credential.")]
        for stage, steps in plan.items()
    }


def cuts(plan: Mapping[str, Any], stage: str) -> list[tuple[str, str]]:
    """What this stage of a plan cuts: connector and measure of each step that does."""
    return [(str(step["connector"]), str(step["measure"])) for step in plan.get(stage, []) if step["disruptive"]]


def _render_step(step: StepSpec, target: Mapping[str, Any], ability_of: AbilityOf) -> dict[str, Any] | None:
    connector = str(target["provider"]) if step.connector == "identity.provider" else step.connector
    ability = ability_of(connector, step.measure)
    if ability is None:
        if step.on_failure == "continue":
            return None  # the author said that the plan stands without it
        raise CannotPlan(f"No connector can do {step.measure} on “{connector}”. Connect one, or bind another playbook.")
    return {
        "measure": str(step.measure),
        "connector": connector,
        "parameters": {name: _resolve(value, target) for name, value in step.parameters.items()},
        "timeout_s": step.timeout_s,
        "on_failure": step.on_failure,
        "disruptive": ability.disruptive,
        "effect": str(ability.effect),
        "on_ambiguous": str(ability.on_ambiguous),
        "inverse": ability.inverse,
        "residual_s": ability.residual.total_seconds(),
        "settle_s": ability.settle.total_seconds(),
        "probe": ability.probe,
    }


def _resolve(value: Any, target: Mapping[str, Any]) -> Any:
    """A literal, or what `{from: target.a.b}` names in the target's facts; an absent field is an empty list."""
    if not (isinstance(value, dict) and set(value) == {"from"}):
        return value
    path = str(value["from"]).split(".")
    if path[0] != "target":
        raise BadInput([Fault(str(value["from"]), "unknown_field", "A field reference begins with target.")])
    found: Any = {**target, **target.get("facts", {})}
    for name in path[1:]:
        found = found.get(name) if isinstance(found, Mapping) else None
    return [] if found is None else found


# -- what next ---------------------------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Action:
    """do, probe, undo, skip, let_be: on the step `seq`. finish: the run makes `move`. wait: nothing until `until`. rest: nothing at all."""

    kind: Literal["do", "probe", "undo", "skip", "let_be", "finish", "wait", "rest"]
    seq: int = 0
    move: str = ""
    because: str = ""
    until: datetime | None = None


def next_action(state: str, steps: Sequence[StepView], *, now: datetime) -> Action:
    ordered = sorted(steps, key=lambda step: step.seq)
    return _backward(ordered, now) if state == "undoing" else _forward(state, ordered, now)


def _forward(state: str, steps: Sequence[StepView], now: datetime) -> Action:
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
            return _when_due(step, Action("do", step.seq), now)
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


def _verdict(steps: Sequence[StepView]) -> Action:
    """By what was to be cut. The interim stage counts only as something that stands and can be undone."""
    touched = [step for step in steps if step.disruptive and step.state != "skipped"]
    cuts = [step for step in touched if step.stage != INTERIM]
    short = [step for step in cuts if step.state != "done"]
    if cuts and not short:
        return Action("finish", move="contain")
    if any(step.state in {"done", "partial", "needs_human"} for step in touched):
        return Action("finish", move="leave_partial", because=f"{len(short)} of {len(cuts)} measures are not whole")
    return Action("finish", move="fail", because="no measure took effect")


def _backward(steps: Sequence[StepView], now: datetime) -> Action:
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
        return _when_due(step, Action("undo", step.seq), now) if step.state == "undoing" else Action("undo", step.seq)
    return Action("finish", move="finish_undo")


def _when_due(step: StepView, action: Action, now: datetime) -> Action:
    if step.next_at is not None and step.next_at > now:
        return Action("wait", until=step.next_at)
    return action
