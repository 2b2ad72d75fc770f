"""A playbook version as people read it: its stages drawn, and what a hold under it does when nobody answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from console import said
from console.controls import Control, control
from console.pictures import StepMark, stages
from core.actor import Actor
from core.refusals import BadInput
from playbooks.domain.document import parse
from playbooks.domain.specs import Document, HoldSpec, StepSpec
from playbooks.models import PlaybookVersion

TONES = {"draft": "warn", "in_force": "ok", "superseded": "quiet"}
STAGES = {"interim": "while people decide", "soft": "stops it for now", "hard": "ends it"}


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    words: str
    picture: SafeString


@dataclass(frozen=True, slots=True)
class HoldRow:
    reason: str
    says: str


@dataclass(frozen=True, slots=True)
class Card:
    version: PlaybookVersion
    title: str
    tone: str
    stages: Sequence[Stage]
    holds: Sequence[HoldRow]
    waiver: str
    trouble: str
    may_approve: Control


def card(version: PlaybookVersion, viewer: Actor) -> Card:
    """A version that today's rules would refuse is still shown, with what they say against it."""
    try:
        document, trouble = parse(version.text), ""
    except BadInput as refusal:
        document, trouble = None, refusal.sentence
    own = f"You wrote {version}. Somebody else has to approve it." if str(version.author_id) == viewer.principal else ""
    return Card(
        version=version,
        title=document.title if document else version.name,
        tone=TONES.get(version.state, "quiet"),
        stages=_stages(document) if document else [],
        holds=[HoldRow(reason.replace("_", " "), _hold(spec)) for reason, spec in document.holds.items()] if document else [],
        waiver=document.evidence_waiver if document else "",
        trouble=trouble,
        may_approve=control(viewer, "playbook.approve", unless=own),
    )


def _stages(document: Document) -> list[Stage]:
    return [Stage(name, STAGES[name], stages([_mark(step) for step in steps])) for name, steps in document.stages.items()]


def _mark(step: StepSpec) -> StepMark:
    where = "" if step.connector == "identity.provider" else f"through {step.connector}, "
    then = {"stop": "or stop here", "continue": "or go on without it", "undo": "or undo what was done"}[step.on_failure]
    return StepMark(said.DEEDS.get(str(step.measure), str(step.measure)), "waiting", f"{where}within {step.timeout_s:g} s, {then}")


def _hold(spec: HoldSpec) -> str:
    """One sentence, in the order in which things happen."""
    people = "one person" if spec.quorum == 1 else f"{spec.quorum} people"
    then = f", then {spec.then}" if spec.on_lapse == "escalate" else ""
    kept = f"; the interim stage is kept for {spec.keep_interim.total_seconds() / 60:g} min" if spec.keep_interim else ""
    return f"{people} decide{'s' if spec.quorum == 1 else ''}; if nobody answers: {spec.on_lapse}{then}{kept}"
