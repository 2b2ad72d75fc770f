"""What one viewer may see of one thing: frozen facts that a template shows as they are. Nothing here changes anything.

A control that the viewer may not use is a Control that says why, and who could. Everything is read afresh for every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.safestring import SafeString

from accounts import actors
from accounts.models import Person
from accounts.roles import roles_with
from approvals.domain import quorum
from approvals.domain.quorum import Terms
from approvals.models import Answer, GroupMember, Hold
from audit import clock
from connectors.base import IRREVERSIBLE
from console import reach, said, timelines, why
from console.controls import Control, control
from console.pictures import blast_radius, waterfall
from console.timelines import Moment
from console.views_of import cooling_off, waiting
from console.views_of.cooling_off import Cooling
from console.views_of.runs import WayBack, way_back
from console.views_of.waiting import Waiting
from containment import cases, outcomes, readiness, verdicts
from containment.models import Case, Decision, Detection, Identity
from containment.readiness import Mark
from core.actor import Actor
from core.refs import Ref
from core.refusals import Missing
from evidence.models import Artefact
from playbooks import switch
from playbooks.domain.moves import ACCEPTABLE, UNDOABLE
from playbooks.models import Run, Step
from playbooks.runs import why_not_again


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a card is about."""

    name: str
    subject: str
    kind: str
    url: str
    owner: str
    protected: bool

    @classmethod
    def of(cls, identity: Identity) -> Subject:
        return cls(
            name=identity.label,
            subject=str(identity),
            kind=identity.kind,
            url=f"/identities/{identity.pk}/",
            owner=identity.owner_team,
            protected=identity.protected,
        )


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


@dataclass(frozen=True, slots=True)
class HoldRow:
    id: UUID
    url: str
    name: str
    kind: str
    what: str
    deadline: datetime
    total: float
    risk: float
    soft: float
    hard: float
    asks_first: bool = False  # about one call, so that there is no risk to show
    waited_for: bool = False  # a program waits with a call


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case in a list, with the state of its last run in a word."""

    id: UUID
    url: str
    name: str
    kind: str
    what: str
    state: str
    tone: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SetAsideRow:
    """A detection that stopped its workers too often, and the way back."""

    id: UUID
    url: str
    name: str
    kind: str
    what: str
    source: str
    crashes: int
    at: datetime


@dataclass(frozen=True, slots=True)
class AnswerLine:
    who: str
    word: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Bystander:
    name: str
    because: str
    connected: bool


@dataclass(frozen=True, slots=True)
class WhyCard:
    """A decision's reasons, so that anybody can do the sum again."""

    url: str
    verdict: str
    stage: str
    because: str
    policy: str
    risk: float
    soft: float
    hard: float
    picture: SafeString
    dismissed: tuple[why.Dismissed, ...]
    conclusive: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, decision: Decision) -> WhyCard:
        return cls(
            url=f"/decisions/{decision.pk}/",
            verdict=decision.verdict,
            stage=decision.stage,
            because=decision.because,
            policy=f"policy version {decision.policy.version}",
            risk=float(decision.risk),
            soft=float(decision.soft),
            hard=float(decision.hard),
            picture=waterfall(why.waterfall_of(decision)),
            dismissed=why.dismissed(decision),
            conclusive=why.conclusive(decision),
            digest=decision.digest,
        )


@dataclass(frozen=True, slots=True)
class SeenCard:
    """What was reported, and by whom."""

    title: str
    source: str
    at: datetime
    severity: str
    confidence: float
    facts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, decision: Decision) -> SeenCard:
        detection = decision.detection
        resource = f"{detection.resource.kind} {detection.resource.key}" if detection.resource else ""
        times = f", {detection.action_count} times" if detection.action_count > 1 else ""
        facts = (
            ("Did", f"{detection.action}{times}" if detection.action else "nothing yet that was seen"),
            ("On", resource),
            ("Session", detection.named_session),
            ("Workflow, it says", detection.named_workflow),
            ("From", str(detection.context.get("source_ip", ""))),
            ("Environment", str(detection.context.get("environment", ""))),
            ("Tenant", str(detection.context.get("tenant", ""))),
        )
        return cls(
            title=detection.title,
            source=detection.source.name,
            at=detection.occurred_at,
            severity=detection.severity,
            confidence=detection.confidence,
            facts=tuple((name, value) for name, value in facts if value),
        )


