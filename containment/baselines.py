"""Baselines as rows: what the events at hand could meet is brought in a few queries, and what they taught is written back in a few more.

Called by gather (reading) and by activity and flow (learning), whoever learns with the identities locked. What is learned, and what a
baseline says of an event, is decided in containment.domain.baseline.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from containment.domain import baseline as usual
from containment.domain import trail as trails
from containment.domain.baseline import Habit
from containment.domain.event import Event
from containment.domain.facts import BaselineFacts, StepFacts, UseFacts
from containment.domain.policy import RiskPolicy
from containment.domain.trail import Trail
from containment.models import Activity, Baseline, DailyUse
from containment.models import Trail as TrailRow
from core.ids import uuid7

KEPT = timedelta(days=30)  # how long the raw feed stays, and the trail of a session in which nothing happens
USE_DAYS = 7
MOST_WAYS = 200  # of sessions, workflows and credentials whose use of the last week is looked at
TIDIED_AT_ONCE = 5_000

Part = tuple[str, str, str, str]  # identity, role, workflow, tenant
Line = tuple[str, str]  # identity, session: whose trail


@dataclass(frozen=True, slots=True)
class Doing:
    """One event and whose it is. Role, workflow and tenant are the inventory's word for the session; empty for one nobody vouches for."""

    event: Event
    identity: UUID
    session: UUID | None = None
    role: str = ""
    workflow: str = ""
    tenant: str = ""
    credential: UUID | None = None

    @property
    def own(self) -> Part:
        return (str(self.identity), "", "", "")

    @property
    def exact(self) -> Part:
        return (str(self.identity), self.role, self.workflow, self.tenant)

    @property
    def line(self) -> Line:
        return (str(self.identity), str(self.session or ""))


@dataclass(frozen=True, slots=True)
class Noticed:
    """What is known beside one event, before it is learned. `last_active_at`: of the identity, whatever it did."""

    baseline: BaselineFacts | None
    trail: tuple[StepFacts, ...]
    last_active_at: datetime | None


