"""Exceptions: asking, signing, refusing, revoking, ending, finding the ones that may cover something. They change here and nowhere else.

An exception looks forward: it spares what is decided while it is in force, and touches nothing that was decided before. What it had
spared is looked at again by containment.flow when it is revoked, not when it ends by itself. Lock order: a grant is locked before Case
and Run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Now

from approvals.domain import coverage
from approvals.domain.moves import GRANT
from approvals.models import ExceptionGrant
from approvals.refusals import AlreadyEnded, NotYours
from audit import clock
from audit.record import record, story
from core import masking
from core.actor import CLOCK, Actor, ActorKind
from core.refs import Ref
from core.refusals import BadInput, Fault, Forbidden, Missing

REMIND_BEFORE = timedelta(hours=24)
LONGEST_TEXT = 2000
MOST_RISK = Decimal(1_000_000)
MOST_TIMES = 100_000


@story
def ask(
    *,
    scope: Mapping[str, Any],
    reason: str,
    ticket: str,
    starts_at: datetime,
    ends_at: datetime,
    budget_count: int,
    budget_risk: float | Decimal,
    actor: Actor,
    longest: timedelta,
) -> ExceptionGrant:
    """Ask for an exception. It spares nothing until somebody else signs it. A token asks as its owner."""
    requester = _principal(actor, "exception.ask", program_too=True)
    now = clock.now()
    faults = coverage.faults(scope)
    faults += _faults_of_text(reason, ticket)
    faults += _faults_of_time(starts_at, ends_at, longest=longest, now=now)
    faults += _faults_of_budget(budget_count, budget_risk)
    if faults:
        raise BadInput(faults)
    grant = ExceptionGrant.objects.create(
        scope=dict(scope),
        reason=masking.in_text(reason.strip()),
        ticket=masking.in_text(ticket.strip()),
        requester_id=requester,
        asked_at=now,
        starts_at=starts_at,
        ends_at=ends_at,
        budget_count=budget_count,
        budget_risk=_tenths(budget_risk),
    )
    _record("grant.asked", grant, actor, scope=grant.scope, reason=grant.reason, ticket=grant.ticket, starts_at=starts_at, ends_at=ends_at)
    return grant


@story
def grant(grant_id: UUID, *, actor: Actor, never: Mapping[str, str] | None = None) -> ExceptionGrant:
    """Sign it. Never its requester; `never` names others (principal -> as what), such as the identity that it would spare."""
    found, now = _locked(grant_id), clock.now()
    granter = _another(found, actor, never or {})
    if found.state == "asked" and found.ends_at <= now:
        raise AlreadyEnded(f"This exception would have ended at {found.ends_at:%d %b %H:%M} UTC. Ask for a new one.", state=found.state)
    found.granter_id, found.granted_at = granter, now
    _move(found, "grant", "granter", "granted_at")
    _record(
        "grant.granted",
        found,
        actor,
        scope=found.scope,
        ends_at=found.ends_at,
        budget_count=found.budget_count,
        budget_risk=found.budget_risk,
    )
    return found


@story
def refuse(grant_id: UUID, reason: str, *, actor: Actor) -> ExceptionGrant:
    found = _locked(grant_id)
    _another(found, actor, {})
    return _close(found, "refuse", actor=actor, because=_required(reason))


@story
def withdraw(grant_id: UUID, *, actor: Actor) -> ExceptionGrant:
    """The requester no longer wants what nobody has signed yet."""
    found = _locked(grant_id)
    if _principal(actor, "exception.ask", program_too=True) != found.requester_id:
        raise NotYours("Only the person who asked for an exception can withdraw it.")
    return _close(found, "withdraw", actor=actor, because="no longer wanted")


@story
def revoke(grant_id: UUID, reason: str, *, actor: Actor) -> ExceptionGrant:
    """End it before its time."""
    found = _locked(grant_id)
    _another(found, actor, {})
    return _close(found, "revoke", actor=actor, because=_required(reason))


@story
def end_due(limit: int = 50) -> list[ExceptionGrant]:
    """End the ones whose time has passed. Two sweepers at once share them out."""
    due = ExceptionGrant.objects.filter(state__in=["asked", "granted"], ends_at__lte=Now()).order_by("ends_at")
    found = list(due.select_for_update(skip_locked=True, of=("self",))[:limit])
    return [
        _close(each, "end", actor=CLOCK, because="its time had come" if each.state == "granted" else "nobody signed it in time")
        for each in found
    ]


@story
def remind_due(limit: int = 50, *, before: timedelta = REMIND_BEFORE) -> list[ExceptionGrant]:
    """Once per exception in force: it ends soon."""
    soon = ExceptionGrant.objects.filter(state="granted", reminded_at__isnull=True, ends_at__lte=Now() + before).order_by("ends_at")
    found = list(soon.select_for_update(skip_locked=True, of=("self",))[:limit])
    for each in found:
        each.reminded_at = clock.now()
        each.save(update_fields=["reminded_at"])
        _record("grant.reminded", each, CLOCK, ends_at=each.ends_at)
    return found


def covering(*, identity: str, at: datetime) -> list[ExceptionGrant]:
    """In force at that moment, with budget left, and not for another identity. coverage.covers() says whether one really covers."""
    in_force = Q(state="granted", starts_at__lte=at, ends_at__gt=at) & Q(used_count__lt=F("budget_count"))
    for_it = ~Q(scope__has_key="identity") | Q(scope__identity=identity)
    return list(ExceptionGrant.objects.filter(in_force, for_it).order_by("ends_at", "id"))


@story
def spend(grant_id: UUID, risk: float | Decimal, *, about: Iterable[Ref] = ()) -> bool:
    """Take one containment at this risk out of its budget. False if, now that it is locked, it has ended or too little is left."""
    found, now = _locked(grant_id), clock.now()
    amount = _tenths(risk)
    if not found.in_force(now) or found.used_count >= found.budget_count or found.used_risk + amount > found.budget_risk:
        return False
    found.used_count += 1
    found.used_risk += amount
    found.save(update_fields=["used_count", "used_risk"])
    _record("grant.spent", found, CLOCK, about=about, risk=float(amount), used_count=found.used_count, used_risk=float(found.used_risk))
    return True


def _locked(grant_id: UUID) -> ExceptionGrant:
    found = ExceptionGrant.objects.select_for_update(of=("self",)).filter(pk=grant_id).first()
    if found is None:
        raise Missing("There is no such exception.")
    return found


def _principal(actor: Actor, permission: str, *, program_too: bool = False) -> UUID:
    """As whom the actor counts. Nobody is let in under a placeholder."""
    people = {ActorKind.PERSON, ActorKind.TOKEN} if program_too else {ActorKind.PERSON}
    if actor.kind not in people or not actor.principal:
        raise Forbidden("This takes a person who is signed in.")
    if not actor.may(permission):
        raise Forbidden("Your role does not include this.")
    return UUID(actor.principal)


def _another(found: ExceptionGrant, actor: Actor, never: Mapping[str, str]) -> UUID:
    principal = _principal(actor, "exception.grant")
    if principal == found.requester_id:
        raise NotYours("You asked for this exception, so another manager decides on it.", who_could=["another manager"])
    if as_what := never.get(actor.principal):
        raise NotYours(f"You cannot decide on this exception, being {as_what}. Another manager can.", who_could=["another manager"])
    return principal


def _close(found: ExceptionGrant, move: str, *, actor: Actor, because: str) -> ExceptionGrant:
    found.closed_at, found.closed_because = clock.now(), because
    _move(found, move, "closed_at", "closed_because")
    _record(f"grant.{found.state}", found, actor, reason=because, used_count=found.used_count, used_risk=float(found.used_risk))
    return found


def _move(found: ExceptionGrant, move: str, *fields: str) -> None:
    if found.state in GRANT.endings:
        raise AlreadyEnded(f"This exception was {found.state} at {found.closed_at:%d %b %H:%M:%S} UTC.", state=found.state)
    found.state = GRANT.after(found.state, move)
    found.save(update_fields=["state", *fields])


def _record(verb: str, found: ExceptionGrant, actor: Actor, *, about: Iterable[Ref] = (), **facts: Any) -> None:
    record(verb, found.ref, actor=actor, about=[*about], **facts)


def _required(reason: str) -> str:
    if not reason.strip():
        raise BadInput([Fault("reason", "required", "Say why.")])
    if len(reason) > LONGEST_TEXT:
        raise BadInput([Fault("reason", "too_long", f"At most {LONGEST_TEXT} characters.")])
    return masking.in_text(reason.strip())


def _faults_of_text(reason: str, ticket: str) -> list[Fault]:
    faults = []
    if not reason.strip():
        faults.append(Fault("reason", "required", "Say why it must be spared."))
    for path, text in (("reason", reason), ("ticket", ticket)):
        if len(text) > LONGEST_TEXT:
            faults.append(Fault(path, "too_long", f"At most {LONGEST_TEXT} characters."))
    return faults


def _faults_of_time(starts_at: datetime, ends_at: datetime, *, longest: timedelta, now: datetime) -> list[Fault]:
    if starts_at.tzinfo is None or ends_at.tzinfo is None:
        return [Fault("starts_at" if starts_at.tzinfo is None else "ends_at", "no_time_zone", "Say in which time zone.")]
    faults = []
    if ends_at <= starts_at:
        faults.append(Fault("ends_at", "before_start", "It must end after it starts."))
    elif ends_at - starts_at > longest:
        faults.append(Fault("ends_at", "too_long", f"An exception lasts at most {longest.days} days."))
    if ends_at <= now:
        faults.append(Fault("ends_at", "past", "It would have ended already."))
    return faults


def _faults_of_budget(count: int, risk: float | Decimal) -> list[Fault]:
    faults = []
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MOST_TIMES:
        faults.append(Fault("budget.count", "out_of_range", f"Say how many containments may pass: 1 to {MOST_TIMES}."))
    try:
        amount = _tenths(risk)
    except (InvalidOperation, ValueError, TypeError):
        amount = Decimal(0)
    if not (amount.is_finite() and 0 < amount <= MOST_RISK):
        faults.append(Fault("budget.risk", "out_of_range", "Say how much risk may pass in all, more than 0."))
    return faults


def _tenths(risk: float | Decimal) -> Decimal:
    """Risk is compared and shown to 0.1. Upwards, so that spending never rounds in its own favour."""
    return Decimal(str(risk)).quantize(Decimal("0.1"), rounding=ROUND_UP)
