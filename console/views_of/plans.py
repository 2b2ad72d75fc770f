"""Measures and stages, of a plan or of a run, as cards draw them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.base import IRREVERSIBLE
from console import said
from playbooks.models import Step


@dataclass(frozen=True, slots=True)
class StepCard:
    """One measure of a plan or of a run. `mark` is the state as the page draws it, `state` as it says it."""

    deed: str
    mark: str = "waiting"
    state: str = ""
    said: str = ""
    proof: str = ""
    level: str = ""
    attempts: int = 0
    inverse: str = ""
    reversible: bool = True
    disruptive: bool = True
    on: str = ""
    left: tuple[str, ...] = ()
    lives_on: datetime | None = None

    @classmethod
    def of_step(cls, step: Step) -> StepCard:
        return cls(
            deed=said.deed(step.measure, step.parameters),
            mark=said.MARKS_OF_STEPS.get(step.state, "waiting"),
            state=said.STATES_OF_STEPS.get(step.state, step.state),
            said=step.said,
            proof=str(step.proof.get("said", "")) if step.disruptive and step.proof_level else "",
            level=step.proof_level if step.disruptive else "",
            attempts=step.attempts,
            inverse=_inverse(step.inverse),
            reversible=step.inverse != IRREVERSIBLE,
            disruptive=step.disruptive,
            on=step.connector,
            left=tuple(step.left),
            lives_on=step.residual_until if step.state == "verifying" else None,
        )

    @classmethod
    def of_plan(cls, step: Mapping[str, Any]) -> StepCard:
        return cls(
            deed=said.deed(step["measure"], step["parameters"]),
            inverse=_inverse(step["inverse"]),
            reversible=step["inverse"] != IRREVERSIBLE,
            disruptive=step["disruptive"],
            on=step["connector"],
        )


@dataclass(frozen=True, slots=True)
class StageCard:
    name: str
    steps: tuple[StepCard, ...]


def stage(name: str, steps: Iterable[Mapping[str, Any]]) -> StageCard:
    return StageCard(said.STAGES.get(name, name), tuple(StepCard.of_plan(step) for step in steps))


def _inverse(inverse: str) -> str:
    return "" if inverse == IRREVERSIBLE else inverse
