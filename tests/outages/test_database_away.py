"""The database goes away in the middle of everything: what was acknowledged is kept and carried out once, and nobody hangs."""

from __future__ import annotations

import signal
import time

import pytest

from core.ids import uuid7
from embedded.process import wait_until
from tests.outages.hand import LEASE_S
from tests.outages.house import House
from tests.world.target import OBSERVABLE, Fault

pytestmark = [pytest.mark.servers, pytest.mark.django_db]


def new(effect: str = "natural") -> str:
    return f"{effect}-{uuid7().hex[-12:]}"


def in_the_middle_of_its_call(house: House, subject: str, measure: str, *, seconds: float) -> None:
    """Returns while the world takes its time with the cut."""
    house.world.order(Fault.LAG, subject, measure, call="perform", seconds=seconds)
    house.acknowledged(subject, subject.partition("-")[0])
    assert wait_until(lambda: bool(house.world.ordered(subject)[0][4]), seconds=20)


@pytest.mark.fault("C1")
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_a_database_that_crashed_in_the_middle_of_a_call_finds_it_done_once(house, number):
    with house.sweeping():
        subject = new("observable")
        in_the_middle_of_its_call(house, subject, OBSERVABLE, seconds=0.5)
        house.crash_database(number)
        status, said, _ = house.post(new())
        assert status == 503, said
        house.database.restart()
        house.database.wait()
        house.comes_to(subject, "contained")
        after = new()
        house.acknowledged(after)
        house.comes_to(after, "contained")
    assert (house.cuts(subject), house.cuts(after)) == (1, 1)
    assert house.wrong() == []


@pytest.mark.fault("C1")
def test_a_database_that_stands_still_past_a_lease_doubles_nothing_and_hangs_nobody(house):
    with house.sweeping(2):
        subject = new("observable")
        in_the_middle_of_its_call(house, subject, OBSERVABLE, seconds=0.5)
        with house.paused_database():
            ends = time.monotonic() + 1.5 * LEASE_S
            while time.monotonic() < ends:
                assert house.post(new())[0] == 503
        house.comes_to(subject, "contained")
    assert house.cuts(subject) == 1
    assert house.wrong() == []
