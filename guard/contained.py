"""What is contained and which sessions are stopped, as agents' runtimes keep it: one small snapshot, the same in every process.

However many ask, a process looks once every half second, with one query, and only while somebody waits. `view` is the digest of what a
caller sees, so that it changes exactly when that does, whichever process is asked. `as_of` is the moment before the look, so that nobody
whom another process told something is told something older by this one. A run that only stops sessions leaves the others of its
identity alone (standing.spares); the sessions that it is about to stop count as paused from the moment that it may act. An identity without
any registered session has no others: it is contained as a whole, as the guard answers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import connection

from core.digest import digest
from guard.standing import ACTING
from guard.waiting import LONGEST_S, until
from playbooks.domain.plan import cuts
from playbooks.models import Run

EVERY_S = 0.5
MOST = 10_000
RUNS_REMEMBERED = 20_000

_STATES = ", ".join(f"'{state}'" for state in ACTING)
_LOOK = f"""
    WITH acting AS MATERIALIZED (
        SELECT id, stage, state, identity_ref FROM run WHERE control_family = 'access' AND state IN ({_STATES})
            ORDER BY id LIMIT %(most)s + 1
    ), whole AS (
        SELECT acting.id, acting.stage, acting.state, i.id AS identity, i.kind,
            EXISTS (SELECT FROM session s WHERE s.identity_id = i.id AND s.discovered_at IS NULL AND s.ended_at IS NULL) AS registered
        FROM acting JOIN identity i ON i.id = split_part(acting.identity_ref, ':', 2)::uuid
    ), stopped AS (
        (SELECT * FROM session WHERE gate IN ('paused', 'restricted') ORDER BY id LIMIT %(most)s + 1)
        UNION ALL
        (SELECT * FROM session WHERE gate = 'ended' AND gate_key <> '' AND gated_at > clock_timestamp() - interval '1 day'
            ORDER BY gated_at DESC LIMIT %(most)s + 1)
    )
    SELECT 'identity', w.id, w.stage, w.state, n.provider, n.subject, w.kind, NULL, NULL, NULL, w.registered, statement_timestamp()
    FROM whole w JOIN LATERAL (
        SELECT provider, subject FROM identity WHERE id = w.identity OR merged_into_id = w.identity
        UNION SELECT provider, subject FROM identity_alias WHERE identity_id = w.identity
    ) n ON true
    UNION ALL
    SELECT 'session', NULL, NULL, s.gate, i.provider, i.subject, i.kind, s.id, s.external_id, s.gate_because, NULL, statement_timestamp()
    FROM stopped s JOIN identity i ON i.id = s.identity_id
    UNION ALL
    SELECT 'now', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, greatest(
        (SELECT count(*) FROM acting),
        (SELECT count(*) FROM stopped WHERE gate <> 'ended'),
        (SELECT count(*) FROM stopped WHERE gate = 'ended')
    ) > %(most)s, statement_timestamp()