@dataclass(frozen=True, slots=True)
class HoldCard:
    id: UUID
    live: str
    title: str
    subject: Subject
    case_url: str
    reason: str
    because: str
    is_open: bool
    now: str
    deadline: datetime
    total: float
    follows: str
    tone: str
    ended: str
    plan_digest: str
    seen: SeenCard | None
    why: WhyCard | None
    blast: SafeString
    bystanders: tuple[Bystander, ...]
    meanwhile: tuple[StepCard, ...]
    plan: StageCard
    other_stages: tuple[StageCard, ...]
    timeline: tuple[Moment, ...]
    answers: tuple[AnswerLine, ...]
    quorum: int
    missing: int
    waits_for: str
    answering: Control
    extending: Control
    reversible: bool
    waiting: tuple[Waiting, ...] = ()
    is_group: bool = False
    is_call: bool = False
    cannot: tuple[Mark, ...] = ()
    stopped: str = ""

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def rejecting(self) -> dict[str, str]:
        """What the form of “leave it running” carries beside the reason: also which calls were read that wait for it."""
        return {"word": "reject", "plan_digest": self.plan_digest, "seen_requests": " ".join(str(one.id) for one in self.waiting)}


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


# -- lists -------------------------------------------------------------------------------------------------------------------------------


def hold_rows(holds: Sequence[Hold]) -> list[HoldRow]:
    identities = _identities(hold.identity_ref for hold in holds)
    decided = {
        row["hold"]: row for row in Decision.objects.filter(hold__in=holds).order_by("decided_at").values("hold", "risk", "soft", "hard")
    }
    waited = waiting.waited_for(holds)
    return [_hold_row(hold, identities[hold.identity_ref], decided.get(hold.pk, {}), waited=hold.pk in waited) for hold in holds]


def _hold_row(hold: Hold, identity: Identity, decided: Mapping[str, Any], *, waited: bool) -> HoldRow:
    return HoldRow(
        id=hold.pk,
        url=f"/holds/{hold.pk}/",
        name=identity.label,
        kind=identity.kind,
        what=hold.title,
        deadline=hold.deadline,
        total=_total(hold),
        risk=float(decided.get("risk", 0)),
        soft=float(decided.get("soft", 100)),
        hard=float(decided.get("hard", 100)),
        asks_first=hold.asks_about_a_call,
        waited_for=waited and not hold.asks_about_a_call,
    )


TONES_OF_RUNS = {
    "waiting": "accent",
    "pending": "accent",
    "running": "accent",
    "verifying": "warn",
    "contained": "ok",
    "partial": "warn",
    "failed": "hot",
    "needs_human": "hot",
    "undoing": "warn",
    "reinstating": "warn",
}


def case_rows(found: Sequence[Case]) -> list[CaseRow]:
    refs = [str(case.ref) for case in found]
    last = dict(Run.objects.filter(case_ref__in=refs).order_by("created_at").values_list("case_ref", "state"))
    return [_case_row(case, last.get(str(case.ref), "")) for case in found]


def _case_row(case: Case, state: str) -> CaseRow:
    closed = case.state == "closed"
    return CaseRow(
        id=case.pk,
        url=f"/cases/{case.pk}/",
        name=case.identity.label,
        kind=case.identity.kind,
        what=case.title,
        state="closed" if closed else state.replace("_", " ") or "recorded",
        tone="" if closed else TONES_OF_RUNS.get(state, ""),
        at=case.last_event_at,
    )


