"""What will be done, rendered once and frozen: a document and a target become the plan that people see and whose digest they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.base import Ability, Measure
from core.digest import digest
from core.refusals import BadInput, Fault, Refusal
from playbooks.domain.document import Document, StepSpec


class CannotPlan(Refusal):
    """No connector acts on the target, or it lacks a measure that the playbook needs."""

    code = "cannot_plan"


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
