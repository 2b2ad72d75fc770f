"""Activity: what identities do comes in, is compared with what they usually do, and becomes part of it where nothing is wrong.

An event that would lead judgement to more than watch is reported by ourselves, as a detection of the feed's own source, and from then on
goes the way of every detection. Such an event is not learned, nor is anything that its identity does while it has an open case: nobody
teaches a baseline what an attack looks like. Only a source that an engineer marked as a feed teaches at all, and not while it observes.

Late events count for what was used and when, not for how fast and not for chains. An event from the future is taken as of now; one that is
dated further ahead than a clock may run is neither learned nor a step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection

from audit import clock
from audit.record import record, story
from containment import baselines, flow, gather, intake, minted, policies, session_use
from containment.baselines import Book, Doing, Noticed
from containment.domain.decide import Verdict
from containment.domain.event import Event
from containment.domain.facts import ActionFacts, CallFacts, Facts, Stage
from containment.domain.judge import judge
from containment.domain.policy import RiskPolicy
from containment.domain.signals import fired
from containment.models import Activity, Case, Detection, Identity, Resource, Session, Source
from core import masking
from core.actor import Actor
from core.digest import digest, plain
from core.ids import uuid7
from core.refusals import Refusal
from sources.activity import Observed
from sources.base import Reading

log = logging.getLogger(__name__)

STANDING = frozenset({"credential_shared"})  # true of the credential all the time: no event makes it news
LONGEST_TITLE = 300
IDENTITIES_AT_A_TIME = 50  # whose locks one story holds
EVENTS_AT_A_TIME = 1_000
MOST_TOLD = 20  # of one session in one part: distinct suspicious things that are reported, and beyond that only what is worse
_STEPS: Mapping[Verdict, int] = {Verdict.HOLD: 1, Verdict.CONTAIN: 2, Verdict.COVERED: 2}


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a feed, and the message that it was read from."""

    observed: Observed
    message: Mapping[str, Any]


@dataclass(slots=True)
class Taken:
    """What became of one event. `detection`: the one that was made from it, because it would lead to more than watch."""

    duplicate: bool = False
    learned: bool = False
    detection: UUID | None = None


@dataclass(slots=True)
class _Entry:
    """One event on its way: who, where and on what are rows by now. `called`: its tool call beside the intent of its session."""

    told: Told
    taken: Taken
    key: str
    identity: Identity
    session: Session | None
    resource: Resource | None
    doing: Doing
    ahead: bool = False
    called: session_use.Told | None = None


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """The signals that fired, and how far what judgement would do goes: the larger, the worse."""

    codes: frozenset[str]
    harshness: tuple[int, int]


@dataclass(slots=True)
class _World:
    """What the judgement of one session looks at, gathered once for all its events in the batch."""

    policy: RiskPolicy
    source: Source
    admitted: intake.Admitted
    now: datetime
    known: dict[tuple[UUID, str, bool], Facts] = field(default_factory=dict)

    def facts_of(self, entry: _Entry, noticed: Noticed) -> Facts:
        event, reading = entry.doing.event, entry.told.observed.reading
        key = (entry.identity.pk, reading.session, event.action == "privilege.change")
        if key not in self.known:
            self.known[key] = gather.facts_of(_as_detection(entry, self), self.policy, now=self.now)
        known = self.known[key]
        assert known.detection is not None  # noqa: S101 - it was gathered for one
        said: dict[str, Any] = {name: str(reading.context.get(name) or "") for name in ("source_ip", "environment", "tenant")}
        return replace(
            known,
            identity=replace(known.identity, last_active_at=noticed.last_active_at),
            detection=replace(known.detection, occurred_at=event.occurred_at, **said),
            action=ActionFacts(name=event.action, count=event.count),
            resource=gather.resource_facts(entry.resource) if entry.resource else None,
            call=entry.called.call if entry.called else _call(event),
            intent=entry.called.intent if entry.called else None,
            baseline=noticed.baseline,
            trail=noticed.trail,
        )


def take(events: Sequence[Told], *, actor: Actor) -> list[Taken | Refusal]:
    """One answer for each event, in their order. Each part is counted against the source's rate, then taken in one story. What was reported
    is decided at once; where that fails, it is due work."""
    answers: list[Taken | Refusal] = []
    for part in _parts(events):
        answers += _take(part, actor, intake.admit(actor, len(part)))
    for answer in answers:
        if isinstance(answer, Taken) and answer.detection is not None and not answer.duplicate:
            _decide(answer.detection)
    return answers


