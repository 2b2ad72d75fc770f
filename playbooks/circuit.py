"""Whether a target may be called now: what holds for all runs together, because their calls meet at one door.

A door that refuses our own credential, whatever we ask for, has its circuit opened: each try may lock the account, and a hundred runs
would try at once. A few tries a minute go out, the first that is let in closes it, and the runs that waited go on. Meanwhile every page
says so. A door that asks all of us for patience is given it by every run. docs/decisions/0024-when-a-target-refuses-us.md.

The pattern: Michael Nygard, Release It!, “Circuit Breaker”.
"""

from __future__ import annotations

import logging
import random
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from audit import clock
from audit.record import record, story
from connectors import optional, registry
from connectors.base import Measure
from core.actor import SYSTEM
from core.refs import Ref
from playbooks.boundary import GOES_ON
from playbooks.domain.moves import WORKABLE
from playbooks.domain.troubles import LOCKED_OUT, LONGEST_PAUSE_S
from playbooks.models import Attempt, Circuit, Run, Step
from playbooks.refusals import Stopped

log = logging.getLogger(__name__)

TRIES, WITHIN = 3, timedelta(minutes=1)  # that go out to a door that refuses us
JITTER = 0.2  # of a pause, on top: those who wait do not all come back in one moment


def ref(connector: str) -> Ref:
    return Ref.to("connector", connector)


def door_of(step: Step) -> str:
    """What its calls meet at: the connector, and the host where it has several."""
    connector = registry.connector_for(step.connector)
    where = optional.door(connector, Measure(step.measure)) if connector is not None else ""
    return f"{step.connector} at {where}" if where else step.connector


def waits(step: Step, direction: str) -> bool:
    """Whether it stands before a shut door until that opens. A message does not. Evidence does where the cut that comes after it has to
    wait there as well; no other cut waits longer for it than it would otherwise."""
    if direction == "undo" or step.measure not in (Measure.EVIDENCE_PRESERVE, Measure.NOTIFY):
        return True
    cuts = Step.objects.filter(run_id=step.run_id, stage=step.stage, disruptive=True, connector=step.connector)
    return step.measure == Measure.EVIDENCE_PRESERVE and cuts.exists()


# -- before a call -------------------------------------------------------------------------------------------------------------------------


def enter(step: Step) -> datetime | None:
    """Called in a story: Stopped, and until when, where the door may not be knocked at now. Where its circuit is open and this is one of
    the few tries: when it knocked."""
    door = door_of(step)
    shut = Q(open_since__isnull=False) | Q(busy_until__gt=Now())
    if not Circuit.objects.filter(shut, door=door).exists():
        return None
    row = Circuit.objects.select_for_update().get(door=door)
    now = clock.now()
    if row.busy_until is not None and row.busy_until > now:
        pause = (row.busy_until - now) * (1 + random.random() * JITTER)  # noqa: S311 - no secret
        raise Stopped(f"{door} asked all calls for patience until {row.busy_until:%H:%M:%S} UTC. {GOES_ON}.", until=now + pause)
    if row.open_since is None:
        return None
    lately = [at for at in row.tries if at > now - WITHIN]
    if len(lately) >= TRIES:
        raise Stopped(sentence(row), until=min(lately) + WITHIN)
    row.tries = [*lately, now]
    row.save(update_fields=["tries"])
    return now


def knock(step: Step) -> datetime | None:
    """The same for a look that is no attempt."""
    with transaction.atomic():
        return enter(step)


def said_open(door: str) -> str:
    """What those say who do not try it; empty where it is not open."""
    row = Circuit.objects.filter(door=door, open_since__isnull=False).first()
    return sentence(row) if row else ""


def sentence(row: Circuit) -> str:
    return (
        f"{row.door} has refused our own credential since {row.open_since:%Y-%m-%d %H:%M} UTC. Runs ask it at most {TRIES} times a minute. "
        f"{GOES_ON}."
    )


# -- after it ------------------------------------------------------------------------------------------------------------------------------


