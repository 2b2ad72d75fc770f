"""Fifty questions at once, each over a connection of its own: a budget of ten lets ten pass, the same request counts once, and an unknown
one is found once."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from containment.models import Identity, SessionUse
from guard import ask as guard
from guard import slow
from guard.answers import Answer
from guard.models import GuardCall
from sources import authzen
from tests import make
from tests.guard import stage
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 10
CALLERS, EACH = 50, 1
FEWER = 10


def pays(way: str, first: int) -> list[Answer]:
    """With the quick way before it, or by the whole story alone."""
    whole = {"quick": guard.answer, "slow": slow.answer}[way]
    said = [stage.body("payments.book", arguments={"invoice": f"n-{first}-{number}"}) for number in range(EACH)]
    return [stage.answered(partial(whole, authzen.read(body), stage.gateway())) for body in said]


@pytest.mark.parametrize("way", ["quick", "slow"])
def test_of_fifty_calls_at_once_ten_pass_on_a_budget_of_ten_writes(way: str) -> None:
    make.house()
    _, session = stage.agent()
    stage.gateway()
    callers = [Session(partial(pays, way, first)) for first in range(CALLERS)]
    answers = [answer for caller in callers for answer in caller.outcome()]
    assert Counter(answer.decision for answer in answers) == {True: MOST, False: CALLERS * EACH - MOST}
    assert SessionUse.objects.get(session=session).windows["hour"]["writes"] == MOST
    assert GuardCall.objects.filter(verdict="allow").count() == MOST
    assert GuardCall.objects.count() == CALLERS * EACH


def test_the_same_request_from_many_places_is_one_call() -> None:
    make.house()
    _, session = stage.agent()
    question = authzen.read(stage.body("payments.book", context={"request_id": "r-1"}))
    callers = [Session(partial(guard.answer, question, stage.gateway())) for _ in range(FEWER)]
    assert len({caller.outcome().id for caller in callers}) == 1
    assert SessionUse.objects.get(session=session).windows["hour"]["writes"] == 1


def test_an_unknown_agent_that_asks_from_many_places_is_found_once() -> None:
    make.house()
    stage.gateway()
    question = authzen.read(stage.body("payments.book", who="who-is-this", session="s-1"))
    callers = [Session(partial(guard.answer, question, stage.gateway())) for _ in range(FEWER)]
    assert {caller.outcome().decision for caller in callers} == {False}
    assert Identity.objects.filter(subject="who-is-this").count() == 1
