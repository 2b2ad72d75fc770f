"""Backtests: asking for one, working on it slice by slice, and who has seen what came out.

The rows are the truth: a worker that is nudged, a sweeper that finds that nobody goes on with it, and the command all call `drive`. A slice
that a killed worker left is taken up again when its time has passed. Nothing here touches anything outside.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, Max, Min, Value
from django.db.models.functions import Greatest, TruncDay

from accounts import people
from audit import clock, nudges
from audit.record import record, story
from containment import policies
from containment.domain import policy as documents
from containment.domain.backtest import Event, People, Slice, Tally, finish
from containment.domain.policy import RiskPolicy
from containment.domain.replay import restore
from containment.domain.weigher import Weigher
from containment.models import Backtest, BacktestSeen, BacktestSlice, Decision, Identity, RiskPolicyVersion
from core.actor import SYSTEM, Actor
from core.digest import digest_of_bytes
from core.ids import uuid7
from core.refusals import BadInput, Forbidden, Missing, Refusal

log = logging.getLogger(__name__)

DRIVE = "containment.backtest"
LONGEST = timedelta(days=400)
MOST_WAITING = 10
MOST_LOOKED_AT = 100
MOST_PER_SLICE = 8_000
AT_ONCE = 200  # facts fetched together
LEASE = timedelta(seconds=90)  # how long a slice may take
GRACE = timedelta(seconds=1.2)  # how long a nudged worker has to begin
STALE = timedelta(seconds=10)  # after so long without progress a sweeper goes on with it
STRIKES = 3  # workers that may fail on one slice
TURN_S = 2.0  # a worker's turn, after which others' work comes first
FRESH = timedelta(days=7)  # what ends longer ago than this says nothing of today
LEAST = timedelta(days=7)  # of history, for an approval; less where there is no more


class Busy(Refusal):
    code = "too_many_backtests"
    kind = "busy"


# -- asking -------------------------------------------------------------------------------------------------------------------------------


@story
def ask(text: str, *, since: datetime, until: datetime | None = None, version: RiskPolicyVersion | None = None, actor: Actor) -> Backtest:
    """A new backtest of this very text; BadInput names every fault in it. It is done by whoever finds it due."""
    if actor != SYSTEM and not (actor.may("policy.author") or actor.may("policy.approve")):
        raise Forbidden("Testing a policy is for those who write or approve policies.")
    documents.parse(text)
    if Backtest.objects.filter(state__in=["due", "running"]).count() >= MOST_WAITING:
        raise Busy(f"{MOST_WAITING} backtests wait already. Ask again when one of them is done.")
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
        whole=first["first"] is not None and since <= first["first"] and until >= first["last"],
        next_at=now + GRACE,
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
    if backtest.state == "done" and actor.is_person:
        _, first = BacktestSeen.objects.get_or_create(backtest=backtest, person_id=UUID(actor.principal), defaults={"seen_at": clock.now()})
        if first:
            record("backtest.seen", backtest.ref, actor=actor, about=[backtest.version.ref if backtest.version else None])
    return backtest


def missing(policy_digest: str, *, by: UUID, days: int | None = None) -> str:
    """What this person has not seen yet of exactly this text, as a sentence; empty where nothing is missing.

    With `days`, so many days of decisions, counted from the first one; without, all history that there was when it was asked for, or LEAST.
    """
    opened = Backtest.objects.filter(seen__person_id=by, policy_digest=policy_digest, state="done")
    if not opened.exists():
        return "You have not opened a finished backtest of exactly this text."
    judged = opened.filter(events__gt=0)
    if not judged.exists():
        return "The backtest of this text that you opened judged no decision: nothing was decided in its time."
    newest = judged.order_by("-until").first()
    fresh = judged.filter(until__gte=clock.now() - FRESH)
    if newest is not None and not fresh.exists():
        return f"The backtest of this text that you opened ends at {newest.until:%Y-%m-%d %H:%M}, more than {FRESH.days} days ago."
    first = first_decided_at()
    if first is None or (days is None and fresh.filter(whole=True).exists()):
        return ""
    span = LEAST if days is None else timedelta(days=days)
    if fresh.filter(until__gte=Greatest(F("since"), Value(first)) + span).exists():
        return ""
    longest = max(one.until - max(one.since, first) for one in fresh.only("since", "until")[:MOST_LOOKED_AT])
    or_all = ", or all there is," if days is None else ""
    return f"The backtest of this text that you opened covers {_length(longest)} of decisions; {span.days} days{or_all} are needed."


def seen(policy_digest: str, *, by: UUID, days: int | None = None) -> bool:
    return not missing(policy_digest, by=by, days=days)


def first_decided_at() -> datetime | None:
    """Where history begins."""
    return Decision.objects.order_by("decided_at").values_list("decided_at", flat=True).first()


def _length(span: timedelta) -> str:
    """Rounded down, as what is needed is not reached by rounding."""
    days, hours = max(span, timedelta(0)).days, int(span / timedelta(hours=1))
    return f"{days} days" if days > 1 else f"{hours} hours" if hours > 1 else "less than two hours"


def latest(policy_digest: str) -> Backtest | None:
    """The last backtest of exactly this text, finished or not."""
    return Backtest.objects.select_related("version", "made_by").filter(policy_digest=policy_digest).order_by("-made_at").first()


# -- working on it ------------------------------------------------------------------------------------------------------------------------


def drive(backtest_id: UUID, *, turn_s: float = TURN_S) -> bool:
    """Work on it for a turn. True while there is something left that nobody works on."""
    enough = time.monotonic() + turn_s
    backtest = Backtest.objects.filter(pk=backtest_id, state__in=["due", "running"]).first()
    if backtest is None:
        return False
    try:
        policy = policies.document(backtest.policy_text)
    except BadInput as refusal:
        _fail(backtest_id, f"Its text is refused by the rules of today: {refusal.sentence}")
        return False
    if backtest.state == "due" and not _attempted(backtest_id, _begin, "be begun"):
        return False
    weigher = Weigher(policy)
    while (mine := _claim(backtest_id)) is not None:
        try:
            tally = _tally(mine, policy, weigher)
        except Exception:
            log.exception("%s of the backtest %s failed", mine, backtest_id)
            _give_back(mine)
        else:
            _settle(mine, tally)
        if time.monotonic() >= enough:
            return _is_left(backtest_id)
    _attempted(backtest_id, _end, "be put together")
    return False


def due(limit: int) -> list[UUID]:
    """Those that nobody goes on with."""
    waiting = Backtest.objects.filter(state__in=["due", "running"], next_at__lte=clock.now()).order_by("next_at")
    return list(waiting.values_list("pk", flat=True)[:limit])


def carry_on(backtest_id: UUID) -> None:
    """A worker's turn; if something is left, another begins behind the work of others."""
    if drive(backtest_id):
        nudges.wake_worker(DRIVE, backtest_id)


