"""Connecting an agent: a token made on the spot, for an identity that is in the inventory from now on, and what there is of its first call.

The token can ask about this agent and register its sessions, and nothing else; it counts as the person who made it, who therefore never
decides about what its agent asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from accounts import tokens
from accounts.models import Person, ServiceToken
from accounts.roles import Scope
from audit import clock
from audit.record import record, story
from containment import intake
from containment.models import Identity, Session
from core.actor import Actor
from core.refusals import BadInput, Fault, Forbidden
from guard.models import GuardCall

SCOPES = (Scope.GUARD_ASK, Scope.SESSIONS_WRITE)
LIVES = {1: "a day", 7: "a week", 30: "a month", 90: "three months"}
PROVIDER = "holdfast"  # where an agent is at home that no other provider knows
KIND = "ai_agent"
PICK = "Pick an agent that is in the inventory, or name a new one."
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Connection:
    """`text` is the token, which nobody can read again."""

    token: ServiceToken
    text: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an agent has come since its token was made."""

    session: Session | None
    call: GuardCall | None
    refused: bool = False


@story
def connect(*, actor: Actor, life: timedelta, identity_id: UUID | None = None, name: str = "") -> Connection:
    """A token for the agent `identity_id`, or for a new one called `name`. The agent that has this name already is that one."""
    if not actor.is_person or not actor.may("agent.connect"):
        raise Forbidden("Connecting an agent takes a person who may.")
    owner = Person.objects.get(pk=actor.principal)
    identity = _known(identity_id) if identity_id is not None else _named(name.strip(), owner, actor)
    token, text = tokens.issue(name=identity.label[:200], owner=owner, scopes=SCOPES, speaks_for=str(identity.ref), life=life, actor=actor)
    record("agent.connected", identity.ref, actor=actor, about=[token.ref], identity=str(identity), token=token.name)
    return Connection(token, text, identity)


def progress(token: ServiceToken, identity: Identity) -> Progress:
    """The first session and the first call of this agent after the token was made, in the name of the token's owner."""
    principal = str(token.owner_id)
    since = token.created_at
    session = Session.objects.filter(identity=identity, registered_by=principal, started_at__gte=since).order_by("started_at").first()
    call = GuardCall.objects.filter(identity=identity.pk, asked_at__gte=since, principal=principal).order_by("asked_at").first()
    return Progress(session, call, token.revoked_at is not None or token.expires_at <= clock.now())


def _known(identity_id: UUID) -> Identity:
    identity = Identity.objects.filter(pk=identity_id).first()
    if identity is None or identity.kind != KIND or identity.merged_into_id is not None:
        raise BadInput([Fault("agent", "unknown", PICK)])
    return identity


def _named(name: str, owner: Person, actor: Actor) -> Identity:
    if not NAME.fullmatch(name):
        said = "Name the agent with letters, digits, dots, hyphens, underscores or @, at most 100 of them, such as invoice-agent."
        raise BadInput([Fault("name", "wrong_form", said)])
    if known := intake.find_identity(PROVIDER, name):
        return _known(known.pk)
    identity, new = Identity.objects.get_or_create(
        provider=PROVIDER, subject=name, defaults={"kind": KIND, "owner": owner, "created_at": clock.now()}
    )
    if new:
        record("identity.listed", identity.ref, actor=actor, identity=str(identity), owner=str(owner))
    return identity if new else _known(identity.pk)