def people_rows(runs: Iterable[Run]) -> list[CaseRow]:
    """Cases whose run came to rest and is not whole."""
    keys = [Ref.parse(run.case_ref).id for run in runs]
    return case_rows(list(Case.objects.filter(pk__in=keys).select_related("identity").order_by("-last_event_at")))


def set_aside_rows(detections: Iterable[Detection]) -> list[SetAsideRow]:
    return [
        SetAsideRow(
            id=one.pk,
            url=f"/identities/{one.identity_id}/",
            name=one.identity.label,
            kind=one.identity.kind,
            what=one.title,
            source=one.source.name,
            crashes=max(0, one.crash_count - 1),
            at=one.received_at,
        )
        for one in detections
    ]


def _identities(refs: Iterable[str]) -> dict[str, Identity]:
    keys = {ref: Ref.parse(ref).id for ref in set(refs)}
    found = {str(identity.pk): identity for identity in Identity.objects.filter(pk__in=keys.values())}
    return {ref: found[key] for ref, key in keys.items()}


def _total(hold: Hold) -> float:
    return (hold.deadline - hold.opened_at).total_seconds()


# -- one hold ----------------------------------------------------------------------------------------------------------------------------


def hold(hold_id: UUID, viewer: Actor) -> HoldCard:
    found = Hold.objects.filter(pk=hold_id).first()
    if found is None:
        raise Missing("There is no such hold.")
    run = Run.objects.get(pk=Ref.parse(found.run_ref).id)
    steps = list(run.steps.order_by("seq"))
    identity = Identity.objects.get(pk=Ref.parse(found.identity_ref).id)
    decision = _decision_of(found)
    answers = list(found.answers.select_related("person"))
    terms = found.as_terms()
    asked = str(found.plan.get("versions", {}).get("stage") or run.stage)  # of a run that may rise: the stage that would follow
    interim = [step for step in steps if step.stage != asked]
    tone, ended = said.ending(found) if not found.is_open else ("", "")
    may_answer_now = answering(found, terms, answers, viewer)
    plan = found.plan["plan"]
    return HoldCard(
        id=found.pk,
        live=f"{found.ref} {run.ref}",
        title=found.title,
        subject=Subject.of(identity),
        case_url=f"/cases/{Ref.parse(found.case_ref).id}/",
        reason=found.reason_class.replace("_", " "),
        because=found.because,
        is_open=found.is_open,
        now=said.true_now(interim) if found.is_open else said.run_sentence(run, steps, clock.now())[1].rstrip("."),
        deadline=found.deadline,
        total=_total(found),
        follows=said.at_zero(
            found,
            restricted=any(step.disruptive and step.state in said.TOOK_EFFECT for step in interim),
            spared=outcomes.spared(found) if found.is_open else "",
        ),
        tone=tone,
        ended=ended,
        plan_digest=found.plan_digest,
        seen=SeenCard.of(decision) if decision else None,
        why=WhyCard.of(decision) if decision else None,
        blast=blast_radius(*reach.columns_and_links(decision, plan)) if decision else SafeString(""),
        bystanders=_bystanders(decision),
        meanwhile=tuple(StepCard.of_step(step) for step in interim),
        plan=_stage(asked, plan.get(asked, ())),
        other_stages=tuple(_stage(name, plan[name]) for name in ("soft", "hard") if name != asked and plan.get(name)),
        timeline=timelines.of(_refs_of(found, decision), identity=found.identity_ref, since=found.opened_at),
        answers=tuple(AnswerLine(str(answer.person), answer.word, answer.at, answer.reason) for answer in answers),
        quorum=terms.quorum,
        missing=max(0, terms.quorum - sum(answer.word == "approve" for answer in answers)),
        waits_for=said.and_join([group.name for group in terms.asked]),
        answering=may_answer_now,
        extending=extending(found, may_answer_now),
        reversible=all(step["inverse"] != IRREVERSIBLE for step in plan.get(asked, ()) if step["disruptive"]),
        waiting=waiting.of(found),
        stopped=switch.said_no() if found.is_open else "",
        cannot=tuple(readiness.marks(readiness.asked_for(found), found.plan["target"])) if found.is_open else (),
    )


