"""Limits of sources: how much one may post, and how many identities it may bring to containment in an hour; and who may set them.

Over either, a source observes: what it reports is stored and judged, and recorded as what would have been done. The others go on. It acts
again by itself once it has kept to its rate for CALM, or once its budget has room; a person may say so at once.

A message is counted in a transaction of its own, before it is stored: the counter of a source is locked for as long as one statement takes,
and never while something waits for the audit trail, so that a flood makes no other source wait, nor its own messages for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Max, Value
from django.db.models.functions import Least

from audit import clock
from audit.models import AuditEntry
from audit.record import record, story
from containment.domain.widening import parted
from containment.models import ContainmentSpend, Identity, Source, SourceAlarm, SourceAsk, SourceMeter
from containment.refusals import (
    AskAnswered,
    NoSuchSource,
    NotAsShown,
    NotObserving,
    NotThePerson,
    ObservesAlready,
    OwnApproval,
    TooManyDiscovered,
)
from core import masking
from core.actor import CLOCK, SYSTEM, Actor
from core.digest import digest
from core.refusals import BadInput, Fault, Forbidden, Missing

CALM = timedelta(minutes=10)
LIMITS = ("trust", "ceiling", "kinds", "providers", "rate_per_minute", "budget_per_hour", "max_age_seconds")
BEGINS_AT = "watch"
MOST_DISCOVERED = 1_000  # identities that a source may bring into the inventory in an hour by asking about them
CONFIRMS = "policy.approve"
LONGEST_REASON = 2000
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
_STEP = timedelta(seconds=20)  # a flood that goes on moves the end of the calm this often, not with every message

# A bucket that each message fills by one and time empties at the allowed rate. It holds the messages of one minute; the one that does not
# fit any more is over, and fills it no further.
_COUNT = """
    INSERT INTO source_meter AS meter (source_id, level, minute, in_minute, minute_before, at)
    VALUES (%(source)s, least(%(count)s, %(rate)s + 1), date_trunc('minute', clock_timestamp()), %(count)s, 0, clock_timestamp())
    ON CONFLICT (source_id) DO UPDATE SET
        level = least(%(rate)s + 1, %(count)s + greatest(
            0, meter.level - extract(epoch FROM greatest(clock_timestamp() - meter.at, interval '0')) * %(rate)s / 60.0)),
        in_minute = excluded.in_minute + CASE WHEN meter.minute = excluded.minute THEN meter.in_minute ELSE 0 END,
        minute_before = CASE WHEN meter.minute = excluded.minute THEN meter.minute_before
                             WHEN meter.minute = excluded.minute - interval '1 minute' THEN meter.in_minute ELSE 0 END,
        minute = excluded.minute,
        at = greatest(meter.at, clock_timestamp())
    RETURNING level
"""


def admit(source: Source, count: int = 1) -> str:
    """Count messages of a source. Says why it is only observed; empty where it may act."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"source": source.pk, "count": count, "rate": source.rate_per_minute})
        (level,) = cursor.fetchone() or (0.0,)
    if level > source.rate_per_minute:
        return _over_rate(source)
    return observed_because(source)


@contextmanager
def discovering(name: str) -> Iterator[None]:
    """Around a story in which the source `name` may discover somebody: where it was one too many, that is put on record, once an hour."""
    try:
        yield
    except TooManyDiscovered:
        _tell_of_discoveries(name)
        raise


def may_discover(name: str) -> None:
    """Counted without a lock: of many at once a few more get in."""
    found = Identity.objects.filter(discovered_by=name, discovered_at__gt=clock.now() - _HOUR)
    if found[:MOST_DISCOVERED].count() >= MOST_DISCOVERED:
        raise TooManyDiscovered(
            f"{name} asked about {MOST_DISCOVERED:,} identities within an hour that nobody knows, and no further one is taken in."
            " List them in the inventory, or try again later."
        )


@story
def _tell_of_discoveries(name: str) -> None:
    source = Source.objects.select_for_update(no_key=True, of=("self",)).filter(name=name).first()
    if source is None:
        return
    told = AuditEntry.objects.filter(verb="source.discovers_no_more", subject=str(source.ref), at__gt=clock.now() - _HOUR)
    if not told.exists():
        record("source.discovers_no_more", source.ref, actor=SYSTEM, source=name, most=MOST_DISCOVERED)


