"""Allowed calls enter the audit chain, many at once: one entry over all that were answered since the last one, within a second.

A batch is its rows in the order of their ids, and a digest over what was said in each of them. The digest stands in the chain, so that a
row which is changed or taken away afterwards is found, also by somebody who trusts the chain alone. Two sweepers share the rows; a row is
in one batch, and one whose batch was never committed is due again.

Rows are kept for 90 days. A batch whose rows are gone keeps its digest, and the chain says that they went.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

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
ALLOWED, TIDIED = "guard.allowed", "guard.tidied"
SAID = (
    *("id", "asked_at", "asked", "principal", "question", "identity", "session", "action", "tool", "resource_kind", "resource", "writes"),
    *("verdict", "reason", "because", "told", "would_have", "risk", "policy_version", "digest", "detection", "hold", "expires_at"),
)


@dataclass(frozen=True, slots=True)
class Break:
    """The first batch that does not hold, and why."""

    batch: int
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
    """Whether every entry of the chain about allowed calls has its batch, with these very rows, and nothing stands beside them. Inside one
    snapshot."""
    tidied = set(AuditEntry.objects.filter(verb=TIDIED).values_list("subject", flat=True).iterator())
    told: set[int] = set()
    for entry in AuditEntry.objects.filter(verb=ALLOWED).order_by("seq").iterator(chunk_size=1_000):
        told.add(number := int(Ref.parse(entry.subject).id))
        batch, said = GuardBatch.objects.filter(pk=number).first(), json.loads(entry.body)
        if batch is None:
            return Break(number, "it is gone, and the audit trail says that it was")
        if (batch.count, batch.root) != (said["count"], said["root"]):
            return Break(number, "its count or digest is not what the audit trail says")
        if entry.subject not in tidied and (why := _not_as_said(batch)):
            return Break(number, why)
    beside = (number for number in GuardBatch.objects.order_by("pk").values_list("pk", flat=True).iterator() if number not in told)
    stray = GuardCall.objects.filter(batch__isnull=False).exclude(batch__in=GuardBatch.objects.values("pk"))
    unknown = next(beside, None) or stray.order_by("batch").values_list("batch", flat=True).first()
    return None if unknown is None else Break(unknown, "the audit trail knows nothing of it")


def late(*, than: timedelta) -> int:
    """Allowed calls that should be in the chain by now."""
    return GuardCall.objects.filter(verdict="allow", batch__isnull=True, asked_at__lt=clock.now() - than).count()


def _not_as_said(batch: GuardBatch) -> str:
    rows = list(GuardCall.objects.filter(batch=batch.pk).order_by("id"))
    if len(rows) != batch.count:
        return f"{batch.count} calls were allowed in it, and {len(rows)} are there"
    return "" if root_of(rows) == batch.root else "one of its calls is not the one that was answered"
