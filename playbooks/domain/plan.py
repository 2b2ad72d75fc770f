"""What will be done, rendered once and frozen: a document and a target become the plan that people see and whose digest they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from connectors.base import Ability, EffectClass, Measure, OnAmbiguous
from core.digest import digest
from core.refusals import BadInput, Fault, Refusal
from playbooks.domain.specs import Document, StepSpec


class CannotPlan(Refusal):
    """No connector acts on the target, or it lacks a measure that the playbook needs."""

    code = "cannot_plan"


NO_EVIDENCE = Ability(  # it stays in the plan where nobody can take it: whoever answers sees that, and it is lost on record
    effect=EffectClass.NATURAL,
    on_ambiguous=OnAmbiguous.LOOK,
    inverse="nothing to undo",
    residual=timedelta(0),
    probe="none: no connector preserves evidence here, so it will be lost",
    disruptive=False,
    settle=timedelta(0),
)
AbilityOf = Callable[[str, Measure], Ability | None]


def render(document: Document, target: Mapping[str, Any], ability_of: AbilityOf) -> dict[str, Any]:
    """{stage: [step …]} with parameters resolved and what each connector declares. CannotPlan names the first thing that is missing."""
    return {
        stage: [rendered for step in steps if (rendered := _render_step(step, target, ability_of)) is not None]
        for stage, steps in document.stages.items()
    }


def terms(document: Document, target: Mapping[str, Any], ability_of: AbilityOf) -> dict[str, Any]:
    """What the playbook says beside its steps, and only what it says. A level of the way back that no connector can do is left out: whoever
    was cut comes back without it, and a missing way back never keeps anybody from being cut."""
    said: dict[str, Any] = {}
    if document.lasts is not None:
        said["lasts_s"] = int(document.lasts.total_seconds())
    if document.unproven:
        said["unproven"] = document.unproven
    if document.proven == "hold":
        said["proven"] = document.proven
    if document.evidence_within is not None:
        said["evidence_s"] = document.evidence_within.total_seconds()
    levels = [
        {"steps": [step], "watch_s": int(level.watch.total_seconds())}
        for level in document.reinstatement
        if ability_of(_connector(level.step, target), level.step.measure) is not None
        and (step := _render_step(level.step, target, ability_of)) is not None
    ]
    if levels:
        said["reinstatement"] = levels
    return said


def plan_digest(plan: Mapping[str, Any], target: Mapping[str, Any], terms: Mapping[str, Any] | None = None, **versions: object) -> str:
    """What an approver answers: target, measures, parameters, terms, and the versions of policy and playbook. Not the deadline. A plan
    without terms has the digest that it had before there were any."""
    return digest({"plan": plan, "target": target, "versions": versions} | ({"terms": terms} if terms else {}))


def narrowed(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a plan where only the credential may be cut: what preserves, and the measures on credentials."""
    return {
        stage: [step for step in steps if not step["disruptive"] or str(step["measure"]).startswith("credential.")]
        for stage, steps in plan.items()
    }


def narrowed_terms(terms: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the way back: no level of it touches more than the credential."""
    levels = [
        level for level in terms.get("reinstatement", []) if all(str(step["measure"]).startswith("credential.") for step in level["steps"])
    ]
    rest = {name: value for name, value in terms.items() if name != "reinstatement"}
    return rest | ({"reinstatement": levels} if levels else {})


def cuts(plan: Mapping[str, Any], stage: str) -> list[tuple[str, str]]:
    """What this stage of a plan cuts: connector and measure of each step that does."""
    return [(str(step["connector"]), str(step["measure"])) for step in plan.get(stage, []) if step["disruptive"]]


def _render_step(step: StepSpec, target: Mapping[str, Any], ability_of: AbilityOf) -> dict[str, Any] | None:
    connector = _connector(step, target)
    ability = ability_of(connector, step.measure)
    if ability is None and step.measure is Measure.EVIDENCE_PRESERVE and step.on_failure == "continue":
        ability = NO_EVIDENCE
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


def _connector(step: StepSpec, target: Mapping[str, Any]) -> str:
    return str(target["provider"]) if step.connector == "identity.provider" else step.connector


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
