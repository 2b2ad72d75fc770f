"""What a sweeper drives it drives in threads: a target that hangs keeps nobody else's run waiting."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from audit import clock
from containment import sweep
from containment.drivers import Drivers
from embedded.process import wait_until
from playbooks.models import Run
from tests.world.target import NATURAL


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault("A8")
def test_a_target_that_hangs_keeps_no_other_run_waiting(started: Any, sandbox: Any, estate: Any):
    hangs, other, third = (started(NATURAL) for _ in range(3))
    drivers = Drivers(threads=2, turn_s=5.0)

    def state(run: Run) -> str:
        return str(Run.objects.values_list("state", flat=True).get(pk=run.pk))

    with psycopg.connect(estate.dsn("estate")) as outside:
        outside.execute("INSERT INTO sandbox_subject VALUES (%s, %s, 'open')", [hangs.target["subject"], NATURAL])  # and does not commit
        try:
            assert drivers.begin(hangs.pk) == 1
            assert drivers.begin(hangs.pk) == 0, "one thread is at it already"
            assert drivers.begin(other.pk) == 1
            assert wait_until(lambda: state(other) == "contained", seconds=20)
            assert wait_until(lambda: drivers.begin(third.pk) == 1, seconds=20), "the thread is free again"
            assert wait_until(lambda: state(third) == "contained", seconds=20)
            assert state(hangs) != "contained"
        finally:
            outside.rollback()
            drivers.stop()
    assert sandbox.done(hangs.target["subject"]) <= 1


@pytest.mark.django_db
@pytest.mark.fault("A7")
def test_what_is_half_done_comes_before_what_was_not_begun(started: Any):
    fresh, begun = started("workload.isolate"), started("workload.isolate")
    now = clock.now()
    Run.objects.filter(pk=fresh.pk).update(next_at=now - 10 * sweep.GRACE)
    Run.objects.filter(pk=begun.pk).update(next_at=now - 5 * sweep.GRACE, lease_until=now - 3 * sweep.GRACE, state="running")
    driven: list[Any] = []

    def drive(key: Any) -> int:
        driven.append(key)
        return 1

    sweep.sweep_once(drive)
    assert driven == [begun.pk, fresh.pk]