def observed_because(source: Source, *, at: datetime | None = None) -> str:
    """Why the source is only observed at this moment (now, where none is given); empty where it acts."""
    if source.state != "observing":
        return ""
    over = source.observes_until is not None and source.observes_until <= (at or clock.now())
    return "" if over else source.observes_because


def rates(source: Source, *, at: datetime) -> tuple[int, int]:
    """How many messages it posted in this minute, and in the one before."""
    meter = getattr(source, "meter", None)
    if meter is None:
        return 0, 0
    minute = at.replace(second=0, microsecond=0)
    if meter.minute == minute:
        return meter.in_minute, meter.minute_before
    return 0, meter.in_minute if meter.minute == minute - _MINUTE else 0


def over_budget(source: Source, identity: Identity, *, policy_allows: int, now: datetime) -> str:
    """Why this source may bring no further identity to containment, after which it observes; empty where it may. The caller holds the
    budget's lock. Where the policy allows a source less than its own budget, people are asked instead: that limit is the policy's.
    """
    allowed = source.budget_per_hour
    if allowed >= policy_allows:
        return ""
    brought = _brought(source, since=now - _HOUR)
    if identity.pk in brought or len(brought) < allowed:
        return ""
    freed = ContainmentSpend.objects.filter(source=source, identity__in=brought).aggregate(at=Max("at"))["at"] or now
    if allowed:
        freed = sorted(brought.values())[len(brought) - allowed]
    freed = min(freed, now)  # what lies ahead was before the clock was set back
    because = f"{source.name} brought {_many(allowed, 'identity', 'identities')} to containment within an hour, which is its budget."
    return drop(source.pk, "budget", because, limit=allowed, until=max(now + CALM, freed + _HOUR)).observes_because


def budget_left(source: Source, identity: Identity, *, now: datetime) -> int:
    """How many identities the source may still bring to containment in this hour, this one among them."""
    brought = _brought(source, since=now - _HOUR)
    return max(0, source.budget_per_hour - len(brought.keys() - {identity.pk}))


def _brought(source: Source, *, since: datetime) -> dict[UUID, datetime]:
    """Identity -> when it was last contained because of this source. A person who lets the source act gives it a fresh budget."""
    pardoned = source.alarms.filter(over="budget", pardoned=True).aggregate(at=Max("ended_at"))["at"]
    spent = ContainmentSpend.objects.filter(source=source, at__gt=max(since, pardoned) if pardoned else since)
    return dict(spent.values_list("identity").annotate(last=Max("at")))


# -- dropping and coming back ----------------------------------------------------------------------------------------------------------


def _over_rate(source: Source) -> str:
    until = clock.now() + CALM
    if source.state == "observing" and (source.observes_until is None or source.observes_until > until - _STEP):
        return source.observes_because
    because = f"{source.name} went over its rate of {_many(source.rate_per_minute, 'message')} a minute."
    return drop(source.pk, "rate", because, limit=source.rate_per_minute, until=until).observes_because


def set_back(by: timedelta) -> None:
    """The clock was set back by `by`: who observes for longer than anybody ever does from now on was told so under the former time. Told in
    the story of whoever found that."""
    observing = list(Source.objects.select_for_update().filter(state="observing").order_by("pk").values_list("pk", flat=True))
    latest = clock.now() + _HOUR
    ahead = Source.objects.filter(pk__in=observing, observes_until__gt=latest)
    ahead.update(observes_until=Least(F("observes_until") - by, Value(latest)))


@story
def drop(source_id: UUID, over: str, because: str, *, limit: int | None, until: datetime | None, actor: Actor = SYSTEM) -> Source:
    """From now on it observes, and an alarm stands until it acts again. One that observes already does so for longer, if anything."""
    source = _locked(source_id)
    if source.state == "observing":
        if source.observes_until is not None and (until is None or until > source.observes_until):
            source.observes_until = until
            source.save(update_fields=["observes_until"])
        return source
    source.state, source.observes_because, source.observes_until = "observing", because, until
    source.save(update_fields=["state", "observes_because", "observes_until"])
    alarm = SourceAlarm.objects.create(source=source, over=over, limit=limit, because=because, raised_at=clock.now())
    record("source.dropped", source.ref, actor=actor, about=[alarm.ref], source=source.name, because=because, over=over, limit=limit)
    return source


