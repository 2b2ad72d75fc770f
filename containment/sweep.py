"""Sweep: find what is due and was not done, and do it. The truth behind every nudge.

Each round asks five short questions, deadlines first: a slow target must not make a hold lapse late. Work that became due a moment ago is
left to the workers, who were nudged; what is overdue is done here, runs in threads of their own (drivers.py). Run two of these on different
hosts; they share rows with SKIP LOCKED and need no leader.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from approvals import grants, groups, holds, requests
from audit import clock, nudges
from containment import backtests, baselines, clock_jumps, duties, exposures, flow, grouped, limits, session_use, sessions
from containment.drivers import Drivers
from containment.models import Detection, Heartbeat
from core.refusals import Refusal
from playbooks import engine, forgetting
from playbooks.domain.moves import WORKABLE
from playbooks.models import Run
from playbooks.runs import DRIVE, ENGINE_VERSION

log = logging.getLogger(__name__)

BUSY_S, IDLE_S, AWAY_S = 0.25, 2.0, 1.0
GRACE = timedelta(seconds=1.2)  # how long a nudged worker has before a sweeper does it
NUDGED_AGAIN_S = 3.0  # what is overdue: a nudge may have been lost with its broker or its worker, and sweepers alone may not be enough
BATCH = 20
KEPT_BACK = 1000  # of what the kill switch holds back, looked at in a round
HEARTBEAT_EVERY_S = 2.0
TIDY_EVERY_S = 30.0
BACKTEST_TURN_S = 30.0
BESIDE_S = 0.4  # how often the short duties of other rooms are looked after
WAITED_IN_VAIN = {"40P01", "55P03"}  # a deadlock, and a lock that others held for too long
TURN_S = 5.0  # of driving one run, before the next has its turn


@dataclass(slots=True)
class Sweeper:
    name: str
    stopping: bool = False
    beat_at: float = 0.0
    tidied_at: float = 0.0
    aside: threading.Thread | None = None
    nudged_at: float = 0.0

    def run(self) -> None:
        """Until stopped. A database that is away costs a pause, never the process."""
        threading.Thread(target=self._beside, name="duties", daemon=True).start()
        drivers = Drivers(turn_s=TURN_S)
        try:
            self._sweep(drivers)
        finally:
            drivers.stop()

    def _sweep(self, drivers: Drivers) -> None:
        while not self.stopping:
            try:
                close_old_connections()
                self._beat()
                self._backtests()
                self._tidy()
                pause = BUSY_S if sweep_once(drivers.begin) else min(IDLE_S, _next_due_s())
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer (%s); trying again", type(error).__name__)
                connection.close()
                pause = AWAY_S
            time.sleep(pause * random.uniform(0.7, 1.0))  # noqa: S311 - jitter

    def _beat(self) -> None:
        if time.monotonic() - self.beat_at >= HEARTBEAT_EVERY_S and self._clock_is_followed():
            Heartbeat.objects.update_or_create(name=self.name, defaults={"kind": "sweeper", "at": Now()})
            self.beat_at = time.monotonic()

    def _clock_is_followed(self) -> bool:
        """Where it was set back and that could not be followed, nothing beats over the heartbeats that tell."""
        try:
            clock_jumps.follow(who=self.name)
        except (OperationalError, InterfaceError) as error:
            if getattr(error.__cause__, "sqlstate", None) not in WAITED_IN_VAIN:
                raise
            log.warning("the clock was set back, and others are at work on what goes with it; it is tried again")
            return False
        except Exception:
            log.exception("the clock was set back, and that could not be followed; it is tried again")
            return False
        return True

    def _tidy(self) -> None:
        """Old activity, and what sessions had seen that went away, go a little at a time, so that it never keeps anything waiting."""
        if time.monotonic() - self.tidied_at >= TIDY_EVERY_S:
            _safely(lambda: baselines.tidy(now=clock.now()))
            _safely(lambda: session_use.tidy(now=clock.now()))
            _safely(sessions.lapse_due)
            _safely(lambda: forgetting.ask_again(BATCH))
            for duty in duties.tidying:
                _safely(duty)
            self.tidied_at = time.monotonic()

    def _beside(self) -> None:
        """What other rooms must have done within a second, whatever the sweep is busy with."""
        while not self.stopping:
            try:
                close_old_connections()
                _safely(self._wake_workers)
                done = sum(_safely(duty) for duty in duties.soon)
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer (%s); the duties are still due", type(error).__name__)
                connection.close()
                done = 0
            time.sleep((BESIDE_S / 4 if done else BESIDE_S) * random.uniform(0.7, 1.0))  # noqa: S311 - jitter

    def _wake_workers(self) -> int:
        again = time.monotonic() - self.nudged_at >= NUDGED_AGAIN_S
        if again:
            self.nudged_at = time.monotonic()
        return wake_workers(overdue=again)

    def _backtests(self) -> None:
        """Go on with a backtest that no worker goes on with, beside the sweep: a slice takes seconds, and no deadline may wait for it."""
        if self.aside is not None and self.aside.is_alive():
            return
        for key in backtests.due(1):
            self.aside = threading.Thread(target=_backtest, args=(key,), name="backtest", daemon=True)
            self.aside.start()


def _backtest(key: UUID) -> None:
    try:
        _safely(lambda: int(backtests.drive(key, turn_s=BACKTEST_TURN_S)))
    except (OperationalError, InterfaceError) as error:
        log.warning("the database does not answer (%s); the backtest is still due", type(error).__name__)
    finally:
        connection.close()


Drive = Callable[[UUID], int]  # drives a run, or sees to it that it is driven; 0 where it cannot


def sweep_once(drive: Drive | None = None) -> bool:
    """One round; without `drive` runs are driven here, one after the other. True when there was something to do."""
    rounds: list[Callable[[], int]] = [_holds, _members, _requests, _grants, _sources, _exposures, _detections]
    return sum(_safely(one) for one in [*rounds, lambda: _runs(drive or _driven_here)]) > 0


def _driven_here(run_id: UUID) -> int:
    return _tried(lambda: engine.drive(run_id, executor="sweeper", turn_s=TURN_S))


def wake_workers(*, overdue: bool = False) -> int:
    """Nudge what became due a moment ago, or whose worker's lease has passed: whatever the sweep is busy with, a worker may be free.
    `overdue`: whatever is due."""
    now = clock.now()
    lately = Q(next_at__gt=now - GRACE) | Q(lease_until__gt=now - GRACE)
    keys = list(_due(now).filter(Q() if overdue else lately).values_list("id", flat=True)[:BATCH])
    for key in keys:
        nudges.wake_worker(DRIVE, key)
    return len(keys)


def _runs(drive: Drive) -> int:
    """Nudge what just became due; drive what nobody took in time."""
    now, done = clock.now(), 0
    due = list(_due(now).values_list("id", "next_at", "lease_until")[:BATCH])
    for run_id, next_at, lease_until in due:
        if now - max(moment for moment in (next_at, lease_until) if moment is not None) < GRACE:
            nudges.wake_worker(DRIVE, run_id)
        else:
            done += drive(run_id)
    return done or len(due)


def _due(now: datetime) -> QuerySet[Run]:
    """What nobody holds. First those whose worker died over them: what is half done comes before what was not begun."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    due = Run.objects.filter(free, state__in=WORKABLE, next_at__lte=now, engine_version__lte=ENGINE_VERSION)
    return due.order_by(F("lease_until").asc(nulls_last=True), "next_at")


