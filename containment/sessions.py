"""Sessions that a runtime registers with us: registered with an intent, kept alive, narrowed, ended. Who pauses them is gate.py's business.

What a client says of its own role, workflow, tenant or drive, or of how critical its work is, is kept as a claim: it may raise suspicion
and never lowers a verdict. Its intent must lie inside an approved agent profile, and inside what the session may do that it works for.
A session is locked after its identity, and before those that work for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from audit import clock
from audit.record import record, story
from containment import gate, intake, intents, inventory, limits, session_use, speaking
from containment.models import Identity, Session
from containment.refusals import (
    AnotherStopped,
    IdentityContained,
    NoSuchSession,
    NotItsIdentity,
    NotYourSession,
    SessionEnded,
    SessionExists,
    SessionStopped,
    TooManySessions,
    WouldWiden,
)
from core import masking
from core.actor import CLOCK, SYSTEM, Actor
from core.refs import Ref
from core.refusals import BadInput, Fault
from playbooks.models import Run

LONGEST = timedelta(days=30)
MOST_CHILDREN = 50  # that live, of one session
MOST_LIVE = 50  # of one identity: what a profile approves, it approves for each of them
LAPSED_AFTER = timedelta(hours=24)  # a session whose time is over is shown as such for so long, then it is ended
AT_ONCE = 50
_STOPPED = ("paused", "restricted")
_ACTED_ON = ("pending", "running", "verifying", "contained", "partial", "needs_human")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a client says when it begins. `claims` holds role, workflow, tenant, drive, environment and why it is critical, as far as it
    says them. `heartbeat_seconds`: how often it will give a sign of life."""

    provider: str
    subject: str
    kind: str
    name: str
    intent: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    life: timedelta | None = None
    parent: UUID | None = None
    heartbeat_seconds: int | None = None


def register(said: Registration, *, actor: Actor) -> tuple[Session, bool]:
    """The session, and whether it is new. Saying the same again finds the first one. An identity that is contained opens no new session,
    and one that was stopped in a session no other one."""
    with limits.discovering(speaking.source_name(actor)):
        return _register(said, actor)


@story
def _register(said: Registration, actor: Actor) -> tuple[Session, bool]:
    identity = _identity(said, actor)
    earlier = Session.objects.select_for_update(of=("self",)).filter(identity=identity, external_id=said.name).first()
    if earlier is not None and earlier.discovered_at is None:
        return _again(earlier, actor, clock.now()), False
    if Run.objects.filter(identity_ref=str(identity.ref), state__in=_ACTED_ON).exists():
        raise IdentityContained(f"{identity} is contained. It opens no new session until that is undone.")
    _is_no_way_out(identity, earlier)
    parent = _parent(said.parent, actor)
    now = clock.now()
    if faults := intents.faults_of(said.intent, said.life, said.claims.get("environment", ""), parent, now=now):
        raise BadInput(faults)
    session = earlier or Session(identity=identity, external_id=said.name, started_at=now)
    session.parent = parent
    session.intent, session.claimed = masking.in_message(dict(said.intent)), masking.in_message(dict(said.claims))
    session.origin = dict(said.origin)
    session.environment = identity.environment
    session.registered_by = actor.principal
    session.discovered_at, session.last_seen_at = None, now
    session.expires_at = intents.end_of(said.life, parent, now=now)
    session.heartbeat_seconds, session.heartbeat_at = said.heartbeat_seconds, now
    if parent is not None:
        _stand_as(session, parent, now)
    session.save()
    if said.intent:
        session_use.begin(session, intents.named_in(said.intent))
    record(
        "session.registered",
        session.ref,
        actor=actor,
        about=[identity.ref, *_refs(parent)],
        session=said.name,
        intent=session.intent,
        claims=session.claimed,
    )
    return session, True


@story
def keep(session_id: UUID, *, actor: Actor, intent: Mapping[str, Any] | None = None, life: timedelta | None = None) -> Session:
    """A sign of life; with `intent` or `life`, less than before. More than before takes an approval, not a request."""
    session = _own(session_id, actor)
    now = clock.now()
    if session.ended_at is not None:
        raise SessionEnded(f"The session {session.external_id} ended at {session.ended_at:%H:%M:%S} UTC.")
    session.last_seen_at = session.heartbeat_at = now
    if intent is not None:
        if faults := intents.faults_of_form(intent):
            raise BadInput(faults)
        if wider := intents.wider(intent, session):
            raise WouldWiden(f"That would widen the session: {', '.join(wider)}.", paths=wider)
        task = {"task": session.intent["task"]} if "task" in session.intent else {}
        session.intent = masking.in_message(dict(intent)) | task
    if life is not None:
        _shorten(session, now + life, actor)
    session.save(update_fields=["last_seen_at", "heartbeat_at", "intent", "expires_at"])
    if intent is not None or life is not None:
        record("session.narrowed", session.ref, actor=actor, about=[session.identity.ref], session=session.external_id, intent=intent)
    return session


