"""Pausing at once, and opening again: a session that left its approved intent is closed by the very answer that says so, under the guard's
own key. A person who is neither its client nor its identity's owner opens it, and so does whoever says "leave it running" about its case.

A run pauses with proof and undo; what it closed opens when it is undone, and not here.
"""

from __future__ import annotations

from uuid import UUID

from audit.record import record, story
from containment import gate, inventory
from containment.gate import Gate
from containment.models import Session
from containment.refusals import NoSuchSession, NotThePerson
from core.actor import Actor
from core.refusals import BadInput, Fault, Refusal

OPENS = "run.undo"


class NotOurs(Refusal):
    """The guard did not close it."""

    code = "not_paused_by_the_guard"


def pause(session: Session, *, call: UUID, because: str) -> bool:
    """In the story of the answer. False where it does not act any more anyway."""
    said = f"it left what it was approved to do: {because.rstrip('.')}"
    if session.gate not in ("active", "restricted"):
        return False
    return Gate().set(str(session.identity_id), session.external_id, state="paused", because=said, key=f"{gate.BY_GUARD}{call}")


@story
def reopen(session_id: UUID, *, actor: Actor, reason: str) -> Session:
    """A person lets the session go on. Opening an open one changes nothing."""
    if not (actor.is_person and actor.may(OPENS)):
        raise NotThePerson("A session goes on when a manager says so.")
    if not reason.strip():
        raise BadInput([Fault("reason", "missing", "Say why it may go on.")])
    session = Session.objects.select_related("identity").filter(pk=session_id).first()
    if session is None:
        raise NoSuchSession("There is no such session.")
    identity = inventory.lock(session.identity_id)
    session.refresh_from_db()
    if session.gate == "active":
        return session
    if not (session.gate == "paused" and session.gate_key.startswith(gate.BY_GUARD)):
        raise NotOurs("The guard did not pause it. Undo the run that did, or begin a new session where it has ended.")
    if actor.principal in {session.registered_by, str(identity.owner_id or "")}:
        raise NotThePerson("You answer for this agent yourself. Somebody else has to say that it may go on.")
    record("session.reopened", session.ref, actor=actor, about=[identity.ref], session=session.external_id, reason=reason)
    Gate().set(str(identity.pk), session.external_id, state="active", because="", key="")
    session.refresh_from_db()
    return session
