"""The audit trail as sentences, and the check of its links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from audit import chain, verbs
from audit.models import AuditEntry, AuditHead
from console.views_of import things
from console.views_of.things import Thing

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
MOST_CHECKED = 100_000  # links that one press of the button checks; a longer chain is checked by manage.py verify_audit
MOST_EXPORTED = 20_000  # entries in one file


@dataclass(frozen=True, slots=True)
class Told:
    """One entry as a line: who, what, when, about which things."""

    seq: int
    at: datetime
    verb: str
    actor: str
    actor_kind: str
    sentence: str
    subject: Thing
    about: Sequence[Thing]
    hash: str


@dataclass(frozen=True, slots=True)
class Whole:
    """One entry with everything that its link covers."""

    line: Told
    entry: AuditEntry
    facts: Sequence[tuple[str, str]]
    erased: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """`checked` links held. `intact` is None where the chain is too long for a page."""

    intact: bool | None
    checked: int
    head_seq: int
    head_hash: str
    because: str = ""
    broken_at: int | None = None


def told(entries: Iterable[AuditEntry]) -> list[Told]:
    listed = list(entries)
    names = things.named(ref for entry in listed for ref in (entry.subject, *entry.about))
    return [_told(entry, names) for entry in listed]


def whole(entry: AuditEntry) -> Whole:
    facts = _facts(entry)
    shown = [(name.replace("_", " "), _text(value)) for name, value in sorted(facts.items())]
    return Whole(told([entry])[0], entry, shown, erased=not entry.body)


def verify() -> Verification:
    """Walk the chain from its beginning up to the head that is read first; what is added meanwhile waits for the next time."""
    head = AuditHead.objects.filter(chain="main").first() or AuditHead(seq=0, hash=chain.GENESIS)
    if head.seq > MOST_CHECKED:
        because = f"The chain has {head.seq} entries, more than a page checks. `manage.py verify_audit` checks all of them."
        return Verification(None, 0, head.seq, head.hash, because)
    entries = AuditEntry.objects.filter(seq__lte=head.seq).order_by("seq").iterator(chunk_size=2000)
    if (broken := chain.first_break(entries, head=head)) is None:
        return Verification(True, head.seq, head.seq, head.hash)
    return Verification(False, max(0, broken.seq - 1), head.seq, head.hash, broken.why, broken.seq)


def lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """NDJSON with every field that the hash covers, so that a stranger can compute the chain again."""
    for entry in entries:
        yield json.dumps(
            {
                "seq": entry.seq,
                "at": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "verb": entry.verb,
                "actor": entry.actor,
                "actor_name": entry.actor_name,
                "subject": entry.subject,
                "about": entry.about,
                "body": entry.body,
                "body_digest": entry.body_digest,
                "prev": entry.prev,
                "hash": entry.hash,
            },
            ensure_ascii=False,
        )


def _told(entry: AuditEntry, names: dict[str, Thing]) -> Told:
    return Told(
        seq=entry.seq,
        at=entry.at,
        verb=entry.verb,
        actor=entry.actor_name,
        actor_kind=entry.actor.partition(":")[0],
        sentence=verbs.sentence(entry.verb, {name: _readable(value) for name, value in _facts(entry).items()}),
        subject=names[entry.subject],
        about=[names[ref] for ref in entry.about],
        hash=entry.hash,
    )


def _facts(entry: AuditEntry) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(entry.body) if entry.body else {}
    return facts


def _readable(value: Any) -> Any:
    """A moment as people write it; the entry's own page has it to the microsecond."""
    return f"{value[:10]} {value[11:16]} UTC" if isinstance(value, str) and MOMENT.fullmatch(value) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