@story
def observe(source_id: UUID, reason: str, *, actor: Actor) -> Source:
    """A person has it observe, until a person lets it act again."""
    _must(actor)
    said = _reason(reason)
    if _locked(source_id).state == "observing":
        raise ObservesAlready("This source observes already.")
    return drop(source_id, "person", f"{actor.name} has it observe: {said}", limit=None, until=None, actor=actor)


@story
def let_act(source_id: UUID, reason: str, *, actor: Actor) -> Source:
    """A person lets it act again at once, with a fresh rate and budget. A flood that goes on drops it again."""
    _must(actor)
    said = _reason(reason)
    source = _locked(source_id)
    if source.state != "observing":
        raise NotObserving("This source acts already.")
    SourceMeter.objects.filter(source=source).update(level=0)
    return _restored(source, said, actor=actor, pardoned=True)


def restore_due(most: int) -> int:
    """Sources whose time is over act again. Returns how many."""
    due = Source.objects.filter(state="observing", observes_until__lte=clock.now()).order_by("observes_until")
    return sum(_restore(key) for key in list(due.values_list("pk", flat=True)[:most]))


@story
def _restore(source_id: UUID) -> bool:
    source = Source.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)).filter(pk=source_id, state="observing").first()
    if source is None or source.observes_until is None or source.observes_until > clock.now():
        return False  # another sweeper was faster, or the flood went on
    _restored(source, "it has kept to its limits since", actor=CLOCK, pardoned=False)
    return True


def _restored(source: Source, because: str, *, actor: Actor, pardoned: bool) -> Source:
    source.state, source.observes_because, source.observes_until = "active", "", None
    source.save(update_fields=["state", "observes_because", "observes_until"])
    source.alarms.filter(ended_at__isnull=True).update(ended_at=clock.now(), ended_because=because, pardoned=pardoned)
    record("source.restored", source.ref, actor=actor, source=source.name, because=because)
    return source


# -- setting them: less at once and on one word, more with a second person ----------------------------------------------------------------


@story
def add(name: str, wanted: dict[str, Any], *, actor: Actor) -> Source:
    """A new source brings about nothing, whatever is wanted of it, until a second person confirmed it."""
    _must(actor)
    if not name.strip() or len(name) > 100:
        raise BadInput([Fault("name", "wrong_form", "A name of at most 100 characters.")])
    begins = {**wanted, "ceiling": BEGINS_AT, "teaches": False}
    source, made = Source.objects.get_or_create(name=name.strip(), defaults=begins)
    if not made:
        raise BadInput([Fault("name", "taken", "There is a source of this name already.")])
    record("source.added", source.ref, actor=actor, source=source.name, **begins)
    _, waits = parts(source, wanted)
    if waits:
        ask(source, waits, actor=actor)
    return source


@story
def change(source_id: UUID, wanted: dict[str, Any], *, actor: Actor) -> Source:
    """Its trust, ceiling, kinds, providers, rate, budget or the age up to which its events count as fresh. What gives it less holds at
    once; what gives it more waits for a second person, and takes the place of what waited before."""
    _must(actor)
    source = _locked(source_id)
    at_once, waits = parts(source, wanted)
    if at_once:
        _set(source, at_once, "source.changed", actor=actor)
    if waits:
        ask(source, waits, actor=actor)
    elif at_once:
        lowered(source, at_once, actor=actor)
    return source


def parts(source: Source, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what may happen at once, what waits for a second person) of what is wanted."""
    return parted({name: getattr(source, name) for name in wanted}, wanted)


def waiting(source: Source) -> SourceAsk | None:
    return source.asks.filter(state="waiting").first()


def ask(source: Source, waits: dict[str, Any], *, actor: Actor) -> SourceAsk | None:
    """Keep what gives the source more until somebody else confirms it. None where exactly this waits already. The caller locked the source
    and looked at the actor's rights."""
    earlier = waiting(source)
    if earlier is not None and earlier.wanted == waits:
        return None
    if earlier is not None:
        _replace(earlier, source, "something else was asked for", actor=actor)
    was = {name: getattr(source, name) for name in waits}
    made = SourceAsk.objects.create(
        source=source, was=was, wanted=waits, asked_by=actor.principal, asked_by_name=actor.name, asked_at=clock.now()
    )
    record("source.asked", source.ref, actor=actor, source=source.name, changes=_names(waits), was=was, wanted=waits)
    return made