def live_through(events: Sequence[Told], *, actor: Actor) -> list[Taken | Refusal]:
    """A past that somebody answers for: learned as if each event had been received when it happened, and not judged."""
    answers: list[Taken | Refusal] = []
    for part in _parts(events):
        answers += _live_through(part, actor)
    return answers


def _parts(events: Sequence[Told]) -> Iterator[Sequence[Told]]:
    """In their order, each about a bounded number of identities: so many are locked at once, and for so long."""
    begin, seen = 0, set[tuple[str, str]]()
    for index, told in enumerate(events):
        who = (told.observed.reading.identity_provider, told.observed.reading.identity_subject)
        full = who not in seen and len(seen) == IDENTITIES_AT_A_TIME
        if full or index - begin == EVENTS_AT_A_TIME:
            yield events[begin:index]
            begin, seen = index, set()
        seen.add(who)
    if events:
        yield events[begin:]


@story
def _live_through(events: Sequence[Told], actor: Actor) -> list[Taken | Refusal]:
    now = clock.now()
    policy = policies.document(policies.in_force().text)
    answers, source = _allowed(events, actor)
    entries = [entry for entry in _entries(events, answers, source, now) if not entry.ahead] if source else []
    suspects = _under_suspicion({entry.identity.pk for entry in entries})
    fresh = _kept([entry for entry in entries if entry.identity.pk not in suspects], source, now) if source else []
    if source and fresh:
        baselines.live_through([entry.doing for entry in fresh], policy, now=now)
        for entry in fresh:
            entry.taken.learned = True
        record("activity.lived_through", source.ref, actor=actor, source=source.name, count=len(fresh))
    return answers


@story
def _take(events: Sequence[Told], actor: Actor, admitted: intake.Admitted) -> list[Taken | Refusal]:
    now = clock.now()
    policy = policies.document(policies.in_force().text)
    answers, source = _allowed(events, actor)
    entries = _entries(events, answers, source, now) if source else []
    fresh = _kept(entries, source, now) if source else []
    if not source or not fresh:
        return answers
    book = baselines.opened([entry.doing for entry in fresh], policy, now=now)
    raised = _learned(fresh, book, _World(policy, source, admitted, now), actor)
    book.close()
    _note(fresh, now)
    record(
        "activity.received",
        source.ref,
        actor=actor,
        count=len(fresh),
        identities=len({entry.identity.pk for entry in fresh}),
        learned=sum(entry.taken.learned for entry in fresh),
        raised=raised,
    )
    return answers


# -- who, where and on what --------------------------------------------------------------------------------------------------------------


def _allowed(events: Sequence[Told], actor: Actor) -> tuple[list[Taken | Refusal], Source | None]:
    """For each event an empty answer, or why the token may not say it."""
    asked: dict[tuple[str, str, str], Source | Refusal] = {}
    answers: list[Taken | Refusal] = []
    for reading in (told.observed.reading for told in events):
        key = (reading.source, reading.identity_kind, reading.identity_provider)
        if key not in asked:
            try:
                asked[key] = intake.source_of(reading, actor)
            except Refusal as refusal:
                asked[key] = refusal
        found = asked[key]
        answers.append(found if isinstance(found, Refusal) else Taken())
    return answers, next((found for found in asked.values() if isinstance(found, Source)), None)


def _entries(events: Sequence[Told], answers: list[Taken | Refusal], source: Source, now: datetime) -> list[_Entry]:
    """Whatever was not seen before is discovered, each thing once and in the same order in every batch; identities are locked."""
    readings = [told.observed.reading for told, answer in zip(events, answers, strict=True) if isinstance(answer, Taken)]
    identities = intake.identities_for(readings, now)
    sessions = _sessions(readings, identities, now)
    alone = _only_sessions({identity.pk for identity in identities.values()})
    resources = intake.resources_for(readings, now)
    entries: list[_Entry] = []
    for index, (told, answer) in enumerate(zip(events, answers, strict=True)):
        if not isinstance(answer, Taken):
            continue
        reading = told.observed.reading
        identity = identities[reading.identity_provider, reading.identity_subject]
        try:
            intake.may_speak_about(source, identity.kind)  # the inventory's word, not the message's
        except Refusal as refusal:
            answers[index] = refusal
            continue
        session = sessions.get((identity.pk, reading.session)) if reading.session else alone.get(identity.pk)
        resource = resources.get((reading.resource_kind, reading.resource_id))
        doing = _doing(told.observed, identity, session, resource, now)
        key = told.observed.id or f"~{uuid7()}"  # the sender gave none: nothing to know it again by
        ahead = gather.is_ahead(reading.occurred_at, received_at=now)
        entries.append(_Entry(told, answer, key, identity, session, resource, doing, ahead))
    return entries


