"""The quick way: a question to which nothing is said but yes. Three statements, no lock on the identity, no transaction between them.

It says *allow* or nothing. Whatever is not plainly fine (a session that is not plainly the one, a run, a hold, a case, an exception, a rule
that denies, a call outside its intent, any judgement but watch, an approval that is shown, a request that came before) is None, and slow.py
takes its time. What it allows, slow.py would allow on the same rows: both make their facts with the same functions (gather, session_use,
baselines, made), and a test compares the facts.

Budgets stay exact without a lock that is held: the one statement that writes counts only where nobody else has counted since they were
read, and where somebody has, the question is asked again. So is the step in the trail of the session. It waits for nobody: whoever holds
the session, what it used or its trail may be about to stop it, and a yes that waited for that would be older than the no.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import InterfaceError, OperationalError

from containment import gather, intake, session_use, speaking
from containment.baselines import HABITS_MET, Doing
from containment.domain import baseline as usual
from containment.domain import trail as trails
from containment.domain.decide import Verdict as Judged
from containment.domain.decide import decide
from containment.domain.facts import Facts, Kind
from containment.domain.intent import Seen
from containment.domain.judge import question_of
from containment.domain.scope_rules import Answer as Permitted
from containment.domain.scope_rules import Permit
from containment.session_use import Told
from core.actor import Actor
from core.ids import uuid7
from guard import asked, made, rules, scene, standing, verdicts
from guard.answers import Answer, Reason
from guard.models import GuardCall
from guard.question import request_of
from guard.scene import Scene
from guard.standing import Acting
from guard.verdicts import Verdict
from sources.asking import Ask
from sources.base import Reading

log = logging.getLogger(__name__)

TRIES = 3  # how often somebody else may count for the same session in between
PAUSE_S = 0.004  # between two tries
COUNTED_BY_THE_HOUR = "privilege.change"  # judged by how many there were before
QUIET = 1  # the sentence of decide
_UNDATED = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What was found fine. `doing`: the step that it is; `seen`: where its session has seen the places that it goes to."""

    facts: Facts
    permit: Permit
    told: Told | None
    reading: Reading
    doing: Doing
    seen: Mapping[str, Seen]
    risk: float
    because: str


def quick(ask: Ask, actor: Actor) -> Answer | None:
    """The answer where it is a plain yes; None where somebody has to look closer, or where the database did not answer."""
    if ask.approval or ask.minted_id or ask.action in ("", COUNTED_BY_THE_HOUR):
        return None
    try:
        return _answered(ask, actor)
    except (OperationalError, InterfaceError) as trouble:
        log.info("A call takes the whole story: %s", type(trouble).__name__)
        return None


def _answered(ask: Ask, actor: Actor) -> Answer | None:
    key = uuid7()
    reading = asked.reading(ask, key, now=_UNDATED)
    with scene.cursor() as at:
        for _ in range(TRIES):
            found = scene.read(reading, speaking.source_name(actor), (actor.principal, request_of(ask)), at)
            if found is not None and not _may_ask(actor, found):
                return None
            weighed = weigh(ask, reading, found, at) if found is not None else None
            if found is None or weighed is None:
                return None
            verdict = _verdict(found, weighed)
            row = _row(key, verdict, ask, found, weighed, actor)
            try:
                if _write(row, found, weighed, at):
                    return verdicts.answer_of(row, verdict, ask)
            except psycopg.errors.UniqueViolation:
                return None  # the same request was answered meanwhile
            time.sleep(random.uniform(0, PAUSE_S))  # noqa: S311 - jitter
    return None


# -- weighing ----------------------------------------------------------------------------------------------------------------------------