"""  # noqa: S608 - our own constants
_BECAUSE = {
    "pending": "It is being contained.",
    "running": "It is being contained.",
    "verifying": "It is being contained.",
    "contained": "It is contained.",
    "partial": "It is contained in part, and people are looking at it.",
    "needs_human": "It is being contained, and people are looking at it.",
}


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """`session` and `name` are empty for an identity as a whole, and `session` for one that only its name says."""

    provider: str
    subject: str
    kind: str
    session: str
    name: str
    state: str
    because: str

    def to_json(self) -> dict[str, str]:
        who = {"provider": self.provider, "subject": self.subject, "because": self.because}
        return who if not self.state else {"id": self.session, "name": self.name, "state": self.state, **who}


@dataclass(frozen=True, slots=True)
class Sight:
    """What one kind of caller sees. Empty collections: all of them."""

    providers: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    def of(self, entry: Entry) -> bool:
        return (not self.providers or entry.provider in self.providers) and (not self.kinds or entry.kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it, at one moment. What each kind of caller sees is made once. `cut`: there was more than one look takes, and of what was left
    out nobody knows who may see it."""

    as_of: datetime
    entries: tuple[Entry, ...]
    cut: bool = False
    seen: dict[Sight, dict[str, Any]] = field(default_factory=dict)

    def for_sight(self, sight: Sight) -> dict[str, Any]:
        if (made := self.seen.get(sight)) is None:
            shown = [one for one in self.entries if sight.of(one)]
            identities = [one.to_json() for one in shown if not one.state]
            sessions = [one.to_json() for one in shown if one.state]
            made = {
                "contained": identities[:MOST],
                "sessions": sessions[:MOST],
                "cut": self.cut or max(len(identities), len(sessions)) > MOST,
            }
            made = self.seen[sight] = {"view": digest(made), **made}
        return {**made, "as_of": self.as_of.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class Feed:
    """One for each event loop. A single task looks, and all who wait look at what it saw."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[Snapshot] | None = None
        self._runs: dict[tuple[UUID, str], frozenset[str] | None] = {}

    async def wait(self, after: str, seconds: float, sight: Sight, since: datetime | None = None) -> dict[str, Any]:
        """What `sight` sees, as soon as it is not `after` any more and no older than `since`, or when the time is over."""
        loop = asyncio.get_running_loop()
        over = loop.time() + min(max(seconds, 0.0), LONGEST_S)
        while True:
            newest = await self._newest(loop)
            said = newest.for_sight(sight)
            left = over - loop.time()
            if left <= 0 or (said["view"] != after and (since is None or newest.as_of >= since)):
                return said
            await asyncio.sleep(min(EVERY_S / 2, left))

    async def _newest(self, loop: asyncio.AbstractEventLoop) -> Snapshot:
        if self._last is not None and loop.time() - self._looked_at < EVERY_S:
            return self._last
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look(loop))
        return await asyncio.shield(self._looking)  # one who hangs up must not take it from the others

    async def _look(self, loop: asyncio.AbstractEventLoop) -> Snapshot:
        began = loop.time()
        snapshot = await until(lambda: look(self._runs), seconds=0)
        assert snapshot is not None  # noqa: S101 - a look always sees something
        if self._last is not None and (self._last.entries, self._last.cut) == (snapshot.entries, snapshot.cut):
            snapshot = Snapshot(snapshot.as_of, self._last.entries, self._last.cut, self._last.seen)
        self._last, self._looked_at = snapshot, began
        return snapshot


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()


def feed() -> Feed:
    loop = asyncio.get_running_loop()
    if loop not in _feeds:
        _feeds[loop] = Feed()
    return _feeds[loop]


def look(known: dict[tuple[UUID, str], frozenset[str] | None] | None = None) -> Snapshot:
    """One query; another one for the plans of runs that are new. `known`: what each run's stage was found to stop."""
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, {"most": MOST})
        rows = cursor.fetchall()
    remembered = {} if known is None else known
    _read_plans({(row[1], row[2]) for row in rows if row[0] == "identity"}, remembered)
    entries = {entry for row in rows for entry in _entries(row, remembered)}
    return Snapshot(rows[-1][-1], tuple(sorted(entries)), cut=rows[-1][-2])


def _entries(row: Sequence[Any], plans: Mapping[tuple[UUID, str], frozenset[str] | None]) -> list[Entry]:
    what, run, stage, state, provider, subject, kind, session, name, because, registered, _ = row
    if what == "session":
        return [Entry(provider, subject, kind, str(session), name, state, because or f"The session is {state}.")]
    if what != "identity":
        return []
    names = plans.get((run, stage))
    whole = [Entry(provider, subject, kind, "", "", "", _BECAUSE[state])]
    if names is None:
        return whole
    return ([] if registered else whole) + [Entry(provider, subject, kind, "", name, "paused", _BECAUSE[state]) for name in names]


def _read_plans(wanted: Collection[tuple[UUID, str]], known: dict[tuple[UUID, str], frozenset[str] | None]) -> None:
    """What a run's stage stops: these sessions, or (None) its identity as a whole. A plan is frozen, so it is read once."""
    new = {run for run, stage in wanted if (run, stage) not in known}
    if not new:
        return
    if len(known) > RUNS_REMEMBERED:
        known.clear()
        new = {run for run, _ in wanted}
    stages = dict(wanted)
    for run in Run.objects.filter(pk__in=new).only("id", "plan", "target"):
        known[(run.pk, stages[run.pk])] = _stopped_by(run, stages[run.pk])


def _stopped_by(run: Run, stage: str) -> frozenset[str] | None:
    if any(connector != "holdfast" or not measure.startswith("session.") for connector, measure in cuts(run.plan, stage)):
        return None
    cut = [run.target["session"]] if run.target.get("session") else run.target.get("facts", {}).get("sessions", [])
    return frozenset(str(name) for name in cut)
