"""What a held call can become: the handle by which people are asked, asking them, and what an approval that is shown is worth.

A denial can be asked about for a while. Where a run waits already, whoever asks waits for that hold; where a scope rule wants the word of
people, asking opens a hold for this call alone. `check` says what a shown approval is worth; `use` counts the call, last of all. A program
only ever asks: nothing here answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import IntegrityError

from approvals import holds, requests
from approvals.domain import calls
from approvals.models import AccessRequest, GroupMember, Hold
from approvals.models.hold import ACCESS_REQUEST
from approvals.requests import Wish
from audit import clock
from audit.record import story
from containment import inventory, reviewers, speaking
from containment.models import Identity
from core import masking
from core.actor import Actor
from core.digest import canonical, digest
from core.refusals import Refusal
from guard import question as questions
from guard.answers import Reason
from guard.models import GuardCall
from sources.asking import Ask

ENDPOINT = "/access/v1/requests"
REQUESTABLE = timedelta(minutes=10)  # after a denial, and as long as its hold is open
SKEW = timedelta(seconds=30)
PATIENCE = timedelta(minutes=30)  # each group of reviewers
MOST_WAITING = 20  # requests of one asker about one identity
MOST_SHOWN = 16 * 1024  # bytes of arguments on a page
ASK_AGAIN_S = 5

NextAction = Literal["", "request", "retry", "none"]


class NotRequestable(Refusal):
    """People cannot be asked about this."""

    code = "not_requestable"
    kind = "malformed"


class ExpiredDenial(Refusal):
    code = "expired_denial"


class InvalidBinding(Refusal):
    """It does not belong to the denial that it names."""

    code = "invalid_denial_binding"
    kind = "malformed"


class UnknownTask(Refusal):
    code = "unknown_task"
    kind = "missing"


class InvalidTaskState(Refusal):
    code = "invalid_task_state"


class TooManyWait(Refusal):
    code = "too_many_requests"
    kind = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a program sends to have people asked. `denied`: the evaluation it was denied by; `expires_at`: as it was told then."""

    ask: Ask
    denied: str
    expires_at: datetime
    body_digest: str
    key: str = ""
    justification: str = ""
    wanted_until: datetime | None = None
    emergency: bool = False
    client: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an approval that was shown is worth. `approval`: the members that the answer repeats. `run`: the one about which people said
    "leave it running"; empty where a scope rule wanted their word. It covers what they were asked because of, and nothing later."""

    good: bool
    reason: Reason
    because: str
    told: str
    next_action: NextAction = ""
    retry_after: int | None = None
    approval: Mapping[str, Any] = field(default_factory=dict)
    request: UUID | None = None
    run: str = ""


# -- the handle --------------------------------------------------------------------------------------------------------------------------


def handle_for(hold: Hold | None = None, *, now: datetime) -> dict[str, Any]:
    """The member `access_request` of an answer: people can be asked. `hold`: they are asked already, about the run that waits.
    Where to ask stands in the metadata."""
    until = now + REQUESTABLE if hold is None else max(hold.deadline, now + REQUESTABLE)
    waits = (
        "People are asked already. Submit this call to wait for their word." if hold else "People can allow this. Submit it to ask them."
    )
    return {
        "template": "approval" if hold is None else "hold",
        "expires_at": moment(until),
        "display": {"title": "Ask people about this call", "description": waits},
    }


def scope_of(question_digest: str, ask: Ask, session: UUID | None) -> str:
    """What an approval is bound to: who wants what on what with which arguments, in which session, environment and tenant."""
    return digest({"question": question_digest, "session": str(session or ""), "environment": ask.environment, "tenant": ask.tenant})


# -- an approval is shown ----------------------------------------------------------------------------------------------------------------


def check(ask: Ask, question_digest: str, actor: Actor, now: datetime, *, session: UUID | None = None) -> Shown:
    """What `ask.approval` is worth for exactly this call of exactly this asker. Uses nothing up. `session`: the one that the call was found
    to belong to, by its id."""
    shown = ask.approval.get("id")
    request = requests.of_approval(shown)
    if request is None and (waiting := requests.of_task(shown, actor=actor)) is not None and waiting.waits:
        return _pending(waiting)
    if request is None or not requests.is_mine(request, actor) or not _unchanged(ask.approval, request):
        return _no(
            Reason.APPROVAL_UNVERIFIABLE, "No approval like the one shown was given to this asker.", "That approval is not known.", "none"
        )
    if request.question != scope_of(question_digest, ask, session):
        because = f"The approval {request.approval_handle} is about another call: {request.asks['what']}."
        return _no(Reason.APPROVAL_ELSEWHERE, because, "The approval is for something else. Ask about this.", "request", request)
    if why := _over(request, now):
        return _no(
            Reason.APPROVAL_EXPIRED, f"The approval {request.approval_handle} {why}.", f"The approval {why}. Ask again.", "request", request
        )
    return Shown(
        good=True,
        reason=Reason.APPROVED,
        because=f"People allowed exactly this call ({request.approval_handle}).",
        told="People allowed this.",
        approval={"id": request.approval_handle, "approved_until": moment(request.approved_until)},
        request=request.pk,
        run=request.run_ref,
    )


def use(shown: Shown, *, now: datetime, actor: Actor, evaluation: UUID | None = None) -> Shown:
    """Count the call under its approval, inside the story that allows it. Of several at once, as many stay good as the approval covers."""
    if not shown.good or shown.request is None:
        return shown
    if requests.use(shown.request, now=now, actor=actor, evaluation=evaluation):
        return shown
    request = requests.found(shown.request)
    why = _over(request, now) or "was used"
    return _no(
        Reason.APPROVAL_EXPIRED, f"The approval {request.approval_handle} {why}.", f"The approval {why}. Ask again.", "request", request
    )


def _pending(request: AccessRequest) -> Shown:
    return Shown(
        good=False,
        reason=Reason.APPROVAL_PENDING,
        because=f"Nobody has answered {request.handle} yet, and that is no approval.",
        told="People have not answered yet.",
        next_action="retry",
        retry_after=ASK_AGAIN_S,
        request=request.pk,
    )


def _no(reason: Reason, because: str, told: str, next_action: NextAction, request: AccessRequest | None = None) -> Shown:
    return Shown(good=False, reason=reason, because=because, told=told, next_action=next_action, request=request.pk if request else None)


def _unchanged(shown: Mapping[str, Any], request: AccessRequest) -> bool:
    """Whatever members it was given stand there as they were given."""
    return all(shown.get(name, value) == value for name, value in approval_of(request).items())


def _over(request: AccessRequest, now: datetime) -> str:
    if request.revoked_at is not None:
        return "was revoked"
    if request.approved_until is None or now >= request.approved_until:
        return "is over"
    return "was used" if request.uses_max is not None and request.uses >= request.uses_max else ""


def approval_of(request: AccessRequest) -> dict[str, Any]:
    """As its asker gets it, and shows it."""
    return {
        "id": request.approval_handle,
        "approved_at": moment(request.closed_at),
        "approved_until": moment(request.approved_until),
    }


# -- people are asked --------------------------------------------------------------------------------------------------------------------


def submit(asked: Submission, *, actor: Actor) -> tuple[AccessRequest, bool]:
    """The task, and whether it is a new one. The same key and body again, or the same call while it waits: the first task."""
    try:
        return _submitted(asked, actor)
    except IntegrityError:  # the same key from two places in the same instant: the other one is there now
        return _submitted(asked, actor)


@story
def _submitted(asked: Submission, actor: Actor) -> tuple[AccessRequest, bool]:
    if first := requests.repeated(asked.key, asked.body_digest, actor=actor):
        return first, False
    call = _denial(asked, actor)
    identity = inventory.lock(call.identity)
    scope = scope_of(call.question, asked.ask, call.session)
    if first := requests.waiting(scope, actor=actor):
        return first, False
    now = clock.now()
    hold = _hold_of(call)
    _still_requestable(asked, call, hold, now)
    _not_too_many(identity, actor)
    wish = _wish(asked, call, identity, hold, scope, actor)
    return requests.ask(wish, hold or _open(wish, call, identity, actor, now), actor=actor), True


@story
def cancel(handle: str, *, actor: Actor, because: str) -> AccessRequest:
    """The asker wants it no longer. A hold that asks about this call alone is withdrawn; one of a case goes on."""
    request = task(handle, actor=actor)
    if not request.waits:
        raise InvalidTaskState(requests.how_it_ended(request))
    hold = Hold.objects.select_for_update(of=("self",)).get(pk=request.hold_id)
    request = task(handle, actor=actor)
    if not request.waits:
        raise InvalidTaskState(requests.how_it_ended(request))
    cancelled = requests.cancel(request.pk, actor=actor, because=because)
    if hold.asks_about_a_call and hold.is_open:
        holds.withdraw(hold.pk, f"{actor.name} does not want it any more.", actor=actor)
    return cancelled


def task(handle: str, *, actor: Actor) -> AccessRequest:
    """UnknownTask for somebody else's as well: who may not see it does not learn that there is one."""
    request = requests.of_task(handle, actor=actor)
    if request is None:
        raise UnknownTask("You have no such task.")
    return request


