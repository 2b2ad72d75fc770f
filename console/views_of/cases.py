"""One case as its card shows it: the run and its way back, the evidence, what was decided, and what stands in the way of closing it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import Person
from approvals.models import GroupMember, Hold
from audit import clock
from console import said, timelines, why
from console.controls import Control, control
from console.timelines import Moment
from console.views_of import cooling_off
from console.views_of.about import Subject
from console.views_of.cooling_off import Cooling
from console.views_of.plans import StageCard, StepCard
from console.views_of.queue import total
from console.views_of.runs import WayBack, way_back
from containment import cases, verdicts
from containment.models import Case, Decision
from core.actor import Actor
from core.refs import Ref
from core.refusals import Missing
from evidence.models import Artefact
from playbooks.domain.moves import ACCEPTABLE, UNDOABLE
from playbooks.models import Run
from playbooks.runs import why_not_again


@dataclass(frozen=True, slots=True)
class RunCard:
    id: UUID
    state: str
    stage: str
    tone: str
    sentence: str
    playbook: str
    created_at: datetime
    stages: tuple[StageCard, ...]
    level: str
    left: tuple[str, ...]
    residual_until: datetime | None
    undoing: Control
    accepting: Control
    retrying: Control
    stays: str
    undone_by: str
    way: WayBack
    hold_url: str
    hold_deadline: datetime | None
    hold_total: float


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    id: UUID
    name: str
    size: int
    digest: str
    at: datetime
    touches: int


@dataclass(frozen=True, slots=True)
class DecisionLine:
    url: str
    title: str
    source: str
    at: datetime
    verdict: str
    stage: str
    risk: float
    soft: float
    hard: float
    because: str


@dataclass(frozen=True, slots=True)
class SignalLine:
    """A signal that fired in the case, and how the cases that it led to were judged so far."""

    label: str
    so_far: str


@dataclass(frozen=True, slots=True)
class CaseCard:
    id: UUID
    live: str
    title: str
    subject: Subject
    state: str
    opened_at: datetime
    closed_at: datetime | None
    highest_risk: float
    seen: int
    run: RunCard | None
    earlier: tuple[RunCard, ...]
    evidence: tuple[EvidenceLine, ...]
    downloading: Control
    decisions: tuple[DecisionLine, ...]
    timeline: tuple[Moment, ...]
    verdict: str
    verdict_reason: str
    judging: Control
    closing: Control
    open_items: tuple[str, ...]
    signals: tuple[SignalLine, ...] = ()
    cooling: Cooling | None = None


def case(case_id: UUID, viewer: Actor) -> CaseCard:
    found = Case.objects.select_related("identity").filter(pk=case_id).first()
    if found is None:
        raise Missing("There is no such case.")
    ref = str(found.ref)
    now = clock.now()
    runs = list(Run.objects.filter(case_ref=ref).select_related("playbook").prefetch_related("steps").order_by("-created_at"))
    holds = {one.run_ref: one for one in Hold.objects.filter(case_ref=ref, state="open")}
    grouped = GroupMember.objects.filter(case_ref=ref, state="waiting", hold__state="open").select_related("hold")
    holds |= {one.run_ref: one.hold for one in grouped}
    told = [_run_card(run, holds.get(str(run.ref)), viewer, now) for run in runs]
    judged = found.decisions.order_by("-decided_at")
    decisions = list(judged.select_related("detection__source")[:50])
    left = tuple(cases.open_items(found)) if found.state != "closed" else ()
    return CaseCard(
        id=found.pk,
        live=ref,
        title=found.title,
        subject=Subject.of(found.identity),
        state=found.state,
        opened_at=found.opened_at,
        closed_at=found.closed_at,
        highest_risk=float(found.highest_risk),
        seen=found.detections_seen,
        run=told[0] if told else None,
        earlier=tuple(told[1:]),
        evidence=_evidence(ref),
        downloading=control(viewer, "audit.export"),
        decisions=tuple(_decision_line(decision) for decision in decisions),
        timeline=timelines.with_covered(_told(found, judged.exclude(verdict="covered")), judged),
        verdict=cases.VERDICTS.get(found.verdict, ""),
        verdict_reason=found.verdict_reason,
        judging=_judging(found, viewer),
        closing=_closing(found, left, viewer),
        open_items=left,
        signals=_signal_lines(decisions),
        cooling=cooling_off.of(found.identity, now),
    )


def _told(case: Case, judged: QuerySet[Decision]) -> tuple[Moment, ...]:
    reports = judged.values_list("detection_id", flat=True)
    reported = [Ref.to("detection", key) for key in (*reports[:50], *reports.reverse()[:1])]  # the newest, and what opened it
    refs = [str(ref) for ref in (case.ref, *reported)]
    return timelines.of(refs, identity=str(case.identity.ref), since=case.opened_at, without=timelines.COVERED)


def _run_card(run: Run, waiting: Hold | None, viewer: Actor, now: datetime) -> RunCard:
    steps = sorted(run.steps.all(), key=lambda step: step.seq)
    tone, sentence = said.run_sentence(run, steps, now)
    residual = max((step.residual_until for step in steps if step.residual_until and step.residual_until > now), default=None)
    names = list(dict.fromkeys(step.stage for step in steps))
    return RunCard(
        id=run.pk,
        state=run.state,
        stage=run.stage,
        tone=tone,
        sentence=sentence,
        playbook=str(run.playbook),
        created_at=run.created_at,
        stages=tuple(StageCard(said.stage(name), tuple(StepCard.of_step(one) for one in steps if one.stage == name)) for name in names),
        level=run.proof_level if run.state == "contained" else "",
        left=tuple(line for step in steps for line in step.left) if run.state == "partial" else (),
        residual_until=residual if run.state == "verifying" else None,
        undoing=_undoing(run, viewer),
        accepting=_accepting(run, viewer),
        retrying=_retrying(run, viewer),
        stays=said.stays(steps) if run.state in ACCEPTABLE else "",
        undone_by=_person_named(run.undo_by),
        way=way_back(run, steps, viewer, now),
        hold_url=f"/holds/{waiting.pk}/" if waiting else "",
        hold_deadline=waiting.deadline if waiting else None,
        hold_total=total(waiting) if waiting else 0,
    )


def _undoing(run: Run, viewer: Actor) -> Control:
    if run.state not in UNDOABLE:
        return Control(False)
    return control(viewer, "run.undo")


def _accepting(run: Run, viewer: Actor) -> Control:
    return control(viewer, "run.undo") if run.state in ACCEPTABLE else Control(False)


def _retrying(run: Run, viewer: Actor) -> Control:
    return Control(False) if why_not_again(run) else control(viewer, "run.undo")


def _judging(found: Case, viewer: Actor) -> Control:
    return Control(False) if found.state == "closed" else control(viewer, "case.judge")


def _closing(found: Case, left: Sequence[str], viewer: Actor) -> Control:
    """Asked only where there is a verdict: before that the verdict is what is missing."""
    if found.state == "closed" or not found.verdict or not viewer.may("case.judge"):
        return Control(False)
    if left:
        return Control(False, f"It cannot be closed yet: {', '.join(left)}.")
    if cases.approvers(found) == {viewer.principal}:
        return Control(False, "You alone approved what was done here; somebody else has to look before it is closed.")
    return Control(True)


def _evidence(case_ref: str) -> tuple[EvidenceLine, ...]:
    found = Artefact.objects.filter(case_ref=case_ref).prefetch_related("custody")
    return tuple(
        EvidenceLine(one.pk, one.name, one.size, one.sha256, one.collected_at, len(one.custody.all()))
        for one in found.order_by("collected_at")
    )


def _signal_lines(decisions: Iterable[Decision]) -> tuple[SignalLine, ...]:
    """Each once, in the order of their weight in the decision that they first stood in."""
    fired = [one for decision in decisions for one in decision.signals if one.get("strength", 0) > 0]
    codes = list(dict.fromkeys(one["code"] for one in sorted(fired, key=lambda one: -one["decibans"])))
    counted = verdicts.of_signals(codes)
    return tuple(SignalLine(why.label_of(code), verdicts.said(counted.get(code))) for code in codes)


def _decision_line(decision: Decision) -> DecisionLine:
    return DecisionLine(
        url=f"/decisions/{decision.pk}/",
        title=decision.detection.title,
        source=decision.detection.source.name,
        at=decision.decided_at,
        verdict=decision.verdict,
        stage=decision.stage,
        risk=float(decision.risk),
        soft=float(decision.soft),
        hard=float(decision.hard),
        because=decision.because,
    )


def _person_named(actor: str) -> str:
    """`person:0190…` as a name; anybody else as they are called on record."""
    kind, _, key = actor.partition(":")
    if kind != "person":
        return key
    person = Person.objects.filter(pk=key).first()
    return str(person) if person else "somebody"
