"""Clocks that are a day wrong: on the hosts nobody looks at them; a deadline that the database's own finds late contains nobody, and nobody
waits a day because it was set back."""

from __future__ import annotations

import time

import httpx
import pytest

from embedded.process import wait_until
from playbooks.runs import LEASE
from tests.outages.clocks import NO_LIBFAKETIME, library
from tests.outages.house import House, new

pytestmark = [pytest.mark.servers, pytest.mark.django_db, pytest.mark.skipif(not library(), reason=NO_LIBFAKETIME)]
LOOKED_S = 1.0  # a sweeper has looked meanwhile


def seconds(house: House, expression: str, table: str, where: str, value: str) -> float:
    """How far a moment in a row is from now, by the database."""
    ((found,),) = house.sql(f"SELECT extract(epoch FROM {expression} - clock_timestamp()) FROM {table} WHERE {where} = %s", value)
    return float(found)


def of_hold(house: House, hold: str, column: str) -> str:
    ((found,),) = house.sql(f"SELECT {column} FROM hold WHERE id = %s", hold)
    return str(found)


@pytest.mark.big
@pytest.mark.fault("D1")
def test_a_lease_is_neither_stolen_nor_kept_by_hosts_that_are_a_day_off(house):
    house.hosts.bend("+1d")
    with house.sweeping(2) as sweepers:
        long = new("observable")
        house.in_the_middle_of(long, "perform", seconds=1.5)
        assert 0 < seconds(house, "lease_until", "run", "target ->> 'subject'", long) <= LEASE.total_seconds()
        assert abs(seconds(house, "received_at", "detection", "external_id", long)) < 60
        assert house.hand("drive", subject=long) is False
        house.comes_to(long, "contained")
        house.hosts.bend("-1d")
        bereft = new("observable")
        house.in_the_middle_of(bereft, "look", seconds=1)
        house.stop(*sweepers)
    house.leases_pass()
    with house.sweeping():
        house.comes_to(bereft, "contained")
    assert (house.cuts(long), house.cuts(bereft)) == (1, 1)
    assert house.wrong() == []


@pytest.mark.fault("D1")
def test_a_deadline_is_the_databases_whatever_hosts_believe(house):
    house.hosts.bend("+1d")
    with house.sweeping():
        answered, silent = new(), new()
        holds = [house.hand("held", subject=subject) for subject in (answered, silent)]
        time.sleep(LOOKED_S)
        assert [of_hold(house, hold, "state") for hold in holds] == ["open", "open"]
        assert house.hand("approve", hold=holds[0]) == "approved"
        house.hosts.bend("-1d")
        house.sql("UPDATE hold SET deadline = clock_timestamp() WHERE id = %s", holds[1])
        house.comes_to(silent, "contained")
        house.comes_to(answered, "contained")
    assert of_hold(house, holds[1], "lapsed_to") == "contain"
    assert (house.cuts(answered), house.cuts(silent)) == (1, 1)
    assert house.wrong() == []


@pytest.mark.fault("D1")
def test_sign_ins_and_tokens_last_as_long_as_the_database_says(house):
    house.hosts.bend("-1d")
    key, token = house.hand("signed_in"), house.hand("token", name="short")
    assert 11 * 3600 < seconds(house, "expire_date", "django_session", "session_key", key) <= 12 * 3600

    def who_is_let_in() -> tuple[int, int]:
        page = httpx.get(f"{house.origin}/sources/", cookies={"sessionid": key}, timeout=30)
        posted = httpx.post(f"{house.origin}/api/v1/detections", json={}, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        return page.status_code, posted.status_code

    assert who_is_let_in() == (200, 422)
    house.sql("UPDATE django_session SET expire_date = clock_timestamp() - interval '1 hour' WHERE session_key = %s", key)
    house.sql("UPDATE service_token SET created_at = now() - interval '2 h', expires_at = now() - interval '1 h' WHERE name = 'short'")
    assert who_is_let_in() == (302, 401)


@pytest.mark.fault("D2")
@pytest.mark.fault("D4")
def test_a_database_whose_clock_jumps_a_day_ahead_contains_nobody_by_silence(house):
    with house.sweeping():
        subject = new()
        hold = house.hand("held", subject=subject)
        house.databases.bend("+1d")
        assert wait_until(lambda: of_hold(house, hold, "lapsed_to") != "", seconds=20)
        assert (of_hold(house, hold, "state"), of_hold(house, hold, "lapsed_to")) == ("open", "escalated")
        assert house.state_of_run(subject) == "waiting"
        assert house.hand("approve", hold=hold) == "approved"
        house.comes_to(subject, "contained", seconds=60)
    assert house.cuts(subject) == 1
    assert house.wrong() == []


@pytest.mark.fault("D2")
def test_a_database_whose_clock_is_set_back_a_day_makes_nobody_wait_for_it(house):
    bereft, asked = new("observable"), new()
    with house.sweeping(2) as sweepers:
        hold = house.hand("held", subject=asked)
        house.in_the_middle_of(bereft, "perform", seconds=5)
        house.stop(*sweepers)
    left = seconds(house, "deadline", "hold", "id", hold)
    house.databases.bend("-1d")
    assert wait_until(lambda: seconds(house, "greatest(lease_until, next_at)", "run", "target ->> 'subject'", bereft) > 80_000, seconds=20)
    with house.sweeping(2):
        house.comes_to(bereft, "contained")
        assert left - 120 < seconds(house, "deadline", "hold", "id", hold) <= left + 5
        assert house.hand("approve", hold=hold) == "approved"
        house.comes_to(asked, "contained")
    assert (house.cuts(bereft), house.cuts(asked)) == (1, 1)
    assert house.sql("SELECT count(*) FROM audit_entry WHERE verb = 'clock.followed' AND %s = ANY (about)", f"hold:{hold}") == [(1,)]
    assert house.wrong() == []


@pytest.mark.fault("D2")
def test_a_clock_that_was_ahead_and_is_put_right_leaves_nobody_a_deadline_of_tomorrow(house):
    """Of those who could have noticed at once nobody lived: the trail tells, whoever wrote to it since."""
    asked = new()
    with house.sweeping():
        hold = house.hand("held", subject=asked)
        left = seconds(house, "deadline", "hold", "id", hold)
        house.databases.bend("+1d")
        assert wait_until(lambda: of_hold(house, hold, "lapsed_to") == "escalated", seconds=20)
    house.sql("UPDATE heartbeat SET at = at - interval '2 days'")
    house.databases.bend("+0")
    other = house.hand("held", subject=new())
    assert seconds(house, "deadline", "hold", "id", hold) > 80_000
    with house.sweeping(2):
        assert wait_until(lambda: 0 < seconds(house, "deadline", "hold", "id", hold) <= left, seconds=20)
        assert house.hand("approve", hold=hold) == "approved"
    told = house.sql("SELECT about FROM audit_entry WHERE verb = 'clock.followed' AND %s = ANY (about)", f"hold:{hold}")
    assert len(told) == 1
    assert f"hold:{other}" not in told[0][0]
    assert house.wrong() == []
