"""Sessions that a runtime registers with us: registered with an intent, kept alive, narrowed, ended. Who pauses them is gate.py's business.

What a client says of its own role, workflow, tenant or drive is kept as a claim: it may raise suspicion and never lowers a verdict. Its
intent must lie inside an approved agent profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from audit import clock
from audit.record import record, story
from containment import documents, intake, inventory, session_use
from containment.models import Identity, Session, WorkDocument
from containment.refusals import IdentityContained, NoSuchSession, NotYourSession, SessionEnded, SessionExists, WouldWiden
from core import masking
from core.actor import SYSTEM, Actor
from core.refusals import BadInput, Fault
from playbooks.models import Run

LONGEST = timedelta(days=30)
LISTS = ("tools", "resources", "environments")
_ACTED_ON = ("pending", "running", "verifying", "contained", "partial", "needs_human")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a client says when it begins. `claims` holds role, workflow, tenant and drive, as far as it says them."""

    provider: str
    subject: str
    kind: str
    name: str
    intent: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    life: timedelta | None = None
    parent: UUID | None = None


@story
def register(said: Registration, *, actor: Actor) -> tuple[Session, bool]:
    """The session, and whether it is new. Saying the same again finds the first one. An identity that is contained opens no new session."""
    identity = _identity(said, actor)
    now = clock.now()
    earlier = Session.objects.select_for_update(of=("self",)).filter(identity=identity, external_id=said.name).first()
    if earlier is not None and earlier.discovered_at is None:
        return _again(earlier, actor, now), False
    if Run.objects.filter(identity_ref=str(identity.ref), state__in=_ACTED_ON).exists():
        raise IdentityContained(f"{identity} is contained. It opens no new session until that is undone.")
    if faults := _faults_of_intent(said):
        raise BadInput(faults)
    session = earlier or Session(identity=identity, external_id=said.name, started_at=now)
    session.parent = _parent(said.parent)
    session.intent, session.claimed, session.origin = masking.in_message(dict(said.intent)), dict(said.claims), dict(said.origin)
    session.environment = identity.environment
    session.registered_by = actor.principal
    session.discovered_at, session.last_seen_at = None, now
    session.expires_at = now + said.life if said.life else None
    if session.parent and session.parent.gate != "active":
        session.gate, session.gate_because = session.parent.gate, session.parent.gate_because
        session.gate_allows, session.gate_key, session.gated_at = session.parent.gate_allows, session.parent.gate_key, now
    session.save()
    if said.intent:
        session_use.begin(session, _named_in(said.intent))
    record(
        "session.registered", session.ref, actor=actor, about=[identity.ref], session=said.name, intent=session.intent, claims=said.claims
    )
    return session, True


@story
def keep(session_id: UUID, *, actor: Actor, intent: Mapping[str, Any] | None = None, life: timedelta | None = None) -> Session:
    """A sign of life; with `intent` or `life`, less than before. More than before takes an approval, not a request."""
    session = _own(session_id, actor)
    now = clock.now()
    if session.ended_at is not None:
        raise SessionEnded(f"The session {session.external_id} ended at {session.ended_at:%H:%M:%S} UTC.")
    session.last_seen_at = now
    if intent is not None:
        _, faults = _measures(intent)
        if faults:
            raise BadInput(faults)
        if wider := _wider(intent, session.intent):
            raise WouldWiden(f"That would widen the session: {', '.join(wider)}.")
        task = {"task": session.intent["task"]} if "task" in session.intent else {}
        session.intent = masking.in_message(dict(intent)) | task
    if life is not None:
        if session.expires_at is not None and now + life > session.expires_at:
            raise WouldWiden(f"The session ends at {session.expires_at:%Y-%m-%d %H:%M:%S} UTC and does not get longer.")
        session.expires_at = now + life
    session.save(update_fields=["last_seen_at", "intent", "expires_at"])
    if intent is not None or life is not None:
        record("session.narrowed", session.ref, actor=actor, about=[session.identity.ref], session=session.external_id, intent=intent)
    return session


@story
def end(session_id: UUID, *, actor: Actor) -> Session:
    """Ending twice ends once. A session that was paused ends too: it gives up what it could not use."""
    session = _own(session_id, actor)
    if session.ended_at is None:
        session.ended_at = clock.now()
        session.gate, session.gate_because = "ended", "its client ended it"
        session.save(update_fields=["ended_at", "gate", "gate_because"])
        session_use.forget(session)
        record("session.ended", session.ref, actor=actor, about=[session.identity.ref], session=session.external_id)
    return session


def _identity(said: Registration, actor: Actor) -> Identity:
    """Locked first, as everywhere."""
    identity = intake.find_identity(said.provider, said.subject)
    if identity is None:
        now = clock.now()
        identity, made = Identity.objects.get_or_create(
            provider=said.provider,
            subject=said.subject,
            defaults={"kind": said.kind, "discovered_at": now, "created_at": now},
        )
        if made:
            record("identity.discovered", identity.ref, actor=SYSTEM, identity=str(identity), kind=identity.kind)
    return inventory.lock(identity.pk)


def _again(session: Session, actor: Actor, now: datetime) -> Session:
    if session.registered_by != actor.principal:
        raise SessionExists(f"There is a session {session.external_id} of this identity already.")
    if session.ended_at is not None:
        raise SessionEnded(f"The session {session.external_id} ended at {session.ended_at:%H:%M:%S} UTC. Begin one with another id.")
    session.last_seen_at = now
    session.save(update_fields=["last_seen_at"])
    return session