@story
def refused(step: Step, said: str, *, direction: str) -> tuple[str, str]:
    """The door does not accept our own credential. The outcome of this attempt, and what is said about it."""
    row = _locked(door_of(step), step.connector)
    if _is_about_one_target(step, direction, row):
        return "rejected", f"{said} Others were let in meanwhile, so that it is about this target."
    _open(row, said)
    return (LOCKED_OUT, sentence(row)) if waits(step, direction) else ("rejected", said)


@story
def refused_at(connector: str, said: str) -> None:
    """The same, found by somebody who only asked who we are."""
    _open(_locked(connector, connector), said)


def _open(row: Circuit, said: str) -> None:
    if row.open_since is not None:
        return
    now = clock.now()
    row.open_since, row.said, row.tries = now, said, [now]
    row.save(update_fields=["open_since", "said", "tries"])
    record("connector.refused", ref(row.connector), actor=SYSTEM, connector=row.door, said=said)


def _is_about_one_target(step: Step, direction: str, row: Circuit) -> bool:
    """Whether the door let others in since it refused this step the time before: then our credential is good, and a right lacks."""
    before = Attempt.objects.filter(step=step, n=step.attempts - 1, direction=direction, outcome=LOCKED_OUT).first()
    return before is not None and row.open_since is None and row.let_in_at is not None and row.let_in_at > before.at


@transaction.atomic
def busy(step: Step, seconds: float) -> None:
    """The door asked all of us for patience. Believed up to a quarter of an hour; a shorter one does not shorten a longer one."""
    row, until = _locked(door_of(step), step.connector), clock.now() + timedelta(seconds=min(max(seconds, 0.0), LONGEST_PAUSE_S))
    if row.busy_until is None or row.busy_until < until:
        row.busy_until = until
        row.save(update_fields=["busy_until"])


def let_in(step: Step, *, asked: datetime | None = None) -> None:
    """The door answered as it does to those whom it knows. That counts for a try alone: a slow call from before it was shut says nothing.
    No trouble with this book decides what became of a call."""
    try:
        row = Circuit.objects.filter(door=door_of(step), open_since__isnull=False).first()
        if row is None:
            return
        intent = Attempt.objects.filter(step=step, kind="intent").order_by("-id").values_list("at", flat=True)
        if (asked or intent.first()) in row.tries:
            close(row.door)
    except DatabaseError:
        log.exception("it could not be noted that %s lets us in", step.connector)


def close(door: str) -> None:
    """What waited goes on at once."""
    said = _close(door)
    with transaction.atomic():
        waiting = Run.objects.filter(state__in=WORKABLE, because=said, next_at__gt=clock.now()) if said else Run.objects.none()
        keys = list(waiting.select_for_update(skip_locked=True, of=("self",)).order_by("pk").values_list("pk", flat=True))
        Run.objects.filter(pk__in=keys).update(next_at=clock.now())
        Step.objects.filter(run__in=keys, next_at__gt=clock.now(), state__in=["acting", "undoing"]).update(next_at=clock.now())


@story
def _close(door: str) -> str:
    """What those who waited for it say; empty where it is closed already."""
    row = Circuit.objects.select_for_update().filter(door=door, open_since__isnull=False).first()
    if row is None:
        return ""
    said, since = sentence(row), row.open_since
    row.open_since, row.said, row.tries, row.let_in_at = None, "", [], clock.now()
    row.save(update_fields=["open_since", "said", "tries", "let_in_at"])
    record("connector.let_in", ref(row.connector), actor=SYSTEM, connector=door, since=f"{since:%Y-%m-%d %H:%M} UTC")
    return said


# -- for pages -----------------------------------------------------------------------------------------------------------------------------


def open_now() -> list[Circuit]:
    """Of connectors that there are."""
    found = Circuit.objects.filter(open_since__isnull=False, connector__in=list(registry.providers()))
    return list(found.order_by("open_since"))


def waiting(row: Circuit) -> int:
    """Runs that wait for it."""
    return Run.objects.filter(state__in=WORKABLE, because=sentence(row)).count()


def _locked(door: str, connector: str) -> Circuit:
    Circuit.objects.get_or_create(door=door, defaults={"connector": connector})
    return Circuit.objects.select_for_update().get(door=door)