@dataclass(slots=True)
class Book:
    """The baselines and trails that some events touch, in memory. `take` changes them, `close` writes them."""

    policy: RiskPolicy
    now: datetime
    baselines: dict[Part, usual.Baseline] = field(default_factory=dict)
    rows: dict[Part, UUID] = field(default_factory=dict)
    trails: dict[Line, Trail] = field(default_factory=dict)
    touched: set[Part] = field(default_factory=set)
    walked: set[Line] = field(default_factory=set)
    used: dict[tuple[str, str, str, str, str], int] = field(default_factory=dict)

    def notice(self, doing: Doing, *, told_twice: timedelta | None = None) -> Noticed:
        """`told_twice`: a step of the trail that is this event itself, told by a feed within that time, is not before it."""
        trail = self.trail_of(doing.line)
        if told_twice is not None:
            trail = trails.without(trail, doing.event, within=told_twice)
        before = trails.before(trail, doing.event)
        own = self.baselines.get(doing.own)
        found = usual.chosen(self.baselines.get(doing.exact), own, enough=self.policy.thinning)
        return Noticed(
            baseline=usual.facts_of(found, doing.event, before) if found is not None else None,
            trail=trails.steps(trail, doing.event, named={action for chain in self.policy.chains for action in chain[:-1]}),
            last_active_at=own.newest_at if own is not None else None,
        )

    def put(self, part: Part, key: UUID, learned: Mapping[str, Any], **columns: Any) -> None:
        """A baseline as its row has it. What is kept with a later date than now is as of now."""
        self.rows[part] = key
        self.baselines[part] = usual.not_ahead(usual.restored(learned, of=_called(part), **columns), now=self.now)

    def candidates(self, doings: Sequence[Doing]) -> set[tuple[str, str, str, str]]:
        """(baseline, about, one, two): the habits that these events could meet, as far as there is a baseline that could have them."""
        return {(str(self.rows[part]), *habit) for part, habit in _candidates(self, doings) if part in self.rows}

    def meet(self, found: Iterable[Sequence[str]]) -> None:
        """Those of the candidates that are kept."""
        parts = {str(key): part for part, key in self.rows.items()}
        for baseline, *habit in found:
            self.baselines[parts[baseline]].known.add(Habit(*habit))

    def take(self, doing: Doing, *, learn: bool, lived: bool = False) -> None:
        """One event happened: it is a step of its session, and where nothing is wrong with it a baseline learns it. `lived`: history that
        somebody answers for, which counts as if it had been received when it happened."""
        event, trail = doing.event, self.trail_of(doing.line)
        if learn:
            before, on_time = trails.before(trail, event), trails.is_on_time(trail, event)
            for part in {doing.own, doing.exact}:
                if part not in self.baselines:
                    self.baselines[part] = usual.Baseline(of=_called(part))
                    self.rows[part] = uuid7()
                received_at = None if lived else self.now
                usual.learn(self.baselines[part], event, before, in_order=on_time, received_at=received_at)
                self.touched.add(part)
            way = (str(doing.identity), event.occurred_at.astimezone(UTC).date().isoformat(), str(doing.session or ""), doing.workflow)
            key = (*way, str(doing.credential or ""))
            self.used[key] = self.used.get(key, 0) + event.count
        trails.add(trail, event, usual.step_of(event))
        self.walked.add(doing.line)

    def close(self) -> None:
        """A handful of statements, however many events there were."""
        gone = {part: usual.let_go(self.baselines[part]) for part in sorted(self.touched)}
        self._write_baselines()
        self._write_habits()
        self._forget(gone)
        self._write_trails()
        self._write_use()

    def trail_of(self, line: Line) -> Trail:
        return self.trails.setdefault(line, Trail(loose=not line[1]))

    def _write_baselines(self) -> None:
        made = [
            Baseline(
                id=self.rows[part],
                identity_id=UUID(part[0]),
                role=part[1],
                workflow=part[2],
                tenant=part[3],
                events=self.baselines[part].events,
                newest_at=self.baselines[part].newest_at,
                oldest_at=self.baselines[part].oldest_at,
                learned=usual.written(self.baselines[part]),
            )
            for part in sorted(self.touched)
        ]
        Baseline.objects.bulk_create(
            made,
            update_conflicts=True,
            unique_fields=["identity", "role", "workflow", "tenant"],
            update_fields=["events", "newest_at", "oldest_at", "learned"],
        )

    def _write_habits(self) -> None:
        rows = [
            {"b": str(self.rows[part]), "about": habit.about, "one": habit.one, "two": habit.two}
            | {"n": use.count, "first": use.first_at.isoformat(), "last": use.last_at.isoformat()}
            for part in sorted(self.touched)
            for habit, use in sorted(self.baselines[part].gained.items())
        ]
        _execute(
            """
            INSERT INTO habit (baseline_id, about, one, two, count, first_at, last_at)
            SELECT b, about, one, two, n, first, last FROM jsonb_to_recordset(%s::jsonb)
                AS r(b uuid, about text, one text, two text, n bigint, first timestamptz, last timestamptz)
            ON CONFLICT (baseline_id, about, one, two) DO UPDATE SET count = habit.count + EXCLUDED.count,
                first_at = LEAST(habit.first_at, EXCLUDED.first_at), last_at = GREATEST(habit.last_at, EXCLUDED.last_at)
            """,
            rows,
        )

    def _forget(self, gone: Mapping[Part, Mapping[str, int]]) -> None:
        """A full baseline lets go what was unused for longest."""
        for part, sorts in gone.items():
            for about, count in sorts.items():
                with connection.cursor() as cursor:
                    cursor.execute(
                        "DELETE FROM habit WHERE id IN (SELECT id FROM habit WHERE baseline_id = %s AND about = %s"
                        " ORDER BY least(last_at, clock_timestamp()), count, id LIMIT %s)",
                        [self.rows[part], about, count],
                    )

    def _write_trails(self) -> None:
        made = [
            TrailRow(
                identity_id=UUID(line[0]),
                session_id=UUID(line[1]) if line[1] else None,
                newest_at=newest_at,
                kept=trails.written(self.trails[line]),
            )
            for line in sorted(self.walked)
            if (newest_at := self.trails[line].newest_at) is not None
        ]
        TrailRow.objects.bulk_create(
            made, update_conflicts=True, unique_fields=["identity", "session"], update_fields=["newest_at", "kept"]
        )

    def _write_use(self) -> None:
        names = ("i", "day", "s", "w", "c")
        rows = [
            {**dict(zip(names, (one or None for one in key), strict=True)), "w": key[3], "n": n} for key, n in sorted(self.used.items())
        ]
        _execute(
            """
            INSERT INTO daily_use (identity_id, day, session_id, workflow, credential_id, events)
            SELECT i, day, s, w, c, n FROM jsonb_to_recordset(%s::jsonb)
                AS r(i uuid, day date, s uuid, w text, c uuid, n bigint)
            ON CONFLICT (identity_id, day, session_id, workflow, credential_id) DO UPDATE SET events = daily_use.events + EXCLUDED.events
            """,
            rows,
        )


