"""A dry run: what a playbook would change on a real target now, found by looking and by nothing else.

Every connector is asked through credentials that cannot change anything (connectors.optional.looker); one that has none is not asked. There
is no Run, no intent and no effect, and nothing is written down here. Called outside any transaction: it talks to other people's systems.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors import foresight, optional, registry
from connectors.base import Connector, ConnectorTrouble, Measure, Ready, State, Step, Target
from connectors.foresight import Change
from playbooks import library
from playbooks.domain.document import parse
from playbooks.domain.plan import CannotPlan, plan_digest, render, terms
from playbooks.models import PlaybookVersion

PATIENCE_S = 25.0  # for all looks together: somebody waits for the page
LEAST_S = 1.0
NO_EVIDENCE = "No connector preserves evidence here. It would be lost, on record, and the cut would go on without it."
NO_LOOKER = "This connector has no credentials that can only look, so nothing was tried. Nothing is known about what is there."


@dataclass(frozen=True, slots=True)
class Tried:
    """One step, and what looking found. `because`: why it could not be looked at; the rest is empty then. `already`: what it is for is so
    already."""

    stage: str
    measure: str
    connector: str
    parameters: Mapping[str, Any]
    disruptive: bool
    inverse: str
    because: str = ""
    already: bool = False
    changes: Sequence[Change] = ()
    seen: Mapping[str, Any] = field(default_factory=dict)
    hits: Sequence[str] = ()
    left: Sequence[str] = ()
    ready: Ready | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    """`digest` is that of the plan as it would be frozen for this target, and `trouble` why there is none."""

    target: Mapping[str, Any]
    stages: Mapping[str, Sequence[Tried]]
    terms: Mapping[str, Any]
    digest: str
    trouble: str = ""

    @property
    def steps(self) -> list[Tried]:
        return [step for steps in self.stages.values() for step in steps]

    @property
    def can(self) -> bool:
        """Whether every step was looked at and can be done."""
        return not self.trouble and all(not step.because and (step.ready is None or step.ready.can) for step in self.steps)


def of(playbook: PlaybookVersion | str, target: Mapping[str, Any]) -> DryRun:
    """BadInput where the text is faulty. A target is plain values as containment.targets builds them."""
    document = library.document(playbook.text) if isinstance(playbook, PlaybookVersion) else parse(playbook)
    try:
        plan = render(document, target, library.ability_of)
    except CannotPlan as refusal:
        return DryRun(target, {}, {}, "", refusal.sentence)
    said = terms(document, target, library.ability_of)
    looks = _Looks(Target(**target))
    stages = {stage: [looks.at(stage, step) for step in steps] for stage, steps in plan.items()}
    return DryRun(target, stages, said, plan_digest(plan, target, said))


class _Looks:
    """The same step in two stages is looked at once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._ends = time.monotonic() + PATIENCE_S
        self._found: dict[str, Tried] = {}

    def at(self, stage: str, planned: Mapping[str, Any]) -> Tried:
        key = f"{planned['connector']} {planned['measure']} {planned['parameters']}"
        if key not in self._found:
            self._found[key] = self._look(planned)
        return replace(self._found[key], stage=stage)

    def _look(self, planned: Mapping[str, Any]) -> Tried:
        blank = Tried(
            stage="",
            measure=planned["measure"],
            connector=planned["connector"],
            parameters=planned["parameters"],
            disruptive=planned["disruptive"],
            inverse=planned["inverse"],
        )
        if blank.measure == Measure.EVIDENCE_PRESERVE and library.ability_of(blank.connector, Measure.EVIDENCE_PRESERVE) is None:
            return replace(blank, because=NO_EVIDENCE)
        if not blank.disruptive:
            return blank  # it cuts nothing, and what it would tell or save is not told or saved now
        connector = registry.connector_for(blank.connector)
        looker = optional.looker(connector) if connector is not None else None
        if looker is None:
            return replace(blank, because=NO_LOOKER)
        left = self._ends - time.monotonic()
        if left < LEAST_S:
            return replace(blank, because="There was no time left to look at it: the steps before it took too long.")
        step = Step(Measure(blank.measure), self._target, blank.parameters, min(left, float(planned["timeout_s"])))
        try:
            return _seen(blank, looker, step)
        except ConnectorTrouble as trouble:
            return replace(blank, because=trouble.said)


def _seen(blank: Tried, looker: Connector, step: Step) -> Tried:
    state: State = looker.look(step)
    return replace(
        blank,
        already=state.contained,
        changes=foresight.changes(step, state),
        seen=dict(state.public),
        hits=optional.resolves(looker, step),
        left=[str(one) for one in state.public.get("left", [])],
        ready=looker.preflight(step),
    )
