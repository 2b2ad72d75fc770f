"""Access requests: asking, following a hold, cancelling, using and revoking. An AccessRequest changes here and nowhere else.

Called inside a story, with the hold locked already: the order is Hold, then request. A request waits for one hold and ends with it, in the
same story. Its asker is known by its principal and its token; nobody else learns that it exists.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q

from approvals.domain import calls
from approvals.domain.moves import REQUEST
from approvals.models import AccessRequest, GroupMember, Hold
from approvals.models.request import APPROVAL, TASK, key_of
from approvals.refusals import AlreadyEnded, KeyUsedOtherwise, NotYours
from audit import clock
from audit.record import record, story
from core import masking
from core.actor import SYSTEM, Actor
from core.ids import uuid7
from core.refusals import BadInput, Fault, Missing

LONGEST_REASON = 2000
_ENDED = {
    "approved": "was approved",
    "denied": "was refused",
    "expired": "expired, because nobody answered",
    "cancelled": "was cancelled",
    "failed": "could not be decided",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks people for: one call. `run_ref` is the run that waits because of it, if one does. `never` says whose word counts
    nothing, by principal, and as what."""

    evaluation: UUID
    question: str
    asks: Mapping[str, Any]
    identity_ref: str
    run_ref: str = ""
    body_digest: str
    key: str = ""
    justification: str = ""
    emergency: bool = False
    wanted_until: datetime | None = None
    client: Mapping[str, Any] = field(default_factory=dict)
    never: Mapping[str, str] = field(default_factory=dict)
    uses_max: int | None = 1


def repeated(key: str, body_digest: str, *, actor: Actor) -> AccessRequest | None:
    """The request that was sent under this key before. KeyUsedOtherwise where the key stands for something else."""
    first = AccessRequest.objects.select_related("hold").filter(**_mine(actor), key=key).first() if key else None
    if first is not None and first.body_digest != body_digest:
        raise KeyUsedOtherwise("This Idempotency-Key was used for another request. Use a new one for a new request.", task=first.handle)
    return first


def waiting(question: str, *, actor: Actor) -> AccessRequest | None:
    """The request about the same call that waits already."""
    return AccessRequest.objects.select_related("hold").filter(**_mine(actor), question=question, state="pending").first()


def is_mine(request: AccessRequest, actor: Actor) -> bool:
    return (request.principal, request.asker) == (actor.principal, actor.asker)


def _mine(actor: Actor) -> dict[str, str]:
    return {"principal": actor.principal, "asker": actor.asker}


@story
def ask(wish: Wish, hold: Hold, *, actor: Actor) -> AccessRequest:
    """One more call waits for this hold, which is locked. AlreadyEnded where people have answered: nobody of them has read this call."""
    if not hold.is_open:
        raise AlreadyEnded("People are not asked about that any more.", state=hold.state)
    request = AccessRequest.objects.create(
        **_mine(actor),
        asked_by=actor.name,
        key=wish.key,
        body_digest=wish.body_digest,
        evaluation=wish.evaluation,
        question=wish.question,
        asks=dict(wish.asks),
        justification=masking.in_text(wish.justification),
        emergency=wish.emergency,
        wanted_until=wish.wanted_until,
        client=dict(wish.client),
        never=dict(wish.never),
        uses_max=wish.uses_max,
        identity_ref=wish.identity_ref,
        run_ref=wish.run_ref,
        hold=hold,
        asked_at=clock.now(),
    )
    record(
        "request.asked",
        request.ref,
        actor=actor,
        about=request.about,
        what=request.asks.get("what", ""),
        justification=request.justification,
        question=request.question,
        emergency=request.emergency,
    )
    return found(request.pk)


