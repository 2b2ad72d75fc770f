"""A worker is told to stop while it commits: what is in the rows is what happened."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from embedded.process import wait_until
from tests.outages.house import House, new

pytestmark = [pytest.mark.servers, pytest.mark.django_db]


def stopped_child(pid: int) -> int:
    """The process that carries work out, once it stands still; 0 as long as it does not."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return int(child)
    return 0


@pytest.mark.fault("A12")
def test_a_worker_that_is_told_to_stop_while_it_commits_leaves_what_it_did_as_it_did_it(house: House):
    worker = house.start("worker", name="stopped", crash="playbooks.steps.settle.before_commit:freeze")
    subject = new("observable")
    house.acknowledged(subject, "observable")
    assert wait_until(lambda: stopped_child(worker) > 0, seconds=60, pause=0.5), house.what_they_do(subject)
    child = stopped_child(worker)
    with house.unconfirmed_commits():
        os.kill(child, signal.SIGCONT)
        assert wait_until(lambda: bool(house.waiting_for_their_commit()), seconds=20)
        os.kill(child, signal.SIGTERM)
        os.kill(worker, signal.SIGTERM)
    house.stop(worker, number=signal.SIGTERM)
    house.leases_pass()
    with house.sweeping():
        house.comes_to(subject, "contained")
    assert house.cuts(subject) == 1
    heard = "SELECT count(*) FROM run_attempt a JOIN run_step s ON s.id = a.step_id JOIN run r ON r.id = s.run_id"
    outcomes = f"{heard} WHERE r.target ->> 'subject' = %s AND s.disruptive AND a.kind = 'outcome' AND a.outcome = 'done'"
    assert house.sql(outcomes, subject) == [(1,)]
    assert house.wrong() == []
