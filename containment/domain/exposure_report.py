"""A report of exposed credentials, read from JSON: one store or many credentials, each known by its id, its owner or a digest of its
secret.

Never the secret itself: whoever found it hashes it where it lies, and we compare the hash under our own key. What looks like a secret where
an id should be is refused, and no fault repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from containment.domain.members import Members
from core import masking
from core.refusals import BadInput, Fault

LONGEST_WHERE, LONGEST_NOTE = 1000, 2000
_HEX = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
SHA256 = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaked:
    """One entry. Exactly one of `fingerprint`, `id` and `subject` is there; kind and provider narrow it down."""

    kind: str = ""
    provider: str = ""
    fingerprint: str = ""
    id: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    external_id: str
    found_at: datetime
    where: str
    note: str = ""
    source: str = ""
    store: str = ""
    credentials: tuple[Leaked, ...] = ()


def read(message: Any) -> Report:
    """BadInput carries every fault with its path."""
    faults: list[Fault] = []
    members = Members(message, "", faults)
    if not members.is_mapping:
        raise BadInput([Fault("", "wrong_type", "A report is a JSON object.")], "A report is a JSON object.")
    external_id = members.text("external_id", needed=True, longest=200)
    found_at = _moment(members)
    where = members.text("where", needed=True, longest=LONGEST_WHERE)
    note = members.text("note", longest=LONGEST_NOTE, empty=True)
    source = members.text("source", longest=100)
    store = ""
    for part in members.part("store"):
        provider, name = part.text("provider", needed=True, longest=100), part.text("name", needed=True)
        store = f"{provider}/{name}"
    credentials = tuple(_leaked(entry) for entry in members.each("credentials"))
    members.finish()
    if not faults and not store and not credentials:
        faults.append(Fault("credentials", "missing", "Name a store, or at least one credential."))
    if faults or found_at is None:
        raise BadInput(faults)
    return Report(external_id=external_id, found_at=found_at, where=where, note=note, source=source, store=store, credentials=credentials)


def _leaked(entry: Members) -> Leaked:
    read = {name: entry.text(name, longest=longest) for name, longest in _LENGTHS.items()}
    given = [name for name in ("fingerprint", "id", "subject") if read[name]]
    if entry.is_mapping and len(given) != 1 and not any(entry.raw(name) is not None and not read[name] for name in _LENGTHS):
        entry.fault("", "one_of", "Say one of fingerprint, id and subject.")
    if read["fingerprint"] and not _HEX.fullmatch(read["fingerprint"]):
        entry.fault("fingerprint", "wrong_form", "The SHA-256 of the secret: sha256: and 64 hex digits, in lower case.")
    for name in ("id", "subject"):
        if read[name] and masking.in_text(read[name]) != read[name]:
            detail = "This looks like the secret itself, which is not kept. Send its SHA-256 as fingerprint."
            entry.fault(name, "looks_like_a_secret", detail)
    if read["id"] and not read["kind"]:
        entry.fault("kind", "missing", "An id is looked up among the credentials of its kind.")
    if read["subject"] and not read["provider"]:
        entry.fault("provider", "missing", "A subject is known together with its provider.")
    return Leaked(**read)


_LENGTHS: Mapping[str, int] = {"kind": 50, "provider": 100, "fingerprint": 80, "id": 500, "subject": 500}


def _moment(members: Members) -> datetime | None:
    text = members.text("found_at", needed=True, longest=40)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not 1970 <= moment.year <= 9000:
        members.fault("found_at", "wrong_form", "A moment as in 2026-11-22T10:00:00Z.")
        return None
    if moment.tzinfo is None:
        members.fault("found_at", "no_zone", "Say the time zone, as in 2026-11-22T10:00:00Z.")
        return None
    return moment