def _attempted(backtest_id: UUID, work: Callable[[UUID], None], what: str) -> bool:
    """Begin it or end it, and count each try before it is made, so that one that kills its worker counts too."""
    if not _counted(backtest_id, what):
        return False
    try:
        work(backtest_id)
    except Exception:
        log.exception("the backtest %s could not %s", backtest_id, what)
        return False
    return True


@transaction.atomic
def _counted(backtest_id: UUID, what: str) -> bool:
    """Whether to try: nobody else is at it, and it did not stop STRIKES workers yet. The count lies where the result will."""
    backtest = Backtest.objects.select_for_update(of=("self",)).filter(pk=backtest_id, state__in=["due", "running"]).first()
    if backtest is None or BacktestSlice.objects.filter(backtest=backtest_id, tally__isnull=True).exists():
        return backtest is not None and backtest.state == "running"
    now, strikes = clock.now(), backtest.result.get("strikes", 0)
    if strikes and backtest.next_at and backtest.next_at > now:
        return False
    if strikes >= STRIKES:
        transaction.on_commit(lambda: _fail(backtest_id, f"It could not {what}: that stopped {STRIKES} workers, one after the other."))
        return False
    backtest.result, backtest.next_at = {"strikes": strikes + 1}, now + STALE
    backtest.save(update_fields=["result", "next_at"])
    return True