def weigh(ask: Ask, reading: Reading, found: Scene, at: psycopg.Cursor[Any]) -> Weighed | None:
    """The order of slow.py, cut short at the first no."""
    identity, session = found.known.identity, found.session
    if session.parent_id is not None:
        return None  # what it uses, others use too: counted under their locks
    if not _may_speak(found, ask.kind, ask.provider):
        return None
    acting = Acting(session, (session,), ask.session)
    permit = rules.permit(ask, identity, acting, found.policy.scope)
    if permit.answer not in (Permitted.ALLOWED, Permitted.SILENT):
        return None
    reading = replace(reading, occurred_at=found.now, session=session.external_id, tool=made.tool_of(ask, found.approved))
    if reading.tool and found.use is None:
        return None
    detection = made.detection_of(
        reading,
        source=found.known.source,
        identity=identity,
        session=session,
        resource=made.resource_of(reading, found.resource),
        now=found.now,
    )
    doing = gather.doing_of(detection)
    lookup = _Lookup(found, doing, at)
    told = _told(reading, found, lookup)
    approved = permit.allowed or found.approved.says_anything or identity.kind != Kind.AI_AGENT
    if not approved and standing.is_write(ask, told.call.writes if told else None):
        return None
    lookup.at_least_habits()
    noticed = found.book.notice(doing, told_twice=gather.SAME_EVENT)
    ruling = made.ruling_of(permit, found.policy)
    facts = replace(
        gather.facts_from(detection, found.known.around, found.policy, noticed, now=found.now),
        call=told.call if told else None,
        intent=told.intent if told else None,
        ruling=ruling,
    )
    if made.outside_intent(facts, ask) is not None:
        return None
    question = question_of(facts, found.policy)
    choice = decide(question)
    if choice.verdict is not Judged.WATCH or choice.would_have or choice.sentence != QUIET:
        return None
    return Weighed(
        facts=facts,
        permit=permit,
        told=told,
        reading=reading,
        doing=doing,
        seen=lookup.seen,
        risk=question.risk,
        because=choice.because,
    )


def _may_ask(actor: Actor, found: Scene) -> bool:
    """Whether the token plainly speaks for this identity and in this session. Where an identity was merged, the other way finds out."""
    return actor.speaks_for in ("", str(found.known.identity.ref)) and speaking.may_act_in(actor, found.session)


def _may_speak(found: Scene, kind: str, provider: str) -> bool:
    source = found.known.source
    kinds = not source.kinds or {kind, found.known.identity.kind} <= set(source.kinds)
    return kinds and (not source.providers or provider in source.providers)


def _told(reading: Reading, found: Scene, lookup: _Lookup) -> Told | None:
    """The call beside the intent of its session."""
    if not reading.tool or found.use is None:
        return None
    return session_use.compared(found.use, found.approved, intake.event_of(reading, found.session), now=found.now, seen=lookup)


class _Lookup:
    """Where the session has seen values, and which habits its baselines have: one statement for both, asked when the values are known."""

    def __init__(self, found: Scene, doing: Doing, at: psycopg.Cursor[Any]) -> None:
        self.found, self.at = found, at
        self.wanted = found.book.candidates([doing])
        self.before = doing.event.occurred_at - gather.SAME_EVENT
        self.seen: dict[str, Seen] = {}
        self.looked = False

    def __call__(self, marks: Collection[str]) -> Mapping[str, Seen]:
        self.looked = True
        if not marks and not self.wanted:
            return self.seen
        names = {fingerprint: mark for mark, fingerprint in session_use.fingerprints(self.found.session, marks).items()}
        told = {"session": self.found.session.pk, "marks": list(names), "before": self.before, "wanted": _as_rows(self.wanted)}
        habits, marked = scene.statement(self.at, _LOOK, told).fetchone() or ([], [])
        self.found.book.meet(habits or [])
        self.seen = {names[bytes.fromhex(mark)]: Seen(int(seen)) for mark, seen in marked or []}
        return self.seen

    def at_least_habits(self) -> None:
        if not self.looked:
            self(())


def _as_rows(wanted: Collection[tuple[str, str, str, str]]) -> str:
    return json.dumps([{"b": b, "about": about, "one": one, "two": two} for b, about, one, two in wanted])


_LOOK = f"""
    SELECT (SELECT array_agg(ARRAY[met.baseline, met.about, met.one, met.two]) FROM ({HABITS_MET}) AS met(baseline, about, one, two)),
        (SELECT array_agg(ARRAY[encode(mark, 'hex'), seen::text]) FROM session_mark
            WHERE session_id = %(session)s AND mark = ANY(%(marks)s::bytea[]))
"""  # noqa: S608 - two statements of ours


# -- saying and writing --------------------------------------------------------------------------------------------------------------------


def _verdict(found: Scene, weighed: Weighed) -> Verdict:
    by_rule = weighed.permit.allowed
    return Verdict(
        verdict="allow",
        reason=Reason.BY_RULE if by_rule else Reason.ALLOWED,
        because=weighed.permit.because if by_rule else weighed.because,
        policy_version=found.policy_version,
        risk=weighed.risk,
    )


def _row(key: UUID, verdict: Verdict, ask: Ask, found: Scene, weighed: Weighed, actor: Actor) -> GuardCall:
    return verdicts.row_of(
        verdict,
        ask,
        key=key,
        identity=found.known.identity,
        session=found.session,
        writes=standing.is_write(ask, weighed.told.call.writes if weighed.told else None),
        actor=actor,
        now=found.now,
    )


