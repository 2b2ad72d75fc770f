"""Allowed calls enter the audit chain, many at once: one entry over all that were answered since the last one, within a second.

A batch is its rows in the order of their ids, and a digest over what was said in each of them. The digest stands in the chain, so that a
row which is changed or taken away afterwards is found, also by somebody who trusts the chain alone. What is denied or held has an entry of
its own, with such a digest. Two sweepers share the rows; a row is in one batch, and one whose batch was never committed is due again.

Rows are kept for 90 days. A batch whose rows are gone keeps its digest, and the chain says that they went.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from audit import clock
from audit.models import AuditEntry
from audit.record import record, story
from core.actor import CLOCK
from core.digest import canonical, digest_of_bytes
from core.refs import Ref
from guard.models import GuardBatch, GuardCall

MOST = 2_000  # rows of a batch
KEPT = timedelta(days=90)
TIDIED_AT_ONCE = 20  # batches
TIDIED_NOES = 2_000  # rows of denied and held calls, which have entries of their own
CHUNK = 1_000
LEEWAY = timedelta(hours=1)  # between an answer and its entry
ALLOWED, TIDIED = "guard.allowed", "guard.tidied"
BY_THEMSELVES = ("guard.denied", "guard.held", "guard.unasked")
COMPARED = ("question", "reason", "because", "policy_version", "digest")
UNTOLD = "the audit trail knows nothing of it"
Row = TypeVar("Row", bound=Model)
One = TypeVar("One", GuardBatch, GuardCall)
SAID = (
    *("id", "asked_at", "asked", "principal", "question", "identity", "session", "action", "tool", "resource_kind", "resource", "writes"),
    *("verdict", "reason", "because", "told", "would_have", "risk", "policy_version", "digest", "detection", "hold", "expires_at"),
)


@dataclass(frozen=True, slots=True)
class Break:
    """The first batch or call that does not hold, and why."""

    where: str
    why: str


@story
def chain_due() -> int:
    """One batch of what is due. Says how many calls that were."""
    due = GuardCall.objects.filter(verdict="allow", batch__isnull=True).order_by("id")
    rows = list(due.select_for_update(skip_locked=True, of=("self",))[:MOST])
    if not rows:
        return 0
    moments = [row.asked_at for row in rows]
    batch = GuardBatch.objects.create(
        chained_at=clock.now(), count=len(rows), first_at=min(moments), last_at=max(moments), root=root_of(rows)
    )
    GuardCall.objects.filter(pk__in=[row.pk for row in rows]).update(batch=batch.pk)
    facts: dict[str, Any] = {"count": batch.count, "root": batch.root, "first_at": batch.first_at, "last_at": batch.last_at}
    record(ALLOWED, batch.ref, actor=CLOCK, **facts)
    return len(rows)


def root_of(rows: Iterable[GuardCall]) -> str:
    """Over what was said, and not over what was told afterwards: the outcome, and a request's name, which is free again after its time."""
    return digest_of_bytes(b"\n".join(canonical({name: getattr(row, name) for name in SAID}) for row in rows))


# -- letting go --------------------------------------------------------------------------------------------------------------------------


@story
def tidy() -> int:
    """Rows whose time is over go, a bounded number at once; what was denied or held stands in the chain by itself."""
    before = clock.now() - KEPT
    over = GuardBatch.objects.filter(last_at__lt=before, tidied_at__isnull=True).order_by("last_at", "id")
    batches = list(over.select_for_update(skip_locked=True, of=("self",))[:TIDIED_AT_ONCE])
    gone = 0
    for batch in batches:
        gone += GuardCall.objects.filter(batch=batch.pk)._raw_delete("default")
        batch.tidied_at = clock.now()
        batch.save(update_fields=["tidied_at"])
        record(TIDIED, batch.ref, actor=CLOCK, count=batch.count, root=batch.root, days=KEPT.days)
    noes = GuardCall.objects.filter(asked_at__lt=before).exclude(verdict="allow").order_by("asked_at")
    keys = list(noes.values_list("pk", flat=True)[:TIDIED_NOES])
    return gone + (GuardCall.objects.filter(pk__in=keys)._raw_delete("default") if keys else 0)


# -- checking ----------------------------------------------------------------------------------------------------------------------------


