"""Where sealed bytes rest: a table for now. Another place needs the same two functions, and sees sealed bytes only."""

from __future__ import annotations

from uuid import UUID

from evidence.models import SealedBytes


def put(artefact_id: UUID, sealed: bytes) -> None:
    SealedBytes.objects.create(artefact_id=artefact_id, content=sealed)


def get(artefact_id: UUID) -> bytes | None:
    """None when they are gone."""
    content = SealedBytes.objects.filter(artefact_id=artefact_id).values_list("content", flat=True).first()
    return None if content is None else bytes(content)
