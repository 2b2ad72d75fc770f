"""Whether a connector may be called now: what holds for all runs together, because their calls meet at one target.

A target that refuses our own credential, whatever we ask for, opens its connector's circuit: each try may lock the account, and a hundred
runs would try at once. A few tries a minute go out, the first that is let in closes it, and the runs that waited go on. Meanwhile every
page says so. A target that asks all of us for patience is given it by every run.

The pattern: Michael Nygard, Release It!, “Circuit Breaker”.
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from audit import clock
from audit.record import record, story
from core.actor import SYSTEM
from core.refs import Ref
from playbooks.boundary import GOES_ON
from playbooks.domain.moves import WORKABLE
from playbooks.domain.troubles import LOCKED_OUT, LONGEST_PAUSE_S
from playbooks.models import Attempt, Circuit, Run, Step
from playbooks.refusals import Stopped

TRIES, WITHIN = 3, timedelta(minutes=1)  # that go out to a target that refuses us
JITTER = 0.2  # of a pause, on top: those who wait do not all come back in one moment


def ref(connector: str) -> Ref:
    return Ref.to("connector", connector)


def enter(connector: str) -> None:
    """Called in the story of an intent: Stopped, and until when, where the connector may not be called now. Where its circuit is open and
    a try is free, this is the try."""
    now = clock.now()
    shut = Q(open_since__isnull=False) | Q(busy_until__gt=now)
    if not Circuit.objects.filter(shut, connector=connector).exists():
        return
    row = Circuit.objects.select_for_update().get(connector=connector)
    if row.busy_until is not None and row.busy_until > now:
        pause = (row.busy_until - now) * (1 + random.random() * JITTER)  # noqa: S311 - no secret
        raise Stopped(f"{connector} asked all calls for patience until {row.busy_until:%H:%M:%S} UTC. {GOES_ON}.", until=now + pause)
    if row.open_since is None:
        return
    lately = [at for at in row.tries if at > now - WITHIN]
    if len(lately) >= TRIES:
        raise Stopped(sentence(row), until=min(lately) + WITHIN)
    row.tries = [*lately, now]
    row.save(update_fields=["tries"])


def keeps_out(connector: str) -> str:
    """The same outside an intent, for what is only looked at: why it may not be called; empty where it may."""
    try:
        with transaction.atomic():
            enter(connector)
    except Stopped as stopped:
        return stopped.because
    return ""


def sentence(row: Circuit) -> str:
    return (
        f"{row.connector} has refused our own credential since {row.open_since:%Y-%m-%d %H:%M} UTC. It is asked again at most "
        f"{TRIES} times a minute. {GOES_ON}."
    )


@story
def refused(connector: str, said: str) -> None:
    """The target does not accept our own credential."""
    row = _locked(connector)
    if row.open_since is not None:
        return
    now = clock.now()
    row.open_since, row.said, row.tries = now, said, [now]
    row.save(update_fields=["open_since", "said", "tries"])
    record("connector.refused", ref(connector), actor=SYSTEM, connector=connector, said=said)


@transaction.atomic
def busy(connector: str, seconds: float) -> None:
    """The target asked all of us for patience. Believed up to a quarter of an hour; a shorter one does not shorten a longer one."""
    row, until = _locked(connector), clock.now() + timedelta(seconds=min(max(seconds, 0.0), LONGEST_PAUSE_S))
    if row.busy_until is None or row.busy_until < until:
        row.busy_until = until
        row.save(update_fields=["busy_until"])


def let_in(connector: str) -> None:
    """The target answered as it does to those whom it knows. What waited goes on at once."""
    if Circuit.objects.filter(connector=connector, open_since__isnull=False).exists() and (said := _close(connector)):
        waiting = Run.objects.filter(state__in=WORKABLE, because=said, next_at__gt=clock.now())
        waiting.update(next_at=clock.now())


@story
def _close(connector: str) -> str:
    """What those who waited for it say; empty where it is closed already."""
    row = _locked(connector)
    if row.open_since is None:
        return ""
    said, since = sentence(row), row.open_since
    row.open_since, row.said, row.tries, row.let_in_at = None, "", [], clock.now()
    row.save(update_fields=["open_since", "said", "tries", "let_in_at"])
    record("connector.let_in", ref(connector), actor=SYSTEM, connector=connector, since=f"{since:%Y-%m-%d %H:%M} UTC")
    return said


def is_about_one_target(step: Step) -> bool:
    """Whether others were let in since this step was refused before: then it is not our credential, it is what it may do there."""
    before = Attempt.objects.filter(step=step, outcome=LOCKED_OUT).order_by("-id").values_list("at", flat=True).first()
    return before is not None and Circuit.objects.filter(connector=step.connector, let_in_at__gt=before).exists()


def open_now() -> list[Circuit]:
    return list(Circuit.objects.filter(open_since__isnull=False).order_by("open_since"))


def waiting(row: Circuit) -> int:
    """Runs that wait for it."""
    return Run.objects.filter(state__in=WORKABLE, because=sentence(row)).count()


def _locked(connector: str) -> Circuit:
    Circuit.objects.get_or_create(connector=connector)
    return Circuit.objects.select_for_update().get(connector=connector)