def may_answer(found: Hold, viewer: Actor) -> bool:
    return bool(quorum.admits(found.as_terms(), viewer))


def _decision_of(found: Hold) -> Decision | None:
    decisions = Decision.objects.filter(hold=found).order_by("decided_at")
    return decisions.select_related(
        "policy", "detection__identity", "detection__source", "detection__resource", "detection__credential"
    ).first()


def answering(found: Hold, terms: Terms, answers: Sequence[Answer], viewer: Actor) -> Control:
    if not found.is_open:
        return Control(False)
    verdict = quorum.admits(terms, viewer)
    if not verdict:
        return Control(False, f"{verdict.sentence} {_named(terms)}".strip())
    mine = next((answer for answer in answers if answer.principal == viewer.principal), None)
    if mine is not None:
        words = WORDS_OF_CALLS if found.asks_about_a_call else WORDS
        return Control(False, f"You said “{words[mine.word]}” at {said.clock_time(mine.at)}. It takes {terms.quorum} people.")
    return Control(True)


WORDS = {"approve": "contain now", "reject": "leave it running"}
WORDS_OF_CALLS = {"approve": "allow this call", "reject": "refuse"}


def _named(terms: Terms) -> str:
    """Some people who could answer, by name."""
    candidates = Person.objects.filter(is_active=True, role_grants__role__in=roles_with("hold.answer")).distinct().order_by("display_name")
    could = [
        str(person) for person in candidates.prefetch_related("role_grants", "teams") if quorum.admits(terms, actors.of_person(person))
    ]
    if not could:
        return "Nobody who could is active now."
    return f"{said.and_join(could[:3])} could." if len(could) <= 3 else f"{', '.join(could[:3])} and {len(could) - 3} more could."


def extending(found: Hold, may: Control) -> Control:
    if not may.allowed:
        return may
    if found.extensions >= found.extensions_max:
        return Control(False, f"The deadline was moved {found.extensions} times, which is all this hold allows.")
    return Control(True)


def _bystanders(decision: Decision | None) -> tuple[Bystander, ...]:
    found = decision.waterfall.get("choice", {}).get("bystanders", ()) if decision else ()
    return tuple(Bystander(one["name"], one["because"], bool(one["session"])) for one in found)


def _refs_of(found: Hold, decision: Decision | None) -> list[str]:
    """The hold's own story; what happened to other holds of the case stands on the page of the case."""
    refs = [str(found.ref), found.run_ref]
    return [*refs, str(decision.ref), str(decision.detection.ref)] if decision else refs


def _stage(name: str, steps: Iterable[Mapping[str, Any]]) -> StageCard:
    return StageCard(said.STAGES.get(name, name), tuple(StepCard.of_plan(step) for step in steps))


def _inverse(inverse: str) -> str:
    return "" if inverse == IRREVERSIBLE else inverse


# -- one case ----------------------------------------------------------------------------------------------------------------------------


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
    decisions = list(found.decisions.select_related("detection__source").order_by("-decided_at")[:50])
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
        timeline=timelines.of(
            [ref, *(str(decision.detection.ref) for decision in decisions)], identity=str(found.identity.ref), since=found.opened_at
        ),
        verdict=cases.VERDICTS.get(found.verdict, ""),
        verdict_reason=found.verdict_reason,
        judging=_judging(found, viewer),
        closing=_closing(found, left, viewer),
        open_items=left,
        signals=_signal_lines(decisions),
        cooling=cooling_off.of(found.identity, now),
    )


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
        hold_total=_total(waiting) if waiting else 0,
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
    person = Person.objects.filter(Q(pk=key)).first()
    return str(person) if person else "somebody"