def settle(hold: Hold, *, actor: Actor, now: datetime, read: Collection[UUID] = ()) -> None:
    """The hold has ended (or moved on): so has, in the same story, whatever waited for it. `read`: the calls that whoever answered had on
    the screen. Of those that wait for a run, nobody's yes is about any other."""
    if hold.state in ("open", "superseded"):
        return
    for request in AccessRequest.objects.select_for_update(of=("self",)).filter(hold=hold, state="pending").order_by("id"):
        request.hold = hold
        until = calls.ends(request.wanted_until, now=now)
        move = calls.follows(hold.state, about_a_call=hold.asks_about_a_call, word_counts=_word_counts(request, hold), until=until, now=now)
        if move == "approve" and not hold.asks_about_a_call and request.pk not in read:
            _end(request, "fail", because="Whoever answered had not read this call. Ask again.", actor=actor, now=now)
        elif move is not None:
            _end(request, move, because=_because(hold, move), actor=actor, now=now, until=until if move == "approve" else None)


def follow(hold: Hold) -> None:
    """This hold asks about a run that others asked about before: whoever waits for that run waits for this hold now."""
    if hold.run_ref:
        AccessRequest.objects.filter(run_ref=hold.run_ref, state="pending").exclude(hold=hold).update(hold=hold)


def follow_group(hold: Hold, run_refs: Sequence[str]) -> None:
    """These runs are asked about in another group now."""
    AccessRequest.objects.filter(run_ref__in=run_refs, state="pending").update(hold=hold)


@story
def nobody_answers(run_ref: str, because: str) -> None:
    """People are not asked about this run any more, and nobody said anything about the calls that waited for it."""
    waiting = AccessRequest.objects.select_for_update(of=("self",)).select_related("hold").filter(run_ref=run_ref, state="pending")
    for request in waiting.order_by("id"):
        _end(request, "fail", because=because, actor=SYSTEM, now=clock.now())


@story
def cancel(request_id: UUID, *, actor: Actor, because: str) -> AccessRequest:
    """Its asker wants it no longer. The hold is locked; what becomes of that is the caller's business."""
    request = AccessRequest.objects.select_for_update(of=("self",)).select_related("hold").get(pk=request_id)
    if not request.waits:
        raise AlreadyEnded(how_it_ended(request), state=request.state)
    return _end(request, "cancel", because=masking.in_text(because), actor=actor, now=clock.now())


@story
def revoke(request_id: UUID, because: str, *, actor: Actor) -> AccessRequest:
    """The approval counts no more, from this moment. What was done under it is done. Taking a yes back is open to whoever answers holds."""
    if not actor.is_person or not actor.may("hold.answer"):
        raise NotYours("An approval is revoked by a person who answers holds.")
    if not because.strip() or len(because) > LONGEST_REASON:
        raise BadInput([Fault("reason", "required", f"Say why, in at most {LONGEST_REASON} characters.")])
    request = AccessRequest.objects.select_for_update(of=("self",)).select_related("hold").filter(pk=request_id, state="approved").first()
    if request is None:
        raise Missing("There is no such approval.")
    if request.revoked_at is None:
        request.revoked_at, request.revoked_because = clock.now(), masking.in_text(because)
        request.save(update_fields=["revoked_at", "revoked_because"])
        record("request.revoked", request.ref, actor=actor, about=request.about, what=request.asks.get("what", ""), because=because)
    return request


@story
def use(request_id: UUID, *, now: datetime, actor: Actor, evaluation: UUID | None = None) -> bool:
    """One call is made under this approval. False where it covers no more: used up, over or revoked, by the row as it is now."""
    left = Q(uses_max__isnull=True) | Q(uses__lt=F("uses_max"))
    covering = AccessRequest.objects.filter(left, pk=request_id, state="approved", revoked_at__isnull=True, approved_until__gt=now)
    if not covering.update(uses=F("uses") + 1):
        return False
    request = found(request_id)
    record(
        "request.used",
        request.ref,
        actor=actor,
        about=request.about,
        what=request.asks.get("what", ""),
        uses=request.uses,
        of=request.uses_max or "any number",
        evaluation=str(evaluation or ""),
    )
    return True


