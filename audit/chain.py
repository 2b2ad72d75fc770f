"""The chain: links entries as the last statement of a story, and checks the links.

hash = SHA-256 over "holdfast-audit-v1", prev, seq, at, verb, actor, actor_name, subject, about and body_digest, each field preceded by its
length as eight bytes, so that no two different entries have the same bytes. `at` is UTC with microseconds; `about` is its references joined
by a line feed. A later format changes the first field; checkpoints sign (seq, hash).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from audit import clock
from audit.models import AuditEntry, AuditHead
from core.digest import canonical, digest_of_bytes

FORMAT = "holdfast-audit-v1"
GENESIS = hashlib.sha256(FORMAT.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has its place in the chain."""

    verb: str
    actor: str
    actor_name: str
    subject: str
    about: Sequence[str]
    facts: dict[str, object]


@dataclass(frozen=True, slots=True)
class Break:
    """The first entry at which the chain does not hold, and why."""

    seq: int
    why: str


def link(prev: str, entry: AuditEntry) -> str:
    hasher = hashlib.sha256()
    moment = entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = [
        FORMAT,
        prev,
        str(entry.seq),
        moment,
        entry.verb,
        entry.actor,
        entry.actor_name,
        entry.subject,
        "\n".join(entry.about),
        entry.body_digest,
    ]
    for field in fields:
        content = field.encode()
        hasher.update(len(content).to_bytes(8, "big") + content)
    return hasher.hexdigest()


def append(drafts: Sequence[Draft]) -> list[AuditEntry]:
    """Give each draft its place. Locks the head, so it must be the last thing a transaction does."""
    if not drafts:
        return []
    head, _ = AuditHead.objects.select_for_update().get_or_create(chain="main", defaults={"hash": GENESIS})
    at: datetime = clock.now()
    entries = []
    for draft in drafts:
        body = canonical(draft.facts)
        entry = AuditEntry(
            seq=head.seq + 1,
            at=at,
            verb=draft.verb,
            actor=draft.actor,
            actor_name=draft.actor_name,
            subject=draft.subject,
            about=list(draft.about),
            body=body.decode(),
            body_digest=digest_of_bytes(body),
            prev=head.hash,
        )
        entry.hash = link(head.hash, entry)
        head.seq, head.hash = entry.seq, entry.hash
        entries.append(entry)
    AuditEntry.objects.bulk_create(entries)
    head.save(update_fields=["seq", "hash"])
    return entries


def first_break(entries: Iterable[AuditEntry], *, head: AuditHead) -> Break | None:
    """Walk the whole chain in order of seq. None when every link holds and the head is its last entry."""
    prev, expected = GENESIS, 1
    for entry in entries:
        if entry.seq != expected:
            return Break(expected, f"entry {expected} is missing; the next one is {entry.seq}")
        if entry.prev != prev:
            return Break(entry.seq, "it does not continue the entry before it")
        if digest_of_bytes(entry.body.encode()) != entry.body_digest:
            return Break(entry.seq, "its body is not the one that was recorded")
        if link(prev, entry) != entry.hash:
            return Break(entry.seq, "one of its fields is not the one that was recorded")
        prev, expected = entry.hash, expected + 1
    if head.seq != expected - 1:
        return Break(expected, f"the chain ends at {expected - 1}, but its head says {head.seq}")
    if head.hash != prev:
        return Break(head.seq, "the head is not the last entry")
    return None