def _detections() -> int:
    flow.keep_back(KEPT_BACK)
    due = Detection.objects.filter(state="received", next_at__lte=Now()).order_by("next_at").values_list("id", flat=True)[:BATCH]
    return sum(_tried(lambda key=key: flow.decide_due(key)) for key in list(due))  # type: ignore[misc]


def _holds() -> int:
    return sum(_tried(lambda key=key: flow.lapse_hold(key)) for key, _ in holds.due(BATCH))  # type: ignore[misc]


def _members() -> int:
    """What is left to do for the members of grouped holds that have ended."""
    return sum(_tried(lambda key=key: grouped.follow_due(key)) for key in groups.due(BATCH))  # type: ignore[misc]


def _requests() -> int:
    """Programs that wait for a hold which asks about them no longer."""
    return sum(_tried(lambda key=key: requests.set_adrift_right(key)) for key in requests.adrift(BATCH))  # type: ignore[misc]


def _grants() -> int:
    return len(grants.end_due(BATCH)) + len(grants.remind_due(BATCH))


def _sources() -> int:
    return limits.restore_due(BATCH)


def _exposures() -> int:
    """Reports of leaked credentials that no worker passed on in time."""
    return sum(_tried(lambda key=key: exposures.pass_on(key)) for key in exposures.due(BATCH))  # type: ignore[misc]


def _tried(work: Callable[[], object]) -> int:
    """One row's refusal, or a bug that it meets, must not keep the others waiting. A database that is away is everybody's."""
    try:
        work()
    except Refusal as refusal:
        log.info("left for later: %s", refusal.sentence)
        return 0
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("one row of the sweep failed; the others go on")
        return 0
    return 1


def _safely(work: Callable[[], int]) -> int:
    try:
        return work()
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("a round of the sweep failed; the others go on")
        return 0


def _next_due_s() -> float:
    """Seconds until the next row becomes due, or a lease passes whose worker may be dead, so that a deadline is met to the moment; IDLE_S
    when nothing is near."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT extract(epoch FROM min(at) - clock_timestamp()) FROM (
                SELECT min(deadline) AS at FROM hold WHERE state = 'open'
                UNION ALL SELECT min(next_at) FROM hold_member WHERE next_at IS NOT NULL
                UNION ALL SELECT min(next_at) FROM run WHERE next_at > statement_timestamp()
                UNION ALL SELECT min(lease_until) FROM run WHERE next_at <= statement_timestamp() AND lease_until > statement_timestamp()
                UNION ALL SELECT min(next_at) FROM detection WHERE next_at IS NOT NULL
            ) AS due
            """
        )
        row = cursor.fetchone()
    return IDLE_S if row is None or row[0] is None else max(0.05, float(row[0]))
