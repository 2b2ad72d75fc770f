"""What children use, their parents use: exact under parallel calls, and in one order of locks."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from audit import clock
from containment import session_use
from containment.domain.event import Event
from containment.domain.signals.intent_budget import intent_budget
from containment.models import Session as Row
from containment.models import SessionUse
from tests import make
from tests.domain.test_intent import facts, sure
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)

MOST, CHILDREN, CALLS_EACH = 10, 5, 6


@pytest.fixture
def parent() -> Row:
    make.house()
    agent = make.identity("orchestrator", provider="holdfast", kind="ai_agent")
    make.workflow("mails", [], tools=[{"name": "mail.send", "writes": True}], budgets={"writes_per_hour": MOST, "targets_per_hour": 40})
    return make.session(agent, "o-1", workflow="mails")


def ask(session: Row, to: str) -> bool:
    """As a guard asks: the facts under the locks, and the charge in the same transaction where it lets the call pass."""
    event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.send", arguments={"to": to})
    with transaction.atomic():
        told = session_use.facts(session, event, now=clock.now(), lock=True)
        assert told.intent is not None
        passed: bool = sure(intent_budget(facts(told.call, told.intent))).strength == 0
        if passed:
            session_use.charge(session, event, told.call, now=clock.now())
        return passed


def several(session: Row, first: int) -> list[bool]:
    return [ask(session, f"p{first + number}@acme.test") for number in range(CALLS_EACH)]


def used(told: session_use.Told) -> dict[tuple[str, str], tuple[float, float]]:
    assert told.intent is not None
    return {(budget.what, "theirs" if budget.of else "its own"): (budget.used, budget.most) for budget in told.intent.budgets}


def test_five_children_of_a_parent_with_ten_writes_write_ten_times(parent: Row) -> None:
    agents = [make.identity(f"helper-{number}", provider="holdfast", kind="ai_agent") for number in range(CHILDREN)]
    children = [make.session(agent, "h-1", workflow="mails", parent=parent) for agent in agents]
    callers = [Session(partial(several, child, number * 100)) for number, child in enumerate(children)]
    callers.append(Session(partial(several, parent, 9000)))
    answers = Counter(passed for caller in callers for passed in caller.outcome())
    assert answers == {True: MOST, False: (CHILDREN + 1) * CALLS_EACH - MOST}
    assert SessionUse.objects.get(session=parent).windows["hour"]["writes"] == MOST


def test_a_grandchild_that_declares_nothing_is_measured_by_what_it_works_for(parent: Row) -> None:
    child = make.session(parent.identity, "o-2", parent=parent)
    grandchild = make.session(parent.identity, "o-3", parent=child)
    assert ask(grandchild, "ines@acme.test")
    event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.send", arguments={"to": "ines@acme.test"})
    told = session_use.facts(grandchild, event, now=clock.now())
    assert used(told)["writes", "theirs"] == (1, MOST)
    assert {row.session_id: row.windows["session"]["writes"] for row in SessionUse.objects.all()} == {
        one.pk: 1 for one in (parent, child, grandchild)
    }


def test_a_place_counts_as_new_for_the_parent_where_another_child_has_not_been(parent: Row) -> None:
    first = make.session(parent.identity, "o-2", workflow="mails", parent=parent)
    second = make.session(parent.identity, "o-3", workflow="mails", parent=parent)
    assert ask(first, "ines@acme.test")

    def targets(to: str) -> dict[str, Any]:
        event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.send", arguments={"to": to})
        told = session_use.facts(second, event, now=clock.now())
        assert told.intent is not None
        return {
            "theirs" if one.of else "its own": (one.used, told.call.new_targets if one.new_targets is None else one.new_targets)
            for one in told.intent.budgets
            if one.what == "targets"
        }

    assert targets("ines@acme.test") == {"its own": (0, 1), "theirs": (1, 0)}
    assert targets("omar@acme.test") == {"its own": (0, 1), "theirs": (1, 1)}