@story
def end(session_id: UUID, *, actor: Actor) -> Session:
    """Ending twice ends once. Those that work for it end with it. One that was stopped waits for people: else whoever was stopped would end
    it and begin anew."""
    session = _own(session_id, actor)
    if session.ended_at is None:
        if (stopped := _stopped_among(session)) is not None:
            raise SessionStopped(
                f"The session {stopped.external_id} is {stopped.gate}{_why(stopped)}. It can end once people let it go on."
            )
        _end(session, clock.now(), actor, "its client ended it")
    return session


def _due(now: datetime) -> list[UUID]:
    late = Session.objects.filter(ended_at__isnull=True, discovered_at__isnull=True, gate="active", expires_at__lt=now - LAPSED_AFTER)
    return list(late.order_by("expires_at").values_list("pk", flat=True)[:AT_ONCE])


def lapse_due() -> int:
    """End the sessions whose time has been over for long, a few at a time. One that was stopped stays until people let it go on."""
    return sum(_lapse(key) for key in _due(clock.now()))


@story
def _lapse(session_id: UUID) -> int:
    session = Session.objects.select_for_update(of=("self",), skip_locked=True).select_related("identity").filter(pk=session_id).first()
    now = clock.now()
    if session is None or session.ended_at is not None or session.expires_at is None or session.expires_at >= now - LAPSED_AFTER:
        return 0
    _end(session, now, CLOCK, "its time was over")
    return 1


def _end(session: Session, now: datetime, actor: Actor, because: str) -> None:
    session.ended_at = now
    session.gate, session.gate_because = "ended", because
    session.save(update_fields=["ended_at", "gate", "gate_because"])
    session_use.forget(session)
    record("session.ended", session.ref, actor=actor, about=[session.identity.ref], session=session.external_id, because=because)
    for child in _live_children(session):
        _end(child, now, actor, f"the session {session.external_id}, which it worked for, has ended")


def _stopped_among(session: Session) -> Session | None:
    """It, or the first of those that work for it, that was stopped."""
    if session.gate in _STOPPED:
        return session
    return next((stopped for child in _live_children(session) if (stopped := _stopped_among(child)) is not None), None)


def _shorten(session: Session, until: datetime, actor: Actor) -> None:
    """A session that works for it does not outlive it."""
    if session.expires_at is not None and until > session.expires_at:
        raise WouldWiden(f"The session ends at {session.expires_at:%Y-%m-%d %H:%M:%S} UTC and does not get longer.", paths=["ttl_seconds"])
    session.expires_at = until
    for child in _live_children(session):
        if child.expires_at is None or child.expires_at > until:
            _shorten(child, until, actor)
            child.save(update_fields=["expires_at"])
            record("session.narrowed", child.ref, actor=actor, about=[child.identity.ref], session=child.external_id, intent=None)


def _live_children(session: Session) -> list[Session]:
    rows = session.children.select_for_update(of=("self",)).select_related("identity").filter(ended_at__isnull=True)
    return list(rows.order_by("pk"))


def _identity(said: Registration, actor: Actor) -> Identity:
    """Locked first, as everywhere. Whoever is bound to one identity begins sessions of others only to work for a session of its own."""
    identity = intake.find_identity(said.provider, said.subject)
    if not speaking.is_its_own(actor, identity) and not _works_for_its_own(said, actor):
        who = identity or f"{said.provider}/{said.subject}"
        raise NotItsIdentity(
            f"This token begins sessions of one agent, which is not {who}, and of others only to work for a session of that one."
        )
    if identity is None:
        limits.may_discover(speaking.source_name(actor))
        now = clock.now()
        identity, made = Identity.objects.get_or_create(
            provider=said.provider,
            subject=said.subject,
            defaults={"kind": said.kind, "discovered_at": now, "discovered_by": speaking.source_name(actor), "created_at": now},
        )
        if made:
            record("identity.discovered", identity.ref, actor=SYSTEM, identity=str(identity), kind=identity.kind)
    return inventory.lock(identity.pk)


