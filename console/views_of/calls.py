"""A call that a program asks people about, as its viewer may see it: who wants what on what, with which arguments, how long, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from approvals.models import AccessRequest, Hold
from audit import clock
from console import said, timelines
from console.controls import Control, control
from console.timelines import Moment
from console.views_of import answering as people
from console.views_of.about import Subject
from console.views_of.answering import AnswerLine
from console.views_of.waiting import value
from containment.models import Identity
from core.actor import Actor
from core.refs import Ref

MOST_SHOWN = 5
LONGEST_VALUE = 2000
LABELS = {
    "tool": "Tool",
    "action": "Action",
    "resource": "On",
    "resource_type": "Kind of thing",
    "session": "Session",
    "environment": "Environment, it says",
    "tenant": "Tenant, it says",
}


@dataclass(frozen=True, slots=True)
class Approval:
    """What was given, and how much of it is left."""

    request: UUID
    until: datetime | None
    covers: str
    used: str
    tone: str
    revoking: Control

    @property
    def dialog(self) -> str:
        return f"revoke-{self.request}"


@dataclass(frozen=True, slots=True)
class CallCard:
    id: UUID
    live: str
    title: str
    subject: Subject
    because: str
    is_open: bool
    deadline: datetime
    total: float
    follows: str
    tone: str
    ended: str
    plan_digest: str
    facts: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[str, str], ...]
    covers: str
    justification: str
    emergency: bool
    asked_by: str
    client: str
    timeline: tuple[Moment, ...]
    answers: tuple[AnswerLine, ...]
    waits_for: str
    answering: Control
    extending: Control
    approvals: tuple[Approval, ...]
    is_group: bool = False
    is_call: bool = True

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def rejecting(self) -> dict[str, str]:
        """What the form of “refuse” carries beside the reason."""
        return {"word": "reject", "plan_digest": self.plan_digest}


def card(found: Hold, viewer: Actor) -> CallCard:
    terms = found.as_terms()
    answers = list(found.answers.select_related("person"))
    answering = people.answering(found, terms, answers, viewer)
    plan, call = found.plan, found.plan["call"]
    tone, ended = ending(found) if not found.is_open else ("", "")
    return CallCard(
        id=found.pk,
        live=str(found.ref),
        title=found.title,
        subject=Subject.of(Identity.objects.get(pk=Ref.parse(found.identity_ref).id)),
        because=found.because,
        is_open=found.is_open,
        deadline=found.deadline,
        total=(found.deadline - found.opened_at).total_seconds(),
        follows=at_zero(found),
        tone=tone,
        ended=ended,
        plan_digest=found.plan_digest,
        facts=(
            *((label, str(call[name])) for name, label in LABELS.items() if call.get(name)),
            ("Changes something", {True: "yes", False: "no, it only reads"}.get(call.get("writes"), "nobody said, so it counts as yes")),
        ),
        arguments=tuple((name, value(item, LONGEST_VALUE)) for name, item in call.get("arguments", {}).items()),
        covers=_covers(plan),
        justification=plan["justification"],
        emergency=plan["emergency"],
        asked_by=plan["asked_by"],
        client=str(plan["client"].get("name") or plan["client"].get("id") or ""),
        timeline=timelines.of([str(found.ref)], identity=found.identity_ref, since=found.opened_at),
        answers=tuple(AnswerLine(str(one.person), one.word, one.at, one.reason) for one in answers),
        waits_for=said.and_join([group.name for group in terms.asked]),
        answering=answering,
        extending=people.extending(found, answering),
        approvals=_approvals(found, viewer),
    )


def at_zero(found: Hold) -> str:
    """What follows when nobody answers, as the end of “If nobody answers by …,”."""
    terms = found.as_terms()
    if found.on_lapse == "escalate" and terms.further:
        following = terms.reviewers[terms.step + 1].name
        return f"{following} will be asked; if they are silent too, the call stays refused"
    return "the call stays refused"


def ending(found: Hold) -> tuple[str, str]:
    """Tone and sentence of one that is over."""
    at = said.clock_time(found.closed_at) if found.closed_at else ""
    words = f" “{found.closed_because}”" if found.closed_because else ""
    match found.state:
        case "approved":
            return "ok", f"{found.closed_by} allowed this call at {at}.{words}"
        case "rejected":
            return "accent", f"{found.closed_by} refused this call at {at}.{words}"
        case "lapsed":
            return "warn", f"Nobody answered in time; as announced, the call stayed refused at {at}."
    return "quiet", f"Nobody needs to answer since {at}: {(found.closed_because or 'it is not wanted any more').rstrip('.')}."


def _covers(plan: Mapping[str, Any]) -> str:
    what = "This call, once" if plan["covers"] == "one call" else "This call, as often as it is made"
    return (
        f"{what}, until {plan['until'][:16].replace('T', ' ')} UTC"
        if plan["until"]
        else f"{what}, within {plan['minutes']} minutes of a yes"
    )


def _approvals(found: Hold, viewer: Actor) -> tuple[Approval, ...]:
    now = clock.now()
    may = control(viewer, "hold.answer")
    return tuple(_approval(one, now, may) for one in found.requests.filter(state="approved").order_by("asked_at")[:MOST_SHOWN])


def _approval(one: AccessRequest, now: datetime, may: Control) -> Approval:
    used = "not used yet" if not one.uses else "used once" if one.uses == 1 else f"used {one.uses} times"
    over = one.revoked_at is not None or (one.approved_until is not None and one.approved_until <= now)
    spent = one.uses_max is not None and one.uses >= one.uses_max
    if one.revoked_at is not None:
        used = f"{used}; revoked at {said.clock_time(one.revoked_at)}: {one.revoked_because}"
    covers = "one call" if one.uses_max == 1 else "every such call"
    tone = "quiet" if over or spent else "ok"
    return Approval(one.pk, one.approved_until, covers, used, tone, Control(False) if over or spent else may)
