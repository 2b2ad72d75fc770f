"""Verdicts: what is said to a question, in words for those who run the system and for those whose agent it is, and the row of it.

A deny and a hold enter the audit trail with their row; an allow does so in a batch, within a second (chain.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from approvals.models import Hold
from audit.record import record
from containment.models import Identity, Session
from core import masking
from core.actor import Actor
from core.refs import Ref
from guard import chain, requestable
from guard.answers import LASTS, Answer, Reason
from guard.models import GuardCall
from guard.question import digest_of, request_of
from sources.asking import Ask

ASKED_AGAIN = timedelta(minutes=10)  # for so long the id of a request stands for one question of its principal
LONGEST_BECAUSE = 1000
TERMINATES = "session_termination"
SUPPORTED = (TERMINATES,)

TOLD: dict[Reason, str] = {
    Reason.ALLOWED: "Go on.",
    Reason.BY_RULE: "Go on: a rule allows it.",
    Reason.EXEMPT: "Go on: an exception covers it.",
    Reason.APPROVED: "Go on: people allowed exactly this.",
    Reason.CONTAINED: "This agent was stopped because of how it behaved. Nothing it asks is done until the security team has looked.",
    Reason.PAUSED: "This session is paused. Its work is kept; the security team can let it go on.",
    Reason.RESTRICTED: "This session may only read while people decide about it.",
    Reason.ENDED: "This session has ended. Begin a new one.",
    Reason.EXPIRED: "The time of this session is over. Begin a new one.",
    Reason.OUTSIDE: "This lies outside what the session was approved to do. Ask for a session that is approved for it.",
    Reason.BY_POLICY: "The rules do not allow this. Asking again changes nothing.",
    Reason.UNKNOWN_SESSION: "This changes something, and nobody knows the session it comes from. Register the session first.",
    Reason.HELD: "People have to decide about this first. Ask for approval, and try again once they have answered.",
    Reason.APPROVAL_EXPIRED: "The approval has run out. Ask for a new one.",
    Reason.APPROVAL_ELSEWHERE: "The approval is about something else. Ask for one that covers this.",
    Reason.APPROVAL_PENDING: "Nobody has answered yet. Try again later.",
    Reason.APPROVAL_UNVERIFIABLE: "The approval that was shown is not one of ours, or covers nothing any more.",
}
NEXT: dict[Reason, str] = {
    Reason.HELD: "request",
    Reason.APPROVAL_EXPIRED: "request",
    Reason.APPROVAL_ELSEWHERE: "request",
    Reason.APPROVAL_PENDING: "retry",
    Reason.APPROVAL_UNVERIFIABLE: "request",
}
STOPS = frozenset({Reason.CONTAINED, Reason.PAUSED, Reason.ENDED, Reason.EXPIRED})
RETRY_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found, before it is said. `paused`: the asker's session was closed by this very question."""

    verdict: str
    reason: Reason
    because: str
    policy_version: int
    risk: float = 0.0
    would_have: str = ""
    digest: str = ""
    detection: UUID | None = None
    case: UUID | None = None
    run: UUID | None = None
    hold: UUID | None = None
    expires_at: datetime | None = None
    retry_after: int | None = None
    paused: bool = False
    told: str = ""
    next_action: str = ""
    access_request: Mapping[str, Any] = field(default_factory=dict)
    approval: Mapping[str, Any] = field(default_factory=dict)


def say(
    found: Verdict,
    ask: Ask,
    *,
    key: UUID,
    identity: Identity,
    session: Session | None,
    writes: bool,
    actor: Actor,
    now: datetime,
    question: str = "",
    view_age_ms: int = 0,
) -> Answer:
    """Write the row of a verdict, put a deny or a hold on record, and make the answer. Inside a story, where it is no allow."""
    row = row_of(found, ask, key=key, identity=identity, session=session, writes=writes, actor=actor, now=now, question=question)
    row.save(force_insert=True)
    if found.verdict != "allow":
        _record(row, found, ask.request, identity, session, actor)
    return answer_of(row, found, ask, view_age_ms=view_age_ms)