def _sessions(
    readings: Iterable[Reading], identities: Mapping[tuple[str, str], Identity], now: datetime
) -> dict[tuple[UUID, str], Session | None]:
    first: dict[tuple[UUID, str], tuple[Identity, Reading]] = {}
    for reading in readings:
        identity = identities[reading.identity_provider, reading.identity_subject]
        if reading.session:
            first.setdefault((identity.pk, reading.session), (identity, reading))
    return intake.sessions_for(first, now)


def _only_sessions(identities: set[UUID]) -> dict[UUID, Session]:
    live = list(Session.objects.filter(identity_id__in=identities, ended_at__isnull=True, discovered_at__isnull=True))
    return {key: session for key in identities if (session := gather.only_session(key, live)) is not None}


def _doing(observed: Observed, identity: Identity, session: Session | None, resource: Resource | None, now: datetime) -> Doing:
    vouched = session if session is not None and session.discovered_at is None else None
    reading = observed.reading
    event = Event(
        occurred_at=min(reading.occurred_at, now),
        action=reading.action,
        count=reading.action_count,
        resource_kind=reading.resource_kind,
        resource=reading.resource_id,
        system=resource.system if resource else "",
        tool=observed.tool,
        writes=observed.writes,
        arguments=observed.arguments,
        bytes=observed.bytes,
        money=observed.money,
        returned=observed.returned,
        session=str(session.pk) if session else "",
    )
    return Doing(
        event=event,
        identity=identity.pk,
        session=session.pk if session else None,
        role=vouched.role if vouched else "",
        workflow=vouched.workflow if vouched else "",
        tenant=vouched.tenant if vouched else "",
        credential=vouched.credential_id if vouched else None,
    )


def _kept(entries: Sequence[_Entry], source: Source, now: datetime) -> list[_Entry]:
    """Written into the feed, once for each id of this source: the entries that were not there before."""
    first: dict[str, _Entry] = {}
    for entry in entries:
        first.setdefault(entry.key, entry)
    rows = [_row(entry, source, now) for entry in first.values()]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [json.dumps(rows)])
        new = {key for (key,) in cursor.fetchall()}
    fresh = [entry for entry in first.values() if entry.key in new]
    for entry in entries:
        entry.taken.duplicate = entry.key not in new or first[entry.key] is not entry
    return fresh


_INSERT = """
    INSERT INTO activity (source_id, external_id, identity_id, session_id, resource_id, action, count, tool, writes, system,
                          occurred_at, received_at, learned)
    SELECT source, key, identity, session, resource, action, count, tool, writes, system, occurred, received, true
    FROM jsonb_to_recordset(%s::jsonb) AS r(source uuid, key text, identity uuid, session uuid, resource uuid, action text, count int,
                                            tool text, writes boolean, system text, occurred timestamptz, received timestamptz)
    ON CONFLICT (source_id, external_id) DO NOTHING RETURNING external_id
"""


def _row(entry: _Entry, source: Source, now: datetime) -> dict[str, Any]:
    event = entry.doing.event
    return {
        "source": str(source.pk),
        "key": entry.key,
        "identity": str(entry.identity.pk),
        "session": str(entry.session.pk) if entry.session else None,
        "resource": str(entry.resource.pk) if entry.resource else None,
        "action": event.action,
        "count": event.count,
        "tool": event.tool,
        "writes": event.writes,
        "system": event.system,
        "occurred": event.occurred_at.isoformat(),
        "received": now.isoformat(),
    }


# -- comparing and learning --------------------------------------------------------------------------------------------------------------


def _learned(entries: Sequence[_Entry], book: Book, world: _World, actor: Actor) -> int:
    """One event after the other, by when they happened. Says how many detections were made of them."""
    suspects = _under_suspicion({entry.identity.pk for entry in entries})
    teaches = world.source.teaches and not world.admitted.observed_because
    told: dict[tuple[UUID, UUID | None], _Reported] = {}
    raised = 0
    for entry in sorted(entries, key=lambda one: one.doing.event.occurred_at):
        noticed = book.notice(entry.doing)
        if entry.doing.event.tool and entry.session is not None and entry.session.discovered_at is None:
            entry.called = session_use.hear(entry.session, entry.doing.event, source=world.source, actor=actor, now=world.now)
        if entry.session is not None:
            minted.note(entry.session, entry.told.observed.reading, source=world.source, actor=actor, now=world.now)
        suspicion = _suspicious(world.facts_of(entry, noticed), world.policy)
        if suspicion is not None:
            suspects.add(entry.identity.pk)
            if told.setdefault((entry.identity.pk, entry.doing.session), _Reported()).is_news(entry.doing.event, suspicion):
                entry.taken.detection = _report(entry, noticed, suspicion.codes, actor, world)
                raised += 1
        entry.taken.learned = teaches and not entry.ahead and entry.identity.pk not in suspects
        if not entry.ahead:
            book.take(entry.doing, learn=entry.taken.learned)
    return raised