def _works_for_its_own(said: Registration, actor: Actor) -> bool:
    parent = Session.objects.select_related("identity").filter(pk=said.parent).first() if said.parent else None
    return parent is not None and speaking.works_for_its_own(actor, parent)


def _is_no_way_out(identity: Identity, earlier: Session | None) -> None:
    """Under the lock of the identity. `earlier`: what somebody told of this very session, which may be taken over if it lives; stopped, it
    stays stopped."""
    if earlier is not None and earlier.ended_at is not None:
        raise SessionEnded(f"The session {earlier.external_id} ended at {earlier.ended_at:%H:%M:%S} UTC. Begin one with another id.")
    others = Session.objects.filter(identity=identity, ended_at__isnull=True)
    others = others.exclude(pk=earlier.pk) if earlier is not None else others
    stopped = others.filter(gate__in=_STOPPED).order_by("gated_at").first()
    if stopped is not None:
        raise AnotherStopped(
            f"The session {stopped.external_id} of {identity} is {stopped.gate}{_why(stopped)}. No other one begins before that is decided:"
            " a manager lets it go on, or whoever answers its case does, in the console. Ask the owner of this agent to see to it."
        )
    now = clock.now()
    live = others.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), discovered_at__isnull=True)
    if live.count() >= MOST_LIVE:
        raise TooManySessions(f"{MOST_LIVE} sessions of {identity} live already. End one first, or begin them with a time to live.")


def _why(session: Session) -> str:
    return f": {session.gate_because.rstrip('.')}" if session.gate_because else ""


def _again(session: Session, actor: Actor, now: datetime) -> Session:
    if session.registered_by != actor.principal:
        raise SessionExists(f"There is a session {session.external_id} of this identity already.")
    if session.ended_at is not None:
        raise SessionEnded(f"The session {session.external_id} ended at {session.ended_at:%H:%M:%S} UTC. Begin one with another id.")
    session.last_seen_at = session.heartbeat_at = now
    session.save(update_fields=["last_seen_at", "heartbeat_at"])
    return session


def _parent(parent_id: UUID | None, actor: Actor) -> Session | None:
    """Locked, so that whoever closes it meanwhile finds the child, or the child finds it closed. Only who registered it puts others to work
    for it: a stranger's child would use up what it may, and end its own work with it."""
    if parent_id is None:
        return None
    parent = Session.objects.select_for_update(of=("self",)).select_related("identity").filter(pk=parent_id).first()
    if parent is None:
        raise BadInput([Fault("parent", "unknown", "There is no such session.")])
    if parent.registered_by != actor.principal or parent.discovered_at is not None:
        raise NotYourSession("Only who registered a session can have others work for it.")
    if parent.ended_at is not None:
        raise SessionEnded("The session that this one belongs to has ended.")
    if parent.expires_at is not None and parent.expires_at <= clock.now():
        raise SessionEnded(f"The time of the session that this one belongs to was over at {parent.expires_at:%H:%M:%S} UTC.")
    if len(session_use.ancestors(parent)) + 1 >= session_use.DEEPEST:
        raise BadInput([Fault("parent", "too_deep", f"At most {session_use.DEEPEST} sessions work for each other in a row.")])
    if parent.children.filter(ended_at__isnull=True).count() >= MOST_CHILDREN:
        raise TooManySessions(f"{MOST_CHILDREN} live sessions work for {parent.external_id} already. End one first.")
    return parent


def _stand_as(session: Session, parent: Session, now: datetime) -> None:
    """A child of a closed session begins closed, and opens with it. What was closed by itself before, more strictly, stays as it is."""
    if gate.STRICTER.index(parent.gate) > gate.STRICTER.index(session.gate):
        session.gate_before = gate.seen_of(session) if session.gate != "active" else {}
        session.gate, session.gate_because = parent.gate, parent.gate_because
        session.gate_allows, session.gate_key, session.gated_at = parent.gate_allows, parent.gate_key, now


def _refs(session: Session | None) -> list[Ref]:
    return [session.ref] if session is not None else []


def _own(session_id: UUID, actor: Actor) -> Session:
    session = Session.objects.select_for_update(of=("self",)).select_related("identity").filter(pk=session_id).first()
    if session is None:
        raise NoSuchSession("There is no such session.")
    if session.registered_by != actor.principal:
        raise NotYourSession("Only who registered a session can change or end it.")
    if not speaking.works_for_its_own(actor, session):
        raise NotItsIdentity(f"This token speaks for one agent, and the session {session.external_id} is {session.identity}'s.")
    return session
