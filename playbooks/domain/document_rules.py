"""What a well-formed playbook may still not do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.base import Measure
from core.refusals import Fault
from playbooks.domain.specs import (
    AT_OUR_GATE,
    FLAG,
    LONGEST_KEPT,
    MODES,
    MOMENTARY,
    OUR_GATE,
    PARAMETERS,
    PRESERVING,
    REFERS,
    SPARING,
    STRICTNESS,
    TEXT,
    TEXTS,
    UNBEARABLE,
    Document,
    StepSpec,
)

CUTS = ("soft", "hard")
ORIGIN = {"address", "application"}


def faults_of(document: Document) -> Iterator[Fault]:
    for stage, steps in document.stages.items():
        yield from _of_stage(document, stage, steps)
        for index, step in enumerate(steps):
            yield from _of_parameters(step, f"stages.{stage}[{index}]")
    for index, step in enumerate(document.stages.get("interim", ())):
        yield from _of_interim(document, step, f"stages.interim[{index}]")
    for index, level in enumerate(document.reinstatement):
        yield from _of_level(document, index, level.step)
    if document.lasts is not None and not any(_gives_back(step) for stage in CUTS for step in document.stages.get(stage, ())):
        yield Fault("lasts", "irreversible", "Nothing of it can be given back, so it cannot end by itself. Leave this out.")
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


def _of_level(document: Document, index: int, step: StepSpec) -> Iterator[Fault]:
    path = f"reinstatement[{index}]"
    yield from _unbearable(document, step, f"{path}.measure")
    yield from _of_parameters(step, path)
    if step.on_failure == "undo":
        yield Fault(f"{path}.on_failure", "way_back", "The run is being undone already: stop or continue.")
    if step.measure in MOMENTARY:
        yield Fault(f"{path}.measure", "does_not_stand", f"Nothing of {step.measure} stands afterwards, so it is no level of a way back.")
        return
    strictest = max((_strictness(cut) for stage in CUTS for cut in document.stages.get(stage, ())), default=0)
    before = document.reinstatement[index - 1].step if index else None
    if _strictness(step) > strictest:
        yield Fault(f"{path}.measure", "stricter", f"{step.measure} is stricter than anything that stands after the cut.")
    elif before is not None and before.measure not in MOMENTARY and _strictness(step) > _strictness(before):
        yield Fault(f"{path}.measure", "stricter", f"{step.measure} is stricter than the level before it. The strictest comes first.")
    if before is not None and _same(step, before):
        yield Fault(f"{path}.measure", "twice", "This is the level before it again: let that one be watched for longer.")


def _same(step: StepSpec, other: StepSpec) -> bool:
    return (step.measure, step.connector, step.parameters) == (other.measure, other.connector, other.parameters)


def _strictness(step: StepSpec) -> int:
    rank = STRICTNESS.get(step.measure, 0)
    mode = step.parameters.get("mode", "outside_schemas")
    return rank + (MODES.get(mode, 0) if step.measure is Measure.SESSION_RESTRICT and isinstance(mode, str) else 0)


def _gives_back(step: StepSpec) -> bool:
    """Whether undo finds something of this step to put back."""
    rotated = step.measure is Measure.CREDENTIAL_ROTATE and step.parameters.get("keep_new") is not True
    return step.measure in STRICTNESS or rotated


def _of_parameters(step: StepSpec, path: str) -> Iterator[Fault]:
    known = PARAMETERS.get(step.measure, {})
    for name, value in step.parameters.items():
        at = f"{path}.parameters.{name}"
        if name not in known:
            takes = f"It takes {', '.join(known)}." if known else "It takes none."
            yield Fault(at, "unknown", f"{step.measure} has no such parameter. {takes}")
        elif trouble := _misfits(value, known[name]):
            yield Fault(at, "invalid", trouble)


def _misfits(value: Any, wanted: str | tuple[str, ...]) -> str:
    """What is wrong with a value, as a sentence; empty where nothing is."""
    if isinstance(wanted, tuple):
        return "" if isinstance(value, str) and value in wanted else f"Must be one of {', '.join(wanted)}."
    if isinstance(value, dict) and set(value) == {"from"}:
        return "" if value["from"] in REFERS[wanted] else f"{value['from']} is not {wanted}."
    return "" if _is_a(value, wanted) else f"This is not {wanted}."


def _is_a(value: Any, wanted: str) -> bool:
    if wanted == FLAG:
        return isinstance(value, bool)
    if wanted == TEXT:
        return isinstance(value, str) and bool(value.strip())
    if not isinstance(value, list):
        return False
    if wanted == TEXTS:
        return all(isinstance(one, str) for one in value)
    return all(isinstance(one, dict) and set(one) == ORIGIN and all(isinstance(part, str) for part in one.values()) for one in value)


def _unbearable(document: Document, step: StepSpec, path: str) -> Iterator[Fault]:
    for kind in document.kinds:
        if step.measure in UNBEARABLE.get(kind, frozenset()):
            yield Fault(path, "unbearable", f"{step.measure} cannot be done to a {kind.replace('_', ' ')}.")


def _of_interim(document: Document, step: StepSpec, path: str) -> Iterator[Fault]:
    if step.connector == OUR_GATE and step.measure is Measure.SESSION_RESTRICT:
        if others := [kind.replace("_", " ") for kind in document.kinds if kind not in AT_OUR_GATE]:
            yield Fault(
                f"{path}.measure", "touches_must_go_on", f"Our gate lets nothing but reading through: too little for a {others[0]}."
            )
    elif step.measure not in PRESERVING and not _spares(step):
        detail = f"{step.measure} would stop what must go on while people decide."
        if step.measure in SPARING:
            detail += f" It takes {', '.join(f'{name}: {{from: {field}}}' for name, field in SPARING[step.measure].items())}."
        yield Fault(f"{path}.measure", "touches_must_go_on", detail)
    if step.on_failure == "undo":
        yield Fault(f"{path}.on_failure", "interim", "Whether this run is undone is what people are asked.")


def _spares(step: StepSpec) -> bool:
    """Whether this interim step leaves alone what must go on."""
    wanted = SPARING.get(step.measure)
    return (
        wanted is not None
        and step.connector != OUR_GATE
        and all(step.parameters.get(name) == {"from": field} for name, field in wanted.items())
    )