def _write(row: GuardCall, found: Scene, weighed: Weighed, at: psycopg.Cursor[Any]) -> bool:
    """The row, the step and the count, all or none. False where somebody else counts or steps for this session or did so meanwhile, where
    the session was closed, and where its identity is contained or people are asked about it by now."""
    path = found.book.trail_of(weighed.doing.line)
    trails.add(path, weighed.doing.event, usual.step_of(weighed.doing.event))
    told: dict[str, Any] = {str(field.column): getattr(row, field.attname) for field in GuardCall._meta.concrete_fields}
    told |= {"trail": found.trail_id, "step": found.step, "newest_at": path.newest_at, "kept": json.dumps(trails.written(path))}
    told["called"] = str(found.known.identity.ref)
    if weighed.told is None:
        done = scene.statement(at, _WRITE, told).rowcount == 1
    else:
        done = scene.statement(at, _WRITE_AND_COUNT, told | _counted(found, weighed, weighed.told)).rowcount == 1
    if done and found.fading:
        scene.statement(at, _ALIVE, {"session": found.session.pk, "now": found.now})
    return done


def _counted(found: Scene, weighed: Weighed, told: Told) -> dict[str, Any]:
    use, event = found.use, intake.event_of(weighed.reading, found.session)
    assert use is not None  # noqa: S101 - looked at before
    marks = use.marks
    places = session_use.count(use, event, told.call, told.targets, now=found.now, seen=weighed.seen)
    new = sum(place not in weighed.seen for place in places)
    return {
        "was": found.windows,
        "marks": marks,
        "windows": json.dumps(use.windows),
        "new": new,
        "places": sorted(session_use.fingerprints(found.session, places).values()),
        "touched": int(Seen.TOUCHED),
    }


_COLUMNS = [str(field.column) for field in GuardCall._meta.concrete_fields]
_ALWAYS = {"asked": "true", "verdict": "'allow'", "would_have": "''", "digest": "''", "outcome": "''"} | dict.fromkeys(
    ("detection", "hold", "reported_at", "batch"), "NULL"
)
_VALUES = [_ALWAYS.get(column, f"%({column})s") for column in _COLUMNS]
_STILL = """
    SELECT trail.id FROM session JOIN trail ON trail.id = %(trail)s{join}
    WHERE session.id = %(session)s AND session.gate = 'active' AND session.ended_at IS NULL
        AND (session.expires_at IS NULL OR session.expires_at > clock_timestamp())
        AND coalesce((trail.kept->>'number')::int, 0) = %(step)s{counted} AND {free}
    FOR SHARE OF session SKIP LOCKED FOR UPDATE OF {rows} SKIP LOCKED
"""
_STEPPED = """
    UPDATE trail SET newest_at = %(newest_at)s, kept = %(kept)s::jsonb FROM still WHERE trail.id = still.id
"""
_SAID = f"""
    INSERT INTO guard_call ({", ".join(_COLUMNS)}) SELECT {", ".join(_VALUES)} FROM still
"""  # noqa: S608 - columns of ours
_FREE = scene.is_free("%(called)s::text")
_WRITE = f"WITH still AS MATERIALIZED ({_STILL.format(join='', counted='', rows='trail', free=_FREE)}), stepped AS ({_STEPPED}) {_SAID}"
_WRITE_AND_COUNT = f"""
    WITH still AS MATERIALIZED ({
    _STILL.format(
        join=" JOIN session_use AS used ON used.session_id = session.id",
        counted=" AND used.windows = %(was)s::jsonb AND used.marks = %(marks)s",
        rows="used, trail",
        free=_FREE,
    )
}), stepped AS ({_STEPPED}), counted AS (
        UPDATE session_use SET windows = %(windows)s::jsonb, marks = session_use.marks + %(new)s FROM still
        WHERE session_use.session_id = %(session)s
    ), touched AS (
        INSERT INTO session_mark (session_id, mark, seen, touched_at)
        SELECT %(session)s, mark, %(touched)s, %(asked_at)s FROM still, unnest(%(places)s::bytea[]) AS mark
        ON CONFLICT (session_id, mark) DO UPDATE SET seen = session_mark.seen | excluded.seen, touched_at = excluded.touched_at
    ) {_SAID}
"""  # noqa: S608 - columns of ours
_ALIVE = """
    UPDATE session SET last_seen_at = %(now)s
    WHERE id IN (SELECT id FROM session WHERE id = %(session)s FOR NO KEY UPDATE SKIP LOCKED)
"""
