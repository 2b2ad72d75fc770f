"""Backtests: asking for one, working on it slice by slice, and who has seen what came out.

The rows are the truth: a worker that is nudged, a sweeper that finds a slice overdue and the command all call `drive`. A slice that a
killed worker left is taken up again when its time has passed. Nothing here touches anything outside.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Max, Min, Q

from audit import clock, nudges
from audit.record import record, story
from containment.domain import policy as documents
from containment.models import Backtest, BacktestSeen, Decision, RiskPolicyVersion
from core.actor import Actor
from core.digest import digest_of_bytes
from core.refusals import Missing, Refusal

DRIVE = "containment.backtest"
LONGEST = timedelta(days=400)


@story
def ask(text: str, *, since: datetime, until: datetime | None = None, version: RiskPolicyVersion | None = None, actor: Actor) -> Backtest:
    """A new backtest of this very text; BadInput names every fault in it. It is done by whoever finds it due."""
    documents.parse(text)
    now = clock.now()
    until = min(until or now, now)
    if since >= until:
        raise Refusal("A backtest needs a beginning before its end.")
    first = Decision.objects.aggregate(first=Min("decided_at"), last=Max("decided_at"))
    digest = digest_of_bytes(text.encode())
    backtest = Backtest.objects.create(
        policy_text=text,
        policy_digest=digest,
        version=version or RiskPolicyVersion.objects.filter(digest=digest).first(),
        since=max(since, until - LONGEST),
        until=until,
        whole=first["first"] is None or (since <= first["first"] and until >= first["last"]),
        next_at=now,
        made_by_id=UUID(actor.principal) if actor.principal else None,
        made_at=now,
    )
    record(
        "backtest.asked",
        backtest.ref,
        actor=actor,
        about=[backtest.version.ref if backtest.version else None],
        digest=digest,
        since=backtest.since,
        until=until,
    )
    nudges.wake_worker(DRIVE, backtest.pk)
    return backtest


@story
def opened(backtest_id: UUID, *, actor: Actor) -> Backtest:
    """A person has what came out on the screen: noted the first time. What is not done yet is not seen by looking at it."""
    backtest = Backtest.objects.select_related("version", "made_by").filter(pk=backtest_id).first()
    if backtest is None:
        raise Missing("There is no such backtest.")
    if backtest.state == "done" and actor.principal:
        _, first = BacktestSeen.objects.get_or_create(backtest=backtest, person_id=UUID(actor.principal), defaults={"seen_at": clock.now()})
        if first:
            record("backtest.seen", backtest.ref, actor=actor, about=[backtest.version.ref if backtest.version else None])
    return backtest


def seen(policy_digest: str, *, by: UUID, days: int) -> bool:
    """Whether this person opened a finished backtest of exactly this text, over at least so many days or over all history there was."""
    enough = Q(backtest__until__gte=F("backtest__since") + timedelta(days=days)) | Q(backtest__whole=True)
    return BacktestSeen.objects.filter(enough, person_id=by, backtest__policy_digest=policy_digest, backtest__state="done").exists()


def latest(policy_digest: str) -> Backtest | None:
    """The last backtest of exactly this text, finished or not."""
    return Backtest.objects.select_related("version", "made_by").filter(policy_digest=policy_digest).order_by("-made_at").first()


__all__ = ["DRIVE", "ask", "latest", "opened", "seen"]