def first_break() -> Break | None:
    """Whether every entry of the chain about calls has its rows, as they were answered, and nothing stands beside them. Inside one
    snapshot, one chunk after the other."""
    return _in_batches() or _beside_batches() or _in_noes() or _beside_noes()


def _in_batches() -> Break | None:
    for entries in _chunks(AuditEntry.objects.filter(verb=ALLOWED).order_by("seq")):
        batches = GuardBatch.objects.in_bulk([int(Ref.parse(entry.subject).id) for entry in entries])
        about = AuditEntry.objects.filter(verb=TIDIED, subject__in=[entry.subject for entry in entries])
        tidied = set(about.values_list("subject", flat=True))
        for entry in entries:
            number, said = int(Ref.parse(entry.subject).id), json.loads(entry.body)
            batch = batches.get(number)
            if batch is None:
                return Break(f"batch {number}", "it is gone, and the audit trail says that it was")
            if (batch.count, batch.root) != (said["count"], said["root"]):
                return Break(f"batch {number}", "its count or digest is not what the audit trail says")
            if entry.subject not in tidied and (why := _not_as_said(batch)):
                return Break(f"batch {number}", why)
    return None


def _beside_batches() -> Break | None:
    for batches in _chunks(GuardBatch.objects.order_by("pk")):
        if (stray := _untold(batches, [ALLOWED])) is not None:
            return Break(f"batch {stray.pk}", UNTOLD)
    rows = GuardCall.objects.filter(batch__isnull=False).exclude(batch__in=GuardBatch.objects.values("pk"))
    number = rows.order_by("batch").values_list("batch", flat=True).first()
    return None if number is None else Break(f"batch {number}", UNTOLD)


def _in_noes() -> Break | None:
    """What was denied or held, each by itself. A row whose 90 days are over may have gone."""
    kept_from = clock.now() - KEPT + LEEWAY
    for entries in _chunks(AuditEntry.objects.filter(verb__in=BY_THEMSELVES).order_by("seq")):
        rows = GuardCall.objects.in_bulk([UUID(Ref.parse(entry.subject).id) for entry in entries])
        for entry in entries:
            key, said = UUID(Ref.parse(entry.subject).id), json.loads(entry.body)
            if said.get("did") == "did":
                continue  # unasked, and done: it counts as allowed, and is in a batch
            row = rows.get(key)
            asked_at = datetime.fromisoformat(said["at"]) if "at" in said else entry.at
            if row is None and asked_at > kept_from:
                return Break(f"call {key}", "it is gone, and the audit trail says that it was")
            if row is not None and _differs(row, said):
                return Break(f"call {key}", "it is not what was answered, by the audit trail")
    return None


def _beside_noes() -> Break | None:
    for rows in _chunks(GuardCall.objects.exclude(verdict="allow").order_by("pk")):
        if (stray := _untold(rows, BY_THEMSELVES)) is not None:
            return Break(f"call {stray.pk}", UNTOLD)
    return None


def _differs(row: GuardCall, said: dict[str, Any]) -> bool:
    """By the digest over the whole row, where its entry has one."""
    if "row" in said:
        return bool(root_of([row]) != said["row"])
    return any(getattr(row, name) != said[name] for name in COMPARED if name in said)


def _untold(rows: Sequence[One], verbs: Iterable[str]) -> One | None:
    """The first of them of which no entry tells."""
    told = AuditEntry.objects.filter(subject__in=[str(row.ref) for row in rows], verb__in=list(verbs))
    subjects = set(told.values_list("subject", flat=True))
    return next((row for row in rows if str(row.ref) not in subjects), None)


def _chunks(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    ahead = rows.iterator(chunk_size=CHUNK)
    while chunk := list(islice(ahead, CHUNK)):
        yield chunk


def late(*, than: timedelta) -> int:
    """Allowed calls that should be in the chain by now."""
    return GuardCall.objects.filter(verdict="allow", batch__isnull=True, asked_at__lt=clock.now() - than).count()


def _not_as_said(batch: GuardBatch) -> str:
    rows = list(GuardCall.objects.filter(batch=batch.pk).order_by("id"))
    if len(rows) != batch.count:
        return f"{batch.count} calls were allowed in it, and {len(rows)} are there"
    return "" if root_of(rows) == batch.root else "one of its calls is not the one that was answered"
