"""Whom a token may speak for. One that is bound to an identity speaks for that one, and for the sessions that work for its sessions; where
it was merged, for the one that it was merged into. A gateway's token is held to what its source may say. One that is neither speaks as the
guard's own source, which brings nobody to containment, and in the sessions that its owner registered.
"""

from __future__ import annotations

from uuid import UUID

from containment import session_use
from containment.models import Identity, Session
from containment.refusals import NotItsIdentity, NotYourSession
from core.actor import Actor
from core.refs import Ref

GUARD = "guard"  # the source of whoever asks with a token that speaks for none
AGENTS = "guard-agents"  # of agents' own runtimes about their own calls
DRIFT = "drift"  # what somebody lifted outside: told, never acted upon
TAKEN = "taken"  # credentials of others that were read before their reader was cut: people decide
CEILINGS = {GUARD: "hold", AGENTS: "contain", DRIFT: "watch", TAKEN: "hold"}  # of the built-in sources


def source_name(actor: Actor) -> str:
    if actor.speaks_for:
        return AGENTS
    return actor.source if actor.source and actor.source not in CEILINGS else GUARD


def must_be_its_session(actor: Actor, session: Session | None) -> None:
    """Somebody else's session is neither charged nor paused nor taught by a token that nobody set up to speak about it."""
    if not may_act_in(actor, session):
        raise NotYourSession(
            "Somebody else registered this session. Ask with the token of its agent, or with one of a source that an engineer set up."
        )


def may_act_in(actor: Actor, session: Session | None) -> bool:
    return session is None or source_name(actor) != GUARD or session.registered_by == actor.principal


def is_its_own(actor: Actor, identity: Identity | None) -> bool:
    """Whether the token is bound to this identity, or to none."""
    if not actor.speaks_for or (identity is not None and actor.speaks_for == str(identity.ref)):
        return True
    return identity is not None and _bound_to(actor) == identity.pk


def must_be_its_own(actor: Actor, identity: Identity | None, named: str = "") -> None:
    if not is_its_own(actor, identity):
        raise NotItsIdentity(f"This token speaks for one agent, which is not {identity or named}. Use the token of that one.")


def works_for_its_own(actor: Actor, session: Session | None) -> bool:
    """Whether the session is one of the identity that the token is bound to, or works for one."""
    if not actor.speaks_for:
        return True
    return session is not None and any(is_its_own(actor, one.identity) for one in (session, *session_use.ancestors(session)))


def _bound_to(actor: Actor) -> UUID | None:
    identity = Identity.objects.select_related("merged_into").filter(pk=Ref.parse(actor.speaks_for).id).first()
    while identity is not None and identity.merged_into is not None:
        identity = identity.merged_into
    return identity.pk if identity is not None else None