def _denial(asked: Submission, actor: Actor) -> GuardCall:
    call = GuardCall.objects.filter(pk=key).first() if (key := _uuid(asked.denied)) else None
    if call is None or (call.principal, call.asker) != (actor.principal, actor.asker):
        raise InvalidBinding("`denial.evaluation_id` names no evaluation of yours.")
    speaking.must_be_its_own(actor, Identity.objects.filter(pk=call.identity).first())
    if call.question != questions.digest_of(asked.ask):
        raise InvalidBinding(
            "That evaluation was about something else. Repeat its subject, action, resource and arguments as they were, and its context."
        )
    if call.verdict != "hold":
        raise NotRequestable("That answer offered no access request: people cannot be asked about it.")
    return call


def _hold_of(call: GuardCall) -> Hold | None:
    """The hold that the denial named, locked; where that was replaced, the one that asks about the same run now."""
    if call.hold is None:
        return None
    hold = Hold.objects.select_for_update(of=("self",)).filter(pk=call.hold).first()
    if hold is None or hold.state != "superseded" or not hold.run_ref:
        return hold
    later = Hold.objects.select_for_update(of=("self",)).filter(run_ref=hold.run_ref, opened_at__gte=hold.opened_at).exclude(pk=hold.pk)
    return later.order_by("-opened_at").first() or hold