def lowered(source: Source, at_once: Collection[str], *, actor: Actor) -> None:
    """What waits for a limit that was lowered meanwhile waits no longer: whoever asked knew of another one."""
    earlier = waiting(source)
    if earlier is not None and set(earlier.wanted) & set(at_once):
        _replace(earlier, source, "it was given less meanwhile", actor=actor)


def digest_of(wanted: SourceAsk, source: Source) -> str:
    """Over all limits as they will be: what was on screen is what comes into force."""
    after = {name: getattr(source, name) for name in LIMITS} | dict(wanted.wanted)
    return digest({"ask": str(wanted.pk), "limits": {name: str(value) for name, value in after.items()}})


@story
def confirm(ask_id: UUID, *, seen_digest: str, actor: Actor) -> Source:
    """A second person's word. It is in force from the next message on."""
    if not (actor.is_person and actor.may(CONFIRMS)):
        raise NotThePerson("What gives a source more is confirmed by people who approve policies.")
    source, found = _asked(ask_id)
    if found.asked_by == actor.principal:
        raise OwnApproval("You asked for it yourself. Somebody else has to confirm it.")
    if digest_of(found, source) != seen_digest:
        raise NotAsShown("The limits of this source changed meanwhile. Read what waits again, then confirm it.")
    _set(source, found.wanted, "source.confirmed", actor=actor, asked_by=found.asked_by_name, digest=seen_digest)
    found.digest = seen_digest
    _answered(found, "confirmed", "", actor)
    return source


@story
def refuse(ask_id: UUID, reason: str, *, actor: Actor) -> Source:
    """Somebody who could confirm it says no, or whoever sets up sources takes it back. The limits stay as they are."""
    if not (actor.is_person and (actor.may(CONFIRMS) or actor.may("connector.edit"))):
        raise NotThePerson("Refusing it takes somebody who approves policies or sets up sources.")
    said = _reason(reason)
    source, found = _asked(ask_id)
    _answered(found, "refused", said, actor)
    record(
        "source.refused",
        source.ref,
        actor=actor,
        source=source.name,
        changes=_names(found.wanted),
        asked_by=found.asked_by_name,
        because=said,
    )
    return source


def _asked(ask_id: UUID) -> tuple[Source, SourceAsk]:
    """Locked, the source first, as everything does that changes its limits."""
    source_id = SourceAsk.objects.filter(pk=ask_id).values_list("source_id", flat=True).first()
    if source_id is None:
        raise Missing("Nothing of this kind was asked for.")
    source = _locked(source_id)
    found = SourceAsk.objects.select_for_update(of=("self",)).get(pk=ask_id)
    if found.state == "replaced":
        raise AskAnswered(f"It waits no longer: {found.because}.")
    if found.state != "waiting":
        raise AskAnswered(f"{found.answered_by_name} {found.state} it already.")
    return source, found


def _replace(earlier: SourceAsk, source: Source, because: str, *, actor: Actor) -> None:
    _answered(earlier, "replaced", because, actor)
    record("source.ask_replaced", source.ref, actor=actor, source=source.name, changes=_names(earlier.wanted), because=because)


def _answered(found: SourceAsk, state: str, because: str, actor: Actor) -> None:
    found.state, found.because, found.answered_at = state, because, clock.now()
    found.answered_by, found.answered_by_name = actor.principal, actor.name
    found.save(update_fields=["state", "because", "digest", "answered_at", "answered_by", "answered_by_name"])


def _set(source: Source, values: Mapping[str, Any], verb: str, *, actor: Actor, **facts: Any) -> None:
    was = {name: getattr(source, name) for name in values}
    for name, value in values.items():
        setattr(source, name, value)
    source.save(update_fields=list(values))
    record(verb, source.ref, actor=actor, source=source.name, changes=_names(values), was=was, now=dict(values), **facts)


def _names(values: Collection[str]) -> str:
    return ", ".join(sorted(values)).replace("_", " ")


def _locked(source_id: UUID) -> Source:
    """Without keeping detections from naming it."""
    source = Source.objects.select_for_update(no_key=True, of=("self",)).filter(pk=source_id).first()
    if source is None:
        raise NoSuchSource("There is no such source.")
    return source


def _must(actor: Actor) -> None:
    if not actor.may("connector.edit"):
        raise Forbidden("Setting up sources takes the right “connector.edit”, which engineers have.")


def _reason(reason: str) -> str:
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise BadInput([Fault("reason", "required", f"Say why, in at most {LONGEST_REASON} characters.")])
    return masking.in_text(reason.strip())


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"
