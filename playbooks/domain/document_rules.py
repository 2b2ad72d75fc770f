"""What a well-formed playbook may still not do."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.base import Measure
from core.refusals import Fault
from playbooks.domain.specs import LONGEST_KEPT, MOMENTARY, OUR_GATE, PRESERVING, SPARING, UNBEARABLE, Document, StepSpec


def faults_of(document: Document) -> Iterator[Fault]:
    for stage, steps in document.stages.items():
        yield from _of_stage(document, stage, steps)
    for index, step in enumerate(document.stages.get("interim", ())):
        yield from _of_interim(step, f"stages.interim[{index}]")
    for index, level in enumerate(document.reinstatement):
        path = f"reinstatement[{index}].measure"
        yield from _unbearable(document, level.step, path)
        if level.step.measure in MOMENTARY:
            yield Fault(path, "does_not_stand", f"Nothing of {level.step.measure} stands afterwards, so it is no level of a way back.")
    for reason, hold in document.holds.items():
        if hold.keep_interim > LONGEST_KEPT:
            yield Fault(f"holds.{reason}.keep_interim", "too_long", f"At most {LONGEST_KEPT}.")
        if reason == "protected" and hold.quorum < 2:
            yield Fault(f"holds.{reason}.quorum", "protected", "What is protected takes two people.")
        if reason == "protected" and "contain" in (hold.on_lapse, hold.then):
            yield Fault(f"holds.{reason}.on_lapse", "protected", "A protected identity is never contained by a lapse.")


def _of_stage(document: Document, stage: str, steps: tuple[StepSpec, ...]) -> Iterator[Fault]:
    preserved = bool(document.evidence_waiver)
    for index, step in enumerate(steps):
        path = f"stages.{stage}[{index}].measure"
        yield from _unbearable(document, step, path)
        if step.measure is Measure.EVIDENCE_PRESERVE:
            preserved = True
        if step.measure not in PRESERVING and not preserved:
            yield Fault(path, "no_evidence_before", "Preserve evidence before this step, or say why not in evidence_waiver.")
            preserved = True


def _unbearable(document: Document, step: StepSpec, path: str) -> Iterator[Fault]:
    for kind in document.kinds:
        if step.measure in UNBEARABLE.get(kind, frozenset()):
            yield Fault(path, "unbearable", f"{step.measure} cannot be done to a {kind.replace('_', ' ')}.")


def _of_interim(step: StepSpec, path: str) -> Iterator[Fault]:
    if step.measure not in PRESERVING and not _spares(step):
        detail = f"{step.measure} would stop what must go on while people decide."
        if step.measure in SPARING:
            detail += f" It takes {', '.join(f'{name}: {{from: {field}}}' for name, field in SPARING[step.measure].items())}."
        yield Fault(f"{path}.measure", "touches_must_go_on", detail)
    if step.on_failure == "undo":
        yield Fault(f"{path}.on_failure", "interim", "Whether this run is undone is what people are asked.")


def _spares(step: StepSpec) -> bool:
    """Whether this interim step leaves alone what must go on."""
    if step.connector == OUR_GATE:
        return step.measure is Measure.SESSION_RESTRICT
    wanted = SPARING.get(step.measure)
    return wanted is not None and all(step.parameters.get(name) == {"from": field} for name, field in wanted.items())
