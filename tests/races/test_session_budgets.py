"""Budgets of a session under parallel calls: as many pass as it may make, not one more."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from django.db import transaction

from audit import clock
from containment import session_use
from containment.domain.event import Event
from containment.domain.signals.intent_budget import intent_budget
from containment.models import SessionUse
from tests import make
from tests.domain.test_intent import facts, sure
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 10
CALLERS, CALLS_EACH = 4, 6


@pytest.fixture
def session():
    make.house()
    agent = make.identity("mailer", provider="holdfast", kind="ai_agent")
    make.workflow("mails", [], tools=[{"name": "mail.send", "writes": True}], budgets={"writes_per_hour": MOST})
    return make.session(agent, "m-1", workflow="mails")


def ask(session, number: int) -> bool:
    """As a guard asks: the facts under the lock, and the charge in the same transaction where it lets the call pass."""
    event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.send", arguments={"to": f"p{number}@acme.test"})
    with transaction.atomic():
        told = session_use.facts(session, event, now=clock.now(), lock=True)
        assert told.intent is not None
        passed = sure(intent_budget(facts(told.call, told.intent))).strength == 0
        if passed:
            session_use.charge(session, event, told.call, now=clock.now())
        return passed


def several(session, first: int) -> list[bool]:
    return [ask(session, first + number) for number in range(CALLS_EACH)]


def test_of_many_calls_in_parallel_exactly_as_many_pass_as_the_budget_allows(session):
    callers = [Session(partial(several, session, first * 100)) for first in range(CALLERS)]
    answers = Counter(passed for caller in callers for passed in caller.outcome())
    assert answers == {True: MOST, False: CALLERS * CALLS_EACH - MOST}
    assert SessionUse.objects.get(session=session).windows["hour"]["writes"] == MOST


def test_what_two_results_say_at_once_is_remembered_from_both(session):
    def learn(word: str):
        event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.read", returned=(f"{word}@acme.test and both@acme.test",))
        with transaction.atomic():
            session_use.learn(session, event)

    for learner in [Session(partial(learn, word)) for word in ("one", "two")]:
        learner.outcome()
    event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.send", arguments={"to": ["one@acme.test", "two@acme.test"]})
    told = session_use.facts(session, event, now=clock.now())
    assert [argument.in_untrusted for argument in told.call.arguments] == [True, True]