def opened(doings: Sequence[Doing], policy: RiskPolicy, *, now: datetime, known_before: datetime | None = None) -> Book:
    """Three queries, whatever the history: the baselines, the trails, and those of their habits that these events could meet.
    What is kept with a later date than `now` is as of now. `known_before`: a habit that began later does not count as known."""
    book = Book(policy, now)
    _read_trails(book, {doing.line for doing in doings})
    _read_baselines(book, {part for doing in doings for part in (doing.own, doing.exact)})
    _read_habits(book, doings, known_before)
    return book


def live_through(doings: Sequence[Doing], policy: RiskPolicy, *, now: datetime) -> None:
    """A past that somebody answers for, as if each event had been received when it happened. (The caller has locked the identities.)"""
    book = opened(doings, policy, now=now)
    for doing in sorted(doings, key=lambda one: one.event.occurred_at):
        book.take(doing, learn=True, lived=True)
    book.close()


def take(doing: Doing, policy: RiskPolicy, *, learn: bool, now: datetime) -> None:
    """One event that was judged: a step of its session, and where it may teach, part of what is usual. (The identity is locked.)"""
    book = opened([doing], policy, now=now)
    book.take(doing, learn=learn)
    book.close()


def use_of(identity: UUID, credential: UUID | None, *, now: datetime) -> tuple[UseFacts, ...]:
    """How much honest work of the last week went through each session, workflow and credential of this identity, or of this credential
    in whoever's hands."""
    since = now.date() - timedelta(days=USE_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(session_id::text, ''), workflow, coalesce(credential_id::text, ''), sum(events)::bigint AS events
            FROM daily_use WHERE (identity_id = %s OR credential_id = %s) AND day > %s AND day <= %s
            GROUP BY 1, 2, 3 ORDER BY events DESC, 1, 2, 3 LIMIT %s
            """,
            [identity, credential, since, now.date() + timedelta(days=1), MOST_WAYS],
        )
        return tuple(UseFacts(session=row[0], workflow=row[1], credential=row[2], events=row[3]) for row in cursor.fetchall())


def tidy(*, now: datetime) -> int:
    """Raw activity, trails and daily use whose time is over go, a bounded number at once."""
    gone = 0
    TrailRow.objects.filter(newest_at__gt=now).update(newest_at=now)  # one that says it is from the future would stay for ever
    for rows in (
        Activity.objects.filter(received_at__lt=now - KEPT).order_by("received_at"),
        TrailRow.objects.filter(newest_at__lt=now - KEPT).order_by("newest_at"),
        DailyUse.objects.filter(Q(day__lt=now.date() - timedelta(days=USE_DAYS + 1)) | Q(day__gt=now.date() + timedelta(days=1))).order_by(
            "day"
        ),
    ):
        old = list(rows.values_list("pk", flat=True)[:TIDIED_AT_ONCE])
        gone += rows.model.objects.filter(pk__in=old).delete()[0] if old else 0
    return gone


def _called(part: Part) -> str:
    _, role, workflow, tenant = part
    said = (("the role", role), ("the workflow", workflow), ("the tenant", tenant))
    return ", ".join(f"{what} {name}" for what, name in said if name) or "identity"


def _candidates(book: Book, doings: Sequence[Doing]) -> Iterator[tuple[Part, Habit]]:
    """What these events, each after the one before it in its session, could meet in a baseline. Trails are walked on copies."""
    walked: dict[Line, Trail] = {}
    for doing in sorted(doings, key=lambda one: one.event.occurred_at):
        if doing.line not in walked:
            walked[doing.line] = trails.copied(book.trail_of(doing.line))
        trail = walked[doing.line]
        for habit in usual.habits_of(doing.event, trails.before(trail, doing.event)):
            yield from ((part, habit) for part in {doing.own, doing.exact})
        trails.add(trail, doing.event, usual.step_of(doing.event))


def _read_baselines(book: Book, parts: Iterable[Part]) -> None:
    wanted = [{"i": i, "r": r, "w": w, "t": t} for i, r, w, t in sorted(parts)]
    found = Baseline.objects.raw(
        "SELECT b.* FROM baseline b JOIN jsonb_to_recordset(%s::jsonb) AS p(i uuid, r text, w text, t text)"
        " ON b.identity_id = p.i AND b.role = p.r AND b.workflow = p.w AND b.tenant = p.t",
        [json.dumps(wanted)],
    )
    for row in found:
        part = (str(row.identity_id), row.role, row.workflow, row.tenant)
        book.put(part, row.pk, row.learned, events=row.events, newest_at=row.newest_at, oldest_at=row.oldest_at)


def _read_trails(book: Book, lines: Iterable[Line]) -> None:
    wanted = [{"i": identity, "s": session or None} for identity, session in sorted(lines)]
    found = TrailRow.objects.raw(
        "SELECT t.* FROM trail t JOIN jsonb_to_recordset(%s::jsonb) AS l(i uuid, s uuid)"
        " ON t.identity_id = l.i AND t.session_id = l.s"
        " UNION ALL SELECT t.* FROM trail t JOIN jsonb_to_recordset(%s::jsonb) AS l(i uuid, s uuid)"
        " ON t.identity_id = l.i AND t.session_id IS NULL AND l.s IS NULL",
        [json.dumps(wanted), json.dumps(wanted)],
    )
    for row in found:
        line = (str(row.identity_id), str(row.session_id or ""))
        book.trails[line] = trails.restored(row.kept, newest_at=row.newest_at, loose=row.session_id is None, now=book.now)


def _read_habits(book: Book, doings: Sequence[Doing], known_before: datetime | None) -> None:
    wanted = book.candidates(doings)
    if not wanted:
        return
    rows = [{"b": b, "about": about, "one": one, "two": two} for b, about, one, two in sorted(wanted)]
    with connection.cursor() as cursor:
        cursor.execute(HABITS_MET, {"wanted": json.dumps(rows), "before": known_before})
        book.meet(cursor.fetchall())


HABITS_MET = """
    SELECT h.baseline_id::text, h.about, h.one, h.two FROM jsonb_to_recordset(%(wanted)s::jsonb)
        AS w(b uuid, about text, one text, two text) JOIN habit h
        ON h.baseline_id = w.b AND h.about = w.about AND h.one = w.one AND h.two = w.two
    WHERE h.first_at <= coalesce(%(before)s::timestamptz, 'infinity'::timestamptz)
"""


def _execute(statement: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(statement, [json.dumps(rows)])
