"""One hold as its card shows it: what is asked, of whom, why, what is true meanwhile, and what follows if nobody answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils.safestring import SafeString

from approvals.models import Hold
from audit import clock
from connectors.base import IRREVERSIBLE
from console import reach, said, timelines
from console.controls import Control
from console.pictures import blast_radius
from console.timelines import Moment
from console.views_of import waiting
from console.views_of.about import SeenCard, Subject, WhyCard
from console.views_of.answering import AnswerLine, answering, extending
from console.views_of.plans import StageCard, StepCard, stage
from console.views_of.queue import total
from console.views_of.waiting import Waiting
from containment import outcomes, readiness
from containment.models import Decision, Identity
from containment.readiness import Mark
from core.actor import Actor
from core.refs import Ref
from core.refusals import Missing
from playbooks import switch
from playbooks.models import Run


@dataclass(frozen=True, slots=True)
class Bystander:
    name: str
    because: str
    connected: bool


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
    yes: str = ""
    no: str = ""
    after_no: str = ""
    is_group: bool = False
    is_call: bool = False
    cannot: tuple[Mark, ...] = ()
    stopped: str = ""
    terms: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def rejecting(self) -> dict[str, str]:
        """What the form of “leave it running” carries beside the reason: also which calls were read that wait for it."""
        return {"word": "reject", "plan_digest": self.plan_digest, "seen_requests": " ".join(str(one.id) for one in self.waiting)}


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
    restricted = any(step.disruptive and step.state in said.TOOK_EFFECT for step in interim)
    words = said.words(found)
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
        total=total(found),
        follows=said.at_zero(
            found,
            restricted=restricted,
            spared=outcomes.spared(found) if found.is_open else "",
        ),
        tone=tone,
        ended=ended,
        plan_digest=found.plan_digest,
        seen=SeenCard.of(decision) if decision else None,
        why=WhyCard.of(decision) if decision else None,
        blast=blast_radius(*reach.columns_and_links(decision, plan, asked)) if decision else SafeString(""),
        bystanders=_bystanders(decision),
        meanwhile=tuple(StepCard.of_step(step) for step in interim),
        plan=stage(asked, plan.get(asked, ())),
        other_stages=tuple(stage(name, plan[name]) for name in ("soft", "hard") if name != asked and plan.get(name)),
        timeline=timelines.of(_refs_of(found, decision), identity=found.identity_ref, since=found.opened_at),
        answers=tuple(AnswerLine(str(answer.person), words[answer.word], answer.at, answer.reason) for answer in answers),
        quorum=terms.quorum,
        missing=max(0, terms.quorum - sum(answer.word == "approve" for answer in answers)),
        waits_for=said.and_join([group.name for group in terms.asked]),
        answering=may_answer_now,
        extending=extending(found, may_answer_now),
        reversible=all(step["inverse"] != IRREVERSIBLE for step in plan.get(asked, ()) if step["disruptive"]),
        yes=words["approve"],
        no=words["reject"],
        after_no=said.after_no(found, restricted=restricted),
        waiting=waiting.of(found),
        terms=said.terms(run, stage=asked),
        stopped=switch.said_no() if found.is_open else "",
        cannot=tuple(readiness.marks(readiness.asked_for(found), found.plan["target"])) if found.is_open else (),
    )


def _decision_of(found: Hold) -> Decision | None:
    """Of one that asks for more it is the decision of its run."""
    mine = Q(hold=found) if Decision.objects.filter(hold=found).exists() else Q(run=Ref.parse(found.run_ref).id)
    decisions = Decision.objects.filter(mine).order_by("decided_at")
    return decisions.select_related(
        "policy", "detection__identity", "detection__source", "detection__resource", "detection__credential"
    ).first()


def _bystanders(decision: Decision | None) -> tuple[Bystander, ...]:
    found = decision.waterfall.get("choice", {}).get("bystanders", ()) if decision else ()
    return tuple(Bystander(one["name"], one["because"], bool(one["session"])) for one in found)


def _refs_of(found: Hold, decision: Decision | None) -> list[str]:
    """The hold's own story; what happened to other holds of the case stands on the page of the case."""
    refs = [str(found.ref), found.run_ref]
    return [*refs, str(decision.ref), str(decision.detection.ref)] if decision else refs
