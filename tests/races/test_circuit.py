"""Workers that come to a shut door in the same instant: no more of them try it than may."""

from __future__ import annotations

import pytest

from playbooks import circuit
from playbooks.models import Circuit, Step
from playbooks.refusals import Stopped
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)


def knocks() -> str:
    try:
        return "came in" if circuit.knock(Step(connector="somewhere", measure="workload.isolate")) else "found it open"
    except Stopped:
        return "stands before it"


@pytest.mark.fault("F4")
def test_of_many_at_once_three_try_and_one_of_them_was_the_first():
    circuit.refused_at("somewhere", "it does not know us")
    said = [session.outcome() for session in [Session(knocks) for _ in range(8)]]
    assert said.count("came in") == circuit.TRIES - 1
    assert len(Circuit.objects.get().tries) == circuit.TRIES


def test_two_that_are_refused_at_once_open_it_once():
    sessions = [Session(lambda: circuit.refused_at("somewhere", "it does not know us")) for _ in range(6)]
    assert [session.outcome() for session in sessions] == [None] * 6
    assert [row.connector for row in Circuit.objects.filter(open_since__isnull=False)] == ["somewhere"]
