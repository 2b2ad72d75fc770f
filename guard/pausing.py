"""Pausing at once: a session that left its approved intent is closed by the very answer that says so, and a person opens it again."""

from __future__ import annotations

from uuid import UUID

from containment.gate import Gate
from containment.models import Session

PREFIX = "guard:"  # of the keys under which the guard closes a session


def pause(session: Session, *, call: UUID, because: str) -> bool:
    """In the story of the answer. False where it does not act any more anyway."""
    said = f"it left what it was approved to do: {because.rstrip('.')}"
    return Gate().set(str(session.identity_id), session.external_id, state="paused", because=said, key=f"{PREFIX}{call}")