def of_task(handle: object, *, actor: Actor) -> AccessRequest | None:
    """The request behind `arq_…`; None where there is none, or it is somebody else's."""
    key = key_of(handle, TASK)
    return AccessRequest.objects.select_related("hold").filter(pk=key, **_mine(actor)).first() if key else None


def ended(handles: Collection[str]) -> list[str]:
    """Those of these `arq_…` that wait for nobody's word any more."""
    keys = [key for handle in handles if (key := key_of(handle, TASK))]
    return [request.handle for request in AccessRequest.objects.filter(pk__in=keys).exclude(state="pending").only("id")]


def of_approval(handle: object) -> AccessRequest | None:
    key = key_of(handle, APPROVAL)
    return AccessRequest.objects.select_related("hold").filter(approval=key).first() if key else None


def found(request_id: UUID) -> AccessRequest:
    return AccessRequest.objects.select_related("hold").get(pk=request_id)


def adrift(limit: int = 50) -> list[UUID]:
    """Holds that ended, or groups that a run has left, while a request still names them: nobody will answer it there."""
    left = GroupMember.objects.filter(hold=OuterRef("hold"), run_ref=OuterRef("run_ref"), state="left")
    gone = ~Q(hold__state="open") | Q(Exists(left))
    return list(AccessRequest.objects.filter(gone, state="pending").order_by("id").values_list("id", flat=True)[:limit])


@story
def set_adrift_right(request_id: UUID) -> bool:
    """Where another hold asks about its run by now, it waits for that; else it ends."""
    request = AccessRequest.objects.select_related("hold").filter(pk=request_id, state="pending").first()
    if request is None:
        return False
    other = Hold.objects.select_for_update(of=("self",)).filter(run_ref=request.run_ref, state="open", grouped=False).first()
    if request.run_ref and other is not None:
        follow(other)
    else:
        locked = AccessRequest.objects.select_for_update(of=("self",)).filter(pk=request_id, state="pending").first()
        if locked is None:
            return False
        locked.hold = request.hold
        _end(locked, "fail", because="People are not asked about it any more.", actor=SYSTEM, now=clock.now())
    return True


def how_it_ended(request: AccessRequest) -> str:
    return f"This request {_ENDED[request.state]} at {request.closed_at:%H:%M:%S} UTC."


def _word_counts(request: AccessRequest, hold: Hold) -> bool:
    """Did somebody answer who may decide about this call? Who owns the agent, or asked, may leave a run alone but allows no call."""
    word = "approve" if hold.asks_about_a_call else "reject"
    return hold.answers.filter(word=word).exclude(principal__in=list(request.never)).exists()


def _because(hold: Hold, move: calls.Move) -> str:
    """In words for whoever asked: what happened, and no names."""
    match move:
        case "approve":
            return "People allowed this call."
        case "deny" if hold.asks_about_a_call:
            return "People refused this call."
        case "deny":
            return "People decided to contain it."
        case "expire":
            return "Nobody answered in time; that is neither a yes nor a no."
    if hold.state == "withdrawn":
        return "People are not asked about it any more."
    return "Whoever answered owns the agent or asked for this, and cannot decide about the call."


def _end(request: AccessRequest, move: str, *, because: str, actor: Actor, now: datetime, until: datetime | None = None) -> AccessRequest:
    request.state = REQUEST.after(request.state, move)
    request.closed_at, request.closed_because = now, because
    if until is not None:
        request.approval, request.approved_until = uuid7(), until
    request.save(update_fields=["state", "closed_at", "closed_because", "approval", "approved_until"])
    record(
        f"request.{request.state}",
        request.ref,
        actor=actor,
        about=request.about,
        what=request.asks.get("what", ""),
        because=because,
        until=until,
        question=request.question,
    )
    return request
