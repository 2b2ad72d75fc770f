"""The database goes away in the middle of everything: what was acknowledged is kept and carried out once, and nobody hangs."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tests.outages.house import NO_DISK, new

MANY = 60  # detections: no disk that is full takes so many

pytestmark = [pytest.mark.servers, pytest.mark.django_db]


@pytest.mark.fault("C1")
def test_what_a_crash_of_the_database_interrupted_is_found_done_and_not_done_twice(house):
    with house.sweeping():
        subject, after = new("observable"), new()
        house.in_the_middle_of(subject, "perform", seconds=0.5)
        house.crash_database(signal.SIGKILL)
        assert house.post(after)[0] == 503
        house.database.restart()
        house.database.wait()
        house.leases_pass()
        house.acknowledged(after)
        for one in (subject, after):
            house.comes_to(one, "contained")
    assert (house.cuts(subject), house.cuts(after)) == (1, 1)
    assert house.wrong() == []


@pytest.mark.fault("C1")
def test_a_database_that_stands_still_past_a_lease_doubles_nothing_and_hangs_nobody(house):
    with house.sweeping(2):
        subject = new("observable")
        house.in_the_middle_of(subject, "perform", seconds=0.5)
        house.leases_pass(in_s=1)
        with house.paused_database():
            ends = time.monotonic() + 2
            while time.monotonic() < ends:
                assert house.post(new())[0] == 503
        house.comes_to(subject, "contained")
    assert house.cuts(subject) == 1
    assert house.wrong() == []


@pytest.mark.fault("C2")
def test_a_detection_whose_commit_was_never_confirmed_is_read_again_and_not_stored_twice(house):
    stored = [_sent_while_commits_are_unconfirmed(house) for _ in range(3)]
    assert 1 in stored, "at least one line broke at the commit of its detection, and not before"
    assert house.wrong() == []


def _sent_while_commits_are_unconfirmed(house) -> int:
    """Whether the detection was kept. Sent again, it is a duplicate then, and new otherwise."""
    subject, said = new(), list[int]()
    with house.unconfirmed_commits():
        sender = threading.Thread(target=lambda: said.append(house.post(subject)[0]))
        sender.start()
        house.break_lines_at_their_commit(sender)
    sender.join()
    assert said[0] in {200, 503}
    ((kept,),) = house.sql("SELECT count(*) FROM detection WHERE external_id = %s", subject)
    assert house.acknowledged(subject)["duplicate"] is bool(kept)
    assert house.sql("SELECT count(*) FROM detection WHERE external_id = %s", subject) == [(1,)]
    return int(kept)


@pytest.mark.fault("C4")
def test_with_a_full_disk_nothing_is_acknowledged_that_is_not_kept(house):
    if house.disk is None:
        pytest.skip(NO_DISK)
    heard, unheard = list[str](), list[str]()

    def posted() -> None:
        subject = new()
        status = house.post(subject)[0]
        assert status in {201, 202, 503}
        (unheard if status == 503 else heard).append(subject)

    with house.sweeping():
        with house.full_disk() as fill:
            while not unheard:  # tables and log have room within them for a few
                fill()
                posted()
                assert len(heard) < MANY
            house.use_up_its_log()
            posted()  # refused, or taken by a database that came back and found room
        house.database_is_back()
        house.leases_pass()
        for subject in heard:
            assert house.sql("SELECT count(*) FROM detection WHERE external_id = %s", subject) == [(1,)]
        for subject in unheard:
            house.acknowledged(subject)
        for subject in (*heard, *unheard):
            house.comes_to(subject, "contained")
    assert all(house.cuts(subject) == 1 for subject in (*heard, *unheard))
    assert house.wrong() == []