@dataclass(slots=True)
class _Reported:
    """What was reported of one session in this part. The same once more is the same observation; what is worse is always news."""

    things: set[tuple[frozenset[str], str, str, str]] = field(default_factory=set)
    worst: tuple[int, int] = (0, 0)

    def is_news(self, event: Event, suspicion: _Suspicion) -> bool:
        thing = (suspicion.codes, event.action, event.resource_kind, event.resource)
        news = suspicion.harshness > self.worst or (thing not in self.things and len(self.things) < MOST_TOLD)
        if news:
            self.things.add(thing)
            self.worst = max(self.worst, suspicion.harshness)
        return news


def _under_suspicion(identities: set[UUID]) -> set[UUID]:
    return set(Case.objects.filter(identity_id__in=identities).exclude(state="closed").values_list("identity_id", flat=True))


def _suspicious(facts: Facts, policy: RiskPolicy) -> _Suspicion | None:
    """What would lead to more than watch; None otherwise. What fires nothing is not judged in full."""
    codes = frozenset(signal.code for signal in fired(facts, policy) if signal.ours)
    if not codes - STANDING:
        return None
    choice = judge(facts, policy).choice
    if choice.verdict is Verdict.WATCH and not choice.would_have:
        return None
    stage = 2 if choice.stage is Stage.HARD else 1 if choice.stage else 0
    return _Suspicion(codes, (_STEPS.get(choice.would_have or choice.verdict, 0), stage))


def _report(entry: _Entry, noticed: Noticed, codes: frozenset[str], actor: Actor, world: _World) -> UUID:
    """A detection by our own hand. It claims nothing: severity low, confidence 0; what counts is what our facts say."""
    event, observed = entry.doing.event, entry.told.observed
    where = f" on {event.resource}" if event.resource else ""
    words = ", ".join(sorted(code.replace("_", " ") for code in codes - STANDING))
    reading = replace(
        observed.reading,
        external_id=f"activity:{observed.id or digest(masking.in_message(dict(entry.told.message)))}",
        title=f"Observed: {event.action}{where} ({words})"[:LONGEST_TITLE],
        occurred_at=event.occurred_at,
    )
    received = intake.receive(reading, entry.told.message, actor=actor, admitted=world.admitted, source=world.source)
    if not received.duplicate:
        kept = {"baseline": noticed.baseline, "trail": noticed.trail, "call": _call(event), "last_active_at": noticed.last_active_at}
        Detection.objects.filter(pk=received.detection.pk).update(
            noticed=plain(kept), session=entry.session, called=session_use.kept(entry.called) if entry.called else {}
        )
    return received.detection.pk


def _as_detection(entry: _Entry, world: _World) -> Detection:
    """The event as the detection that it would make, not stored: facts are gathered of it as of any other."""
    reading, event = entry.told.observed.reading, entry.doing.event
    return Detection(
        source=world.source,
        external_id=entry.key,
        severity=reading.severity,
        confidence=reading.confidence,
        identity=entry.identity,
        session=entry.session,
        named_session=reading.session,
        resource=entry.resource,
        action=event.action,
        action_count=event.count,
        context=dict(reading.context),
        occurred_at=event.occurred_at,
        observed_because=world.admitted.observed_because,
        received_at=world.now,
        noticed={"baseline": None},
    )


def _call(event: Event) -> CallFacts | None:
    return CallFacts(tool=event.tool, writes=event.writes, bytes=event.bytes, money=event.money) if event.tool else None


def _note(entries: Sequence[_Entry], now: datetime) -> None:
    Identity.objects.filter(pk__in={entry.identity.pk for entry in entries}).update(last_seen_at=now)
    sources = {entry.key for entry in entries if not entry.taken.learned}
    if sources:
        Activity.objects.filter(received_at=now, external_id__in=sources).update(learned=False)


def _decide(detection_id: UUID) -> None:
    try:
        flow.decide(detection_id)
    except (Refusal, OperationalError) as reason:
        log.warning("The detection %s waits: %s", detection_id, reason)
    except Exception:
        log.exception("The detection %s waits: deciding it failed", detection_id)
