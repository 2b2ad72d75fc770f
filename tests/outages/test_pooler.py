"""Behind a pooler that gives each transaction another session everything works: nothing lives in a session."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests import pgbouncer
from tests.outages.house import House, new
from tests.plain import NO_TLS

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
AT_ONCE, CALLS = 8, 60  # more than the sessions that they share


def asked(house: House, token: str, number: int) -> tuple[int, object]:
    body = {
        "subject": {"type": "ai_agent", "id": f"agent-{number % 3}"},
        "action": {"name": "ledger.read"},
        "resource": {"type": "ledger", "id": f"2026-{number % 12 + 1:02}"},
    }
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        said = httpx.post(f"{house.origin}/access/v1/evaluation", json=body, headers=headers, timeout=30, verify=NO_TLS)
        if said.status_code != 503:  # too many ask at once
            return said.status_code, said.json().get("decision")
        time.sleep(0.1)


@pytest.mark.fault("C9")
def test_behind_a_pooler_in_transaction_mode_everything_works(house):
    if pgbouncer.program() is None:
        pytest.skip(pgbouncer.LACKING)
    token, key = house.hand("token", name="pooled", scope="guard.ask"), house.hand("signed_in")
    subjects = [new(effect) for effect in ("natural", "keyed", "observable") for _ in range(4)]
    with house.pooled():
        with ThreadPoolExecutor(AT_ONCE) as threads:
            acknowledged = list(threads.map(lambda one: house.acknowledged(one, one.partition("-")[0]), subjects))
            answers = list(threads.map(lambda number: asked(house, token, number), range(CALLS)))
        assert not any(one["duplicate"] for one in acknowledged)
        assert {status for status, _ in answers} == {200}
        assert {type(decision) for _, decision in answers} == {bool}
        for subject in subjects:
            house.comes_to(subject, "contained")
        page = httpx.get(f"{house.origin}/cases/", cookies={"sessionid": key}, timeout=30, verify=NO_TLS)
        assert page.status_code == 200
    assert [house.cuts(subject) for subject in subjects] == [1] * len(subjects)
    assert house.wrong() == []
