"""Workers that come to a shut door in the same instant: no more of them try it than may."""

from __future__ import annotations

import pytest

from playbooks import circuit
from playbooks.models import Circuit
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.fault("F4")
def test_of_many_at_once_three_try_and_one_of_them_was_the_first():
    circuit.refused("somewhere", "it does not know us")
    said = [session.outcome() for session in [Session(lambda: circuit.keeps_out("somewhere")) for _ in range(8)]]
    assert said.count("") == circuit.TRIES - 1
    assert len(Circuit.objects.get().tries) == circuit.TRIES


def test_two_that_are_refused_at_once_open_it_once():
    sessions = [Session(lambda: circuit.refused("somewhere", "it does not know us")) for _ in range(6)]
    assert [session.outcome() for session in sessions] == [None] * 6
    assert [row.connector for row in circuit.open_now()] == ["somewhere"]