@story
def _begin(backtest_id: UUID) -> None:
    """Cut the history into slices: whole days, or shards of one day. Whoever comes second finds them there."""
    backtest = Backtest.objects.select_for_update(of=("self",)).get(pk=backtest_id)
    if backtest.state != "due":
        return
    parts = list(_parts(backtest))
    now = clock.now()
    BacktestSlice.objects.bulk_create(
        BacktestSlice(backtest=backtest, number=number, since=since, until=until, shard=shard, shards=shards, next_at=now)
        for number, (since, until, shard, shards) in enumerate(parts)
    )
    backtest.state, backtest.next_at, backtest.result = "running", now + STALE, {}
    backtest.events = _decided_in(backtest.since, backtest.until)
    backtest.save(update_fields=["state", "next_at", "events", "result"])
    record("backtest.started", backtest.ref, actor=SYSTEM, events=backtest.events)


def _parts(backtest: Backtest) -> Iterator[tuple[datetime, datetime, int, int]]:
    """(from, to, shard, of how many shards). An identity's day is never cut in two."""
    decided = Decision.objects.filter(decided_at__gte=backtest.since, decided_at__lt=backtest.until).order_by()
    days = list(decided.annotate(day=TruncDay("decided_at", tzinfo=UTC)).values_list("day").annotate(Count("pk")).order_by("day"))
    begun: datetime | None = None
    gathered = 0
    for day, count in days:
        if begun is not None and gathered + count > MOST_PER_SLICE:
            yield begun, day, 0, 1
            begun = None
        if count > MOST_PER_SLICE:
            shards = -(-count // MOST_PER_SLICE)
            yield from ((day, day + timedelta(days=1), shard, shards) for shard in range(shards))
        elif begun is None:
            begun, gathered = day, count
        else:
            gathered += count
    if begun is not None:
        yield begun, days[-1][0] + timedelta(days=1), 0, 1


def _decided_in(since: datetime, until: datetime) -> int:
    return Decision.objects.filter(decided_at__gte=since, decided_at__lt=until).count()


@transaction.atomic
def _claim(backtest_id: UUID) -> BacktestSlice | None:
    now = clock.now()
    waiting = BacktestSlice.objects.filter(backtest=backtest_id, tally__isnull=True, next_at__lte=now)
    mine = waiting.select_for_update(of=("self",), skip_locked=True).order_by("number").first()
    if mine is None:
        return None
    if mine.attempts >= STRIKES:
        transaction.on_commit(lambda: _fail(backtest_id, f"Its {mine} stopped {STRIKES} workers, one after the other."))
        return None
    mine.attempts, mine.ticket, mine.next_at = mine.attempts + 1, uuid7(), now + LEASE
    mine.save(update_fields=["attempts", "ticket", "next_at"])
    Backtest.objects.filter(pk=backtest_id, state="running").update(next_at=now + STALE)
    return mine


@transaction.atomic
def _settle(mine: BacktestSlice, tally: Tally) -> None:
    """Provided the ticket is still this one: a slice that took too long counts for whoever took it up after."""
    settled = BacktestSlice.objects.filter(pk=mine.pk, ticket=mine.ticket, tally__isnull=True)
    if settled.update(tally=tally, events=tally["events"], next_at=None):
        seen = tally["events"] + tally["unreadable"]
        Backtest.objects.filter(pk=mine.backtest_id).update(done=F("done") + seen, next_at=clock.now() + STALE)


def _give_back(mine: BacktestSlice) -> None:
    BacktestSlice.objects.filter(pk=mine.pk, ticket=mine.ticket, tally__isnull=True).update(next_at=clock.now() + timedelta(seconds=1))


def _is_left(backtest_id: UUID) -> bool:
    unfinished = BacktestSlice.objects.filter(backtest=backtest_id, tally__isnull=True)
    if unfinished.exists():
        return unfinished.filter(next_at__lte=clock.now()).exists()
    _attempted(backtest_id, _end, "be put together")
    return False


@story
def _end(backtest_id: UUID) -> None:
    """Put the parts together, once all are there. Whoever settles the last slice, or finds none left, does it."""
    if BacktestSlice.objects.filter(backtest=backtest_id, tally__isnull=True).exists():
        return
    backtest = Backtest.objects.select_for_update(of=("self",)).get(pk=backtest_id)
    if backtest.state != "running":
        return
    tallies = BacktestSlice.objects.filter(backtest=backtest).order_by("number").values_list("tally", flat=True).iterator(chunk_size=20)
    backtest.result = finish(policies.document(backtest.policy_text), (tally or {} for tally in tallies), _people())
    noticed = backtest.result["noticed"]
    backtest.counts = {
        "flips": sum(backtest.result["flips"].values()),
        **{name: noticed[name] for name in ("contained", "held", "asks", "stopped_by_budget")},
    }
    backtest.events = backtest.done = backtest.result["events"] + backtest.result["unreadable"]
    backtest.state, backtest.next_at, backtest.finished_at = "done", None, clock.now()
    backtest.save()
    BacktestSlice.objects.filter(backtest=backtest).delete()
    record("backtest.finished", backtest.ref, actor=SYSTEM, events=backtest.events, flips=backtest.counts["flips"])


@story
def _fail(backtest_id: UUID, because: str) -> None:
    backtest = Backtest.objects.select_for_update(of=("self",)).get(pk=backtest_id)
    if backtest.state not in ("due", "running"):
        return
    backtest.state, backtest.next_at, backtest.finished_at, backtest.trouble = "failed", None, clock.now(), because
    backtest.result = {}
    backtest.save(update_fields=["state", "next_at", "finished_at", "trouble", "result"])
    BacktestSlice.objects.filter(backtest=backtest).delete()
    record("backtest.failed", backtest.ref, actor=SYSTEM, because=because)


def _people() -> People:
    sizes = Identity.objects.filter(merged_into__isnull=True).values_list("kind").annotate(Count("pk")).order_by("kind")
    return People(approvers=len(people.who_may("hold.answer")), identities=dict(sizes))


# -- reading the history ------------------------------------------------------------------------------------------------------------------


def _tally(mine: BacktestSlice, policy: RiskPolicy, weigher: Weigher) -> Tally:
    events = _events(mine)
    work = Slice(policy, weigher)
    needed = work.needs_facts(events)
    unreadable = set[str]()
    for first in range(0, len(needed), AT_ONCE):
        for key, stored in _facts(needed[first : first + AT_ONCE]):
            try:
                work.judge(key, restore(json.loads(stored)))
            except (KeyError, TypeError, ValueError):
                log.warning("the facts of decision %s cannot be read any more", key)
                unreadable.add(key)
    tally = work.count(event for event in events if event.id not in unreadable)
    return tally | {"unreadable": len(unreadable)}


_GISTS = """
    SELECT g.decision_id::text, extract(epoch FROM g.decided_at)::float8, g.identity::text, g.source, g.verdict, g.stage, g.sentence,
           g.risk, g.gist
    FROM decision_gist g
    WHERE g.decided_at >= %(since)s AND g.decided_at < %(until)s
      AND (%(shards)s = 1 OR ('x' || right(g.identity::text, 6))::bit(24)::int %% %(shards)s = %(shard)s)
"""
_BARE = """
    SELECT d.id::text, extract(epoch FROM d.decided_at)::float8, d.facts->'identity'->>'id',
           coalesce(d.facts->'detection'->'source'->>'name', ''), d.verdict, d.stage, d.sentence, (d.risk * 10)::int, NULL
    FROM decision d
    WHERE d.decided_at >= %(since)s AND d.decided_at < %(until)s
      AND NOT EXISTS (SELECT FROM decision_gist g WHERE g.decision_id = d.id)
      AND (%(shards)s = 1 OR ('x' || right(d.facts->'identity'->>'id', 6))::bit(24)::int %% %(shards)s = %(shard)s)
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM decision WHERE decided_at >= %(since)s AND decided_at < %(until)s)
         - (SELECT count(*) FROM decision_gist WHERE decided_at >= %(since)s AND decided_at < %(until)s)
"""


def _events(mine: BacktestSlice) -> list[Event]:
    """In the order of time. Decisions of before there were gists come without one."""
    bounds: dict[str, datetime | int] = {
        "since": max(mine.since, mine.backtest.since),
        "until": min(mine.until, mine.backtest.until),
        "shard": mine.shard,
        "shards": mine.shards,
    }
    with connection.cursor() as cursor:
        cursor.execute(_GISTS, bounds)
        events = [Event(*row) for row in cursor.fetchall()]
        cursor.execute(_COUNTS, bounds)
        if cursor.fetchone() != (0,):
            cursor.execute(_BARE, bounds)
            events += [Event(*row) for row in cursor.fetchall()]
    events.sort(key=lambda event: (event.at, event.id))
    return events


def _facts(keys: Sequence[str]) -> Iterable[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id::text, facts::text FROM decision WHERE id = ANY(%s::uuid[])", [list(keys)])
        return list(cursor.fetchall())