def _still_requestable(asked: Submission, call: GuardCall, hold: Hold | None, now: datetime) -> None:
    until = call.asked_at + REQUESTABLE
    if hold is not None and hold.is_open:
        until = max(until, hold.deadline)
    if now > until or now > asked.expires_at + SKEW:
        raise ExpiredDenial("That denial is too old to ask about. Ask the guard again.")
    if hold is not None and not hold.is_open:
        raise ExpiredDenial("People are not asked about that any more, and nobody has read this call. Ask the guard again.")
    if asked.wanted_until is not None and asked.wanted_until <= now:
        raise NotRequestable("`requested_access.requested_until` has passed already.")


def _not_too_many(identity: Identity, actor: Actor) -> None:
    waiting = AccessRequest.objects.filter(principal=actor.principal, identity_ref=str(identity.ref), state="pending")
    if waiting[: MOST_WAITING + 1].count() >= MOST_WAITING:
        raise TooManyWait(f"{MOST_WAITING} requests of yours about {identity.label} wait for people. Wait for one of them to end.")


def _wish(asked: Submission, call: GuardCall, identity: Identity, hold: Hold | None, scope: str, actor: Actor) -> Wish:
    ask = asked.ask
    once = hold is not None or call.writes is not False
    return Wish(
        evaluation=call.pk,
        question=scope,
        asks=_shown(ask, identity, call),
        identity_ref=str(identity.ref),
        run_ref=_run_of(hold, identity),
        body_digest=asked.body_digest,
        key=asked.key,
        justification=asked.justification,
        emergency=asked.emergency,
        wanted_until=asked.wanted_until,
        client=masking.in_values(dict(asked.client))[0],
        never=reviewers.never_of_call(identity, requester=actor),
        uses_max=1 if once else None,
    )


def _run_of(hold: Hold | None, identity: Identity) -> str:
    if hold is None or not hold.grouped:
        return hold.run_ref if hold else ""
    member = GroupMember.objects.filter(hold=hold, identity_ref=str(identity.ref)).exclude(state="left").order_by("-seq").first()
    return member.run_ref if member else ""


def _shown(ask: Ask, identity: Identity, call: GuardCall) -> dict[str, Any]:
    """What people read before they say yes or no, without secrets."""
    arguments = masking.in_values(dict(ask.arguments))[0]
    size = len(canonical(arguments))
    shown: dict[str, Any] = {
        "what": f"{ask.tool or ask.action_name} on {ask.resource}" if ask.tool != ask.resource else ask.tool,
        "who": str(identity),
        "action": ask.action_name,
        "tool": ask.tool,
        "resource_type": ask.resource_type,
        "resource": ask.resource,
        "arguments": arguments if size <= MOST_SHOWN else {"too long to show": f"{size} bytes"},
        "writes": call.writes,
        "session": ask.session,
        "environment": ask.environment,
        "tenant": ask.tenant,
    }
    return {name: value for name, value in shown.items() if value not in ("", None, {})}


def _open(wish: Wish, call: GuardCall, identity: Identity, actor: Actor, now: datetime) -> Hold:
    """A hold for this call alone. Silence never allows it."""
    wanted = wish.wanted_until
    plan = {
        "call": dict(wish.asks),
        "scope": wish.question,
        "covers": "one call" if wish.uses_max == 1 else "every such call",
        "until": moment(min(wanted, now + calls.LONGEST)) if wanted else "",
        "minutes": 0 if wanted else round(calls.LASTS.total_seconds() / 60),
        "justification": masking.in_text(wish.justification),
        "emergency": wish.emergency,
        "asked_by": actor.name,
        "client": dict(wish.client),
    }
    return holds.open(
        run_ref="",
        case_ref="",
        identity_ref=str(identity.ref),
        title=str(wish.asks["what"]),
        because=call.because or "A scope rule wants a person's word for it.",
        reason_class=ACCESS_REQUEST,
        plan=plan,
        plan_digest=digest(plan),
        terms=reviewers.for_call(identity, never=wish.never),
        patience=PATIENCE,
        on_lapse="escalate",
        in_the_end="release",
        actor=actor,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def moment(at: datetime | None) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""