def _parent(parent_id: UUID | None) -> Session | None:
    if parent_id is None:
        return None
    parent = Session.objects.filter(pk=parent_id).first()
    if parent is None:
        raise BadInput([Fault("parent", "unknown", "There is no such session.")])
    if parent.ended_at is not None:
        raise SessionEnded("The session that this one belongs to has ended.")
    return parent


def _own(session_id: UUID, actor: Actor) -> Session:
    session = Session.objects.select_for_update(of=("self",)).select_related("identity").filter(pk=session_id).first()
    if session is None:
        raise NoSuchSession("There is no such session.")
    if session.registered_by != actor.principal:
        raise NotYourSession("Only who registered a session can change or end it.")
    return session


def _faults_of_intent(said: Registration) -> list[Fault]:
    """Nothing intended needs no profile, and allows nothing."""
    if not said.intent:
        return []
    profile = _profile(said.intent)
    if profile is None:
        return [Fault("intent.profile", "unknown", "Name an agent profile that is approved and in force.")]
    outside = f"The profile {profile.name} does not approve it."
    measures, faults = _measures(said.intent)
    beyond = [*_beyond(said.intent, profile.body), *_over(measures.get("budgets", {}), profile.body.get("budgets", {}))]
    faults += [Fault(f"intent.{place}", "outside_profile", outside) for place in beyond]
    minutes = profile.body.get("ttl_minutes")
    if minutes and (said.life is None or said.life > timedelta(minutes=minutes)):
        faults.append(Fault("ttl_seconds", "outside_profile", f"Sessions of this profile live at most {minutes} minutes."))
    return faults


def _profile(intent: Mapping[str, Any]) -> WorkDocument | None:
    return WorkDocument.objects.filter(kind="agent_profile", name=str(intent.get("profile", "")), state="in_force").first()


def _named_in(intent: Mapping[str, Any]) -> list[str]:
    """What the task names: its words, and the values that were declared for arguments."""
    values = [str(one) for tool in intent.get("bounds", {}).values() for bound in tool.values() for one in bound.get("one_of", ())]
    return [str(intent.get("task", "")), *values]


def _measures(intent: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    return documents.bounds_and_budgets({name: intent[name] for name in ("bounds", "budgets") if name in intent}, "intent")


def _wider(intent: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """An intent that left a list out meant all that its profile approves."""
    if intent.get("profile") != before.get("profile"):
        return ["profile"]
    profile = _profile(before)
    approved = profile.body if profile else {}
    bounds = {name: before.get(name, approved.get(name, [])) for name in (*LISTS, "scope")}
    beyond = [*_beyond(intent, bounds), *_left_out(intent, before), *_over(intent.get("budgets", {}), before.get("budgets", {}))]
    beyond += [name for name in ("task",) if name in intent and intent[name] != before.get(name)]
    return beyond + _looser(intent.get("bounds", {}), before.get("bounds", {}))


def _left_out(intent: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """What was narrowed before and is not mentioned any more would be all of the profile again."""
    lists = [name for name in (*LISTS, "scope") if before.get(name) and not intent.get(name)]
    return lists + [f"budgets.{name}" for name in before.get("budgets", {}) if name not in intent.get("budgets", {})]


def _over(budgets: Mapping[str, float], most: Mapping[str, float]) -> list[str]:
    return [f"budgets.{name}" for name, amount in budgets.items() if name in most and amount > most[name]]


def _looser(bounds: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Bounds that were given up, or that let through what the earlier ones did not."""
    found = []
    for tool, arguments in before.items():
        for argument, was in arguments.items():
            now = bounds.get(tool, {}).get(argument, {})
            low = "min" in was and now.get("min", -(10**16)) < was["min"]
            high = "max" in was and now.get("max", 10**16) > was["max"]
            listed = "one_of" in was and not (now.get("one_of") and set(now["one_of"]) <= set(was["one_of"]))
            if low or high or listed or ("like" in was and now.get("like") != was["like"]):
                found.append(f"bounds.{tool}.{argument}")
    return found


def _beyond(intent: Mapping[str, Any], bounds: Mapping[str, Any]) -> list[str]:
    """The places of `intent` that lie outside `bounds`: `tools[1]`. What the bounds leave out allows nothing."""
    outside = [
        f"{name}[{index}]"
        for name in LISTS
        for index, wanted in enumerate(intent.get(name, []))
        if not any(_fits(wanted, approved) for approved in bounds.get(name, []))
    ]
    rules = bounds.get("scope", [])
    return outside + [
        f"scope[{index}]" for index, wanted in enumerate(intent.get("scope", [])) if not any(_inside(wanted, rule) for rule in rules)
    ]


def _fits(wanted: Any, approved: Any) -> bool:
    """A tool that was approved to read with may not be declared to write with."""
    name, pattern = _name(wanted), _name(approved)
    changes = isinstance(wanted, Mapping) and wanted.get("writes") is True
    only_reads = isinstance(approved, Mapping) and approved.get("writes") is False
    return (name == pattern or fnmatchcase(name, pattern)) and not (changes and only_reads)


def _inside(wanted: Mapping[str, str], rule: Mapping[str, str]) -> bool:
    return fnmatchcase(wanted["action"], rule["action"]) and fnmatchcase(wanted.get("resource", "*"), rule.get("resource", "*"))


def _name(entry: Any) -> str:
    """Tools stand in a profile as {"name", "writes"}, everything else as text."""
    return str(entry["name"]) if isinstance(entry, Mapping) else str(entry)
