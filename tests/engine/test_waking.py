"""Sweepers wake workers for what became due a moment ago, and leave alone what somebody holds or what they do themselves by now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from containment import sweep
from playbooks.models import Run

pytestmark = pytest.mark.django_db

MOMENT, LONG = timedelta(milliseconds=200), timedelta(minutes=5)


@pytest.mark.fault("A7")
@pytest.mark.parametrize(
    ("due", "lease", "woken"),
    [
        (MOMENT, None, 1),  # it became due
        (LONG, MOMENT, 1),  # its worker died, and the lease has passed
        (LONG, -LONG, 0),  # somebody is at it
        (-LONG, None, 0),  # not yet
        (LONG, LONG, 0),  # no worker took it: the sweep does it itself
    ],
)
def test_a_free_worker_hears_of_a_run_that_nobody_holds_any_more(started, due, lease, woken):
    run, now = started("workload.isolate"), clock.now()
    Run.objects.filter(pk=run.pk).update(next_at=now - due, lease_until=None if lease is None else now - lease)
    assert sweep.wake_workers() == woken
    nobodys = due > timedelta(0) and (lease is None or lease > timedelta(0))
    assert sweep.wake_workers(overdue=True) == nobodys, "now and then a worker hears of all that is due"


@pytest.mark.parametrize(
    ("due", "lease", "pauses_for"),
    [
        (MOMENT, -MOMENT, 0.2),  # its worker may be dead: it looks when the lease passes
        (MOMENT, -LONG, sweep.IDLE_S),
        (-MOMENT, None, 0.2),
        (-LONG, None, sweep.IDLE_S),
    ],
)
def test_an_idle_sweeper_looks_when_something_becomes_due_or_a_lease_passes(started, due, lease, pauses_for):
    run, now = started("workload.isolate"), clock.now()
    Run.objects.filter(pk=run.pk).update(next_at=now - due, lease_until=None if lease is None else now - lease)
    found = min(sweep.IDLE_S, sweep._next_due_s())
    assert found == sweep.IDLE_S if pauses_for == sweep.IDLE_S else 0 < found <= pauses_for
