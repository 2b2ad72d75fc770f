"""Plans: which playbook fits a judgement, and what it will do to whom, rendered and frozen. Reads only; flow.py sets plans in motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from containment import targets
from containment.domain.facts import Facts
from containment.domain.families import Pattern
from containment.domain.judge import Judgement
from containment.models import Detection
from playbooks import library
from playbooks.domain.plan import CannotPlan, cuts, narrowed, narrowed_terms, plan_digest, render
from playbooks.domain.plan import terms as terms_of
from playbooks.library import Binding
from playbooks.models import Run


@dataclass(frozen=True, slots=True)
class Plan:
    """`stages`, `target` and `terms` as they are frozen, and `digest` over them and the `versions` they came from: what people are shown
    and answer. `trouble` says why no connector can carry it out, so that a person has to; it is empty otherwise."""

    binding: Binding
    stages: dict[str, Any]
    target: dict[str, Any]
    versions: dict[str, Any]
    trouble: str
    terms: dict[str, Any]

    @property
    def digest(self) -> str:
        return plan_digest(self.stages, self.target, self.terms, **self.versions)

    @property
    def shown(self) -> dict[str, Any]:
        return {"plan": self.stages, "target": self.target, "versions": self.versions} | ({"terms": self.terms} if self.terms else {})


def binding_for(detection: Detection, facts: Facts, pattern: Pattern) -> Binding:
    drive = facts.drive or detection.identity.usual_drive
    return library.bind(kind=detection.identity.kind, drive=str(drive), pattern=str(pattern))


def plan_for(detection: Detection, facts: Facts, judgement: Judgement, binding: Binding, pattern: Pattern) -> Plan:
    choice = judgement.choice
    target = targets.build(detection, facts, choice.bystanders, scoped=pattern is Pattern.SHARED_CREDENTIAL)
    trouble = ""
    try:
        stages, terms = render(binding.document, target, library.ability_of), terms_of(binding.document, target, library.ability_of)
    except CannotPlan as refusal:
        stages, trouble, terms = {stage: [] for stage in binding.document.stages}, refusal.sentence, {}
    if not choice.offers_hard:
        terms.pop("proven", None)
    if choice.credential_only:
        stages, terms = narrowed(stages), narrowed_terms(terms)
    if choice.evidence_only:
        stages["interim"] = [step for step in stages.get("interim", []) if not step["disruptive"]]
    versions = {"playbook": binding.version.digest, "policy": judgement.policy_digest, "stage": str(judgement.stage)}
    return Plan(binding, stages, target, versions, trouble, terms)


def has_credential_measure(detection: Detection, binding: Binding) -> bool:
    """Whether the hard stage, which conclusive evidence calls for, can cut the credential alone."""
    for step in binding.document.stages.get("hard", ()):
        connector = detection.identity.provider if step.connector == "identity.provider" else step.connector
        if str(step.measure).startswith("credential.") and library.ability_of(connector, step.measure) is not None:
            return True
    return False


def fits(detection: Detection, facts: Facts, judgement: Judgement, pattern: Pattern) -> bool:
    """Whether the frozen plan of the run that waits cuts what this detection by itself would have cut: no less, and no more."""
    run = Run.objects.get(pk=UUID(judgement.choice.run))
    plan = plan_for(detection, facts, judgement, binding_for(detection, facts, pattern), pattern)
    frozen = cuts(run.plan, str(judgement.stage))
    same_scope = run.target["facts"].get("only", []) == plan.target["facts"].get("only", [])
    return bool(frozen) and frozen == cuts(plan.stages, str(judgement.stage)) and same_scope