def row_of(
    found: Verdict,
    ask: Ask,
    *,
    key: UUID,
    identity: Identity,
    session: Session | None,
    writes: bool,
    actor: Actor,
    now: datetime,
    question: str = "",
) -> GuardCall:
    return GuardCall(
        id=key,
        asked_at=now,
        principal=actor.principal,
        asker=actor.asker,
        request=request_of(ask),
        question=question or digest_of(ask),
        identity=identity.pk,
        session=session.pk if session else None,
        action=masking.in_text(ask.action),
        tool=masking.in_text(ask.tool),
        resource_kind=masking.in_text(ask.resource_kind),
        resource=masking.in_text(ask.resource),
        writes=writes,
        verdict=found.verdict,
        reason=str(found.reason),
        because=masking.in_text(found.because)[:LONGEST_BECAUSE],
        told=found.told or TOLD[found.reason],
        would_have=found.would_have,
        risk=found.risk,
        policy_version=found.policy_version,
        digest=found.digest,
        detection=found.detection,
        hold=found.hold,
        expires_at=found.expires_at or now + LASTS,
    )


def answer_of(row: GuardCall, found: Verdict, ask: Ask, *, view_age_ms: int = 0) -> Answer:
    return Answer(
        id=row.pk,
        asked_at=row.asked_at,
        verdict=row.verdict,
        reason=found.reason,
        because=row.because,
        told=row.told,
        policy_version=row.policy_version,
        expires_at=row.expires_at,
        risk=row.risk,
        view_age_ms=view_age_ms,
        would_have=row.would_have,
        digest=row.digest,
        detection=row.detection,
        case=found.case,
        run=found.run,
        hold=row.hold,
        next_action="" if row.verdict == "allow" else found.next_action or NEXT.get(found.reason, "none"),
        retry_after=found.retry_after or (RETRY_S if found.reason in (Reason.HELD, Reason.APPROVAL_PENDING) and row.hold else None),
        access_request=dict(found.access_request),
        obligations=obligations_of(found, ask, row.pk),
        approval=dict(found.approval),
    )


def again(row: GuardCall, ask: Ask) -> Answer:
    """The answer that was given to this request before."""
    hold = Hold.objects.filter(pk=row.hold).first() if row.hold else None
    found = Verdict(
        verdict=row.verdict,
        reason=Reason(row.reason),
        because=row.because,
        policy_version=row.policy_version,
        risk=row.risk,
        hold=row.hold,
        run=_id_in(hold.run_ref) if hold else None,
        case=_id_in(hold.case_ref) if hold else None,
        access_request=requestable.handle_for(hold, now=row.asked_at) if row.verdict == "hold" else {},
    )
    return answer_of(row, found, ask)


def obligations_of(found: Verdict, ask: Ask, call: UUID) -> tuple[dict[str, Any], ...]:
    """What the asker's runtime ought to do besides. Told to those that say they can: whoever cannot is refused the call anyway."""
    stops = found.verdict == "deny" and (found.reason in STOPS or found.paused)
    if not stops or TERMINATES not in ask.can_carry_out:
        return ()
    subject = {"type": ask.subject_type, "id": ask.subject}
    return ({"id": f"{TERMINATES}:{call}", "type": TERMINATES, "properties": {"subject": subject, "session": ask.session}},)


def _record(row: GuardCall, found: Verdict, request: str, identity: Identity, session: Session | None, actor: Actor) -> None:
    record(
        "guard.denied" if found.verdict == "deny" else "guard.held",
        row.ref,
        actor=actor,
        about=[
            identity.ref,
            session.ref if session else None,
            *(Ref.to(name, key) for name, key in (("case", found.case), ("run", found.run), ("hold", found.hold)) if key),
        ],
        identity=str(identity),
        session=session.external_id if session else "",
        what=f"{row.tool or row.action}{f' on {row.resource}' if row.resource else ''}",
        question=row.question,
        reason=row.reason,
        because=row.because,
        risk=row.risk,
        policy_version=row.policy_version,
        digest=row.digest,
        request=request,
        at=row.asked_at,
        row=chain.root_of([row]),
    )


def _id_in(ref: str) -> UUID | None:
    return UUID(Ref.parse(ref).id) if ref else None
