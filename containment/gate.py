"""The session gate: opens and closes our own sessions. A runtime that asks us is told what stands here, at once.

The `holdfast` connector acts through this file, so that pausing an agent is a run with intent, proof and undo like everything else. A gate
change is one row, its audit entry, and nothing outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from audit import clock
from audit.record import record, story
from connectors import registry
from containment.models import Session
from core.actor import SYSTEM

STRICTER = ("active", "restricted", "paused", "ended")
BY_GUARD = "guard:"  # the keys under which the guard closes a session by itself


class Gate:
    """What containment hands to the connector at start. `identity` is our id; `sessions` are names, or none for every live one."""

    def look(self, identity: str, sessions: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Session name -> {state, because, allows, key} of the live ones."""
        return {session.external_id: _seen(session) for session in _live(identity, sessions)}

    @story
    def set(self, identity: str, session: str, *, state: str, because: str, key: str, allows: Sequence[str] = ()) -> bool:
        """Put one session into `state` (active, paused, restricted, ended), and those that it opened. False when it is there already. `key`
        says whose doing it is.
        """
        row = Session.objects.select_for_update(of=("self",)).filter(identity_id=identity, external_id=session).first()
        if row is None or (row.gate == state and row.gate_key == key):
            return False
        _put(row, state, because, key if state != "active" else "", allows)
        return True


def open_again(identity: str) -> None:
    """What the guard closed by itself goes on: people said that the identity is to be left running. Inside a story."""
    for session in Session.objects.filter(identity_id=identity, gate="paused", gate_key__startswith=BY_GUARD).order_by("pk"):
        Gate().set(identity, session.external_id, state="active", because="", key="")


def configure_connectors() -> None:
    registry.configure(settings.CONNECTORS, gate=Gate())


def _put(row: Session, state: str, because: str, key: str, allows: Sequence[str]) -> None:
    """A child stands as its parent does, closed and opened with it. Where somebody else decided about the child, the stricter word holds,
    and theirs comes back when the parent opens."""
    was, opened = row.gate_key, row.gate_before if _is_opened(row.gate, state) else {}
    if opened:
        state, because, key, allows = opened["state"], opened["because"], opened["key"], opened["allows"]
        row.gate_before = {}
    row.gate, row.gate_because, row.gate_allows, row.gate_key = state, because, list(allows), key
    row.gated_at = clock.now()
    row.ended_at = row.gated_at if state == "ended" else None
    row.save(update_fields=["gate", "gate_because", "gate_allows", "gate_key", "gate_before", "gated_at", "ended_at"])
    record("session.gated", row.ref, actor=SYSTEM, about=[row.identity.ref], session=row.external_id, state=state, because=because)
    for child in row.children.select_for_update(of=("self",)).select_related("identity").filter(ended_at__isnull=True).order_by("pk"):
        if child.gate_key == was:
            _put(child, state, because, key, allows)
        elif STRICTER.index(state) > STRICTER.index(child.gate):
            child.gate_before = seen_of(child)
            _put(child, state, because, key, allows)


def _is_opened(before: str, after: str) -> bool:
    return STRICTER.index(after) < STRICTER.index(before)


def seen_of(row: Session) -> dict[str, Any]:
    return {"state": row.gate, "because": row.gate_because, "key": row.gate_key, "allows": list(row.gate_allows)}


def _live(identity: str, sessions: Sequence[str]) -> list[Session]:
    rows = Session.objects.filter(identity_id=identity, discovered_at__isnull=True)
    rows = rows.filter(external_id__in=list(sessions)) if sessions else rows.filter(ended_at__isnull=True)
    return list(rows.order_by("external_id"))


def _seen(session: Session) -> dict[str, Any]:
    return {
        "state": session.gate,
        "because": session.gate_because,
        "allows": list(session.gate_allows),
        "key": session.gate_key,
        "workflow": session.workflow,
        "role": session.role,
        "drive": session.drive,
        "origin": session.origin,
        "intent": session.intent,
        "started_at": session.started_at.isoformat(),
    }
