"""The vault: sealing evidence, opening it, and sealing the few secrets that undo needs. Every touch of an artefact is a custody entry.

A run's evidence is sealed inside the story that settles its step. Content is redacted first, and the digest is of what was sealed.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Max

from audit import clock
from audit.record import record, story
from core.actor import Actor
from core.digest import digest_of_bytes
from core.ids import uuid7
from core.refusals import Missing, Refusal
from evidence import seal as seals
from evidence import store
from evidence.models import Artefact, Custody
from evidence.redact import redact

LARGEST = 16 * 1024 * 1024


class TooLarge(Refusal):
    code = "evidence_too_large"
    kind = "too_large"


class BrokenSeal(Refusal):
    """The evidence cannot be shown, because it is not what was sealed."""

    code = "evidence_broken"


@story
def seal(name: str, media_type: str, content: bytes, *, run_ref: str, case_ref: str, identity_ref: str, actor: Actor) -> Artefact:
    """Redact, seal and store. The same content under the same name for the same run is the first artefact again."""
    if len(content) > LARGEST:
        raise TooLarge(f"{name} has {len(content)} bytes; at most {LARGEST} can be sealed.")
    clean, redactions = redact(content, media_type)
    sha256 = digest_of_bytes(clean)
    _one_at_a_time(f"{run_ref} {name} {sha256}")
    if first := Artefact.objects.filter(run_ref=run_ref, name=name, sha256=sha256).first():
        return first
    key = uuid7()
    sealed = seals.close(clean, named=_named(key))
    artefact = Artefact.objects.create(
        id=key,
        sha256=sha256,
        name=name,
        media_type=media_type,
        size=len(clean),
        redactions=redactions,
        key_id=seals.key_id(),
        run_ref=run_ref,
        case_ref=case_ref,
        identity_ref=identity_ref,
        collected_at=clock.now(),
        collected_by=str(actor),
    )
    store.put(key, sealed)
    _touch(artefact, "sealed", sha256, actor)
    record(
        "evidence.sealed",
        artefact.ref,
        actor=actor,
        about=artefact.about,
        name=name,
        media_type=media_type,
        bytes=artefact.size,
        digest=sha256,
        redactions=redactions,
    )
    return artefact


def open_(artefact_id: UUID, actor: Actor) -> bytes:
    """The content, once the digest is proven and the touch is on record. Call it outside any story, so that both are committed before the
    bytes are handed over."""
    content, trouble = _view(artefact_id, actor)
    if content is None:
        raise BrokenSeal(f"This evidence cannot be shown: {trouble}. An entry in the audit trail says so.")
    return content


def seal_secret(data: dict[str, Any], *, about: str) -> bytes:
    """For what undo needs and nobody may see. `about` names the row it belongs to: it opens under that name only."""
    return seals.close(json.dumps(data, sort_keys=True).encode(), named=f"secret:{about}")


def open_secret(sealed: bytes | memoryview, *, about: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(seals.open_(bytes(sealed), named=f"secret:{about}"))
    except seals.Broken as broken:
        raise BrokenSeal(f"What was saved for undo cannot be read: {broken}.") from None
    return data


@story
def _view(artefact_id: UUID, actor: Actor) -> tuple[bytes | None, str]:
    """None and why, instead of a refusal: the entry about a broken seal must be committed."""
    artefact = Artefact.objects.filter(pk=artefact_id).first()
    if artefact is None:
        raise Missing("There is no such evidence.")
    try:
        content = _unsealed(artefact)
    except seals.Broken as broken:
        _touch(artefact, "found_broken", "", actor)
        record("evidence.broken", artefact.ref, actor=actor, about=artefact.about, name=artefact.name, because=str(broken))
        return None, str(broken)
    _touch(artefact, "viewed", artefact.sha256, actor)
    record("evidence.viewed", artefact.ref, actor=actor, about=artefact.about, name=artefact.name, digest=artefact.sha256)
    return content, ""


def _unsealed(artefact: Artefact) -> bytes:
    sealed = store.get(artefact.pk)
    if sealed is None:
        raise seals.Broken("its sealed bytes are gone")
    content = seals.open_(sealed, named=_named(artefact.pk))
    if digest_of_bytes(content) != artefact.sha256:
        raise seals.Broken("its digest is not the one that was recorded")
    return content


def _touch(artefact: Artefact, act: str, sha256_seen: str, actor: Actor) -> None:
    _one_at_a_time(f"custody {artefact.pk}")
    last = artefact.custody.aggregate(last=Max("n"))["last"] or 0
    Custody.objects.create(
        artefact=artefact,
        n=last + 1,
        at=clock.now(),
        actor=str(actor),
        actor_name=actor.name,
        act=act,
        sha256_seen=sha256_seen,
    )


def _one_at_a_time(what: str) -> None:
    """Rows here are final, so the application's role may not lock them: a lock on their name, until the story ends, does the same."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 8))", [what])


def _named(artefact_id: UUID) -> str:
    return f"artefact:{artefact_id}"
