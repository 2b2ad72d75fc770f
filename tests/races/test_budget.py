"""The containment budget under many at once: not one more than it allows, one alarm, and nobody waits at its lock for a no."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import connection, transaction

from approvals.models import Hold
from containment.models import BudgetAlarm, ContainmentSpend
from tests import cast, make
from tests.flows.test_grouped import house
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)


def reported_at_once(*names: str) -> list[str]:
    cast.detector()
    for name in names:
        make.identity(name)
    return [session.outcome().verdict for session in [Session(partial(make.detected, name)) for name in names]]


@pytest.mark.fault("I3")
def test_of_many_at_once_exactly_as_many_are_contained_as_the_budget_allows():
    house(2)
    verdicts = reported_at_once("a", "b", "c", "d", "e", "f")
    assert sorted(verdicts) == ["contain"] * 2 + ["hold"] * 4
    assert ContainmentSpend.objects.count() == 2
    assert Hold.objects.get(grouped=True).members.count() == 4
    assert BudgetAlarm.objects.get().refused == 4


def test_what_is_spent_is_spent_and_nobody_waits_at_the_lock_to_hear_it():
    house(1)
    reported_at_once("a", "b")
    make.identity("c")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM budget_lock FOR UPDATE")
        assert Session(partial(make.detected, "c")).outcome().verdict == "hold"
    assert BudgetAlarm.objects.get().refused == 2
