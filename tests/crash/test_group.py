"""Workers die between the end of a grouped hold and what it means for its runs: each is released, once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bench.storm import allow
from core.ids import uuid7
from embedded.process import wait_until
from tests.crash.stack import Stack

pytestmark = pytest.mark.servers

HANDS = ("worker", "sweeper-1", "sweeper-2")
MANY = 12
TWO_PEOPLE_APPROVE = """
from accounts import actors
from accounts.models import Person
from approvals.domain import quorum
from approvals.models import Hold
from containment import flow
hold = Hold.objects.get(grouped=True, state="open")
people = [actors.of_person(person) for person in Person.objects.filter(is_active=True)]
for person in [one for one in people if quorum.admits(hold.as_terms(), one)][:2]:
    flow.answer_hold(hold.pk, "approve", actor=person, seen_digest=hold.plan_digest)
"""


@pytest.fixture
def nothing_by_itself(stack: Stack) -> Iterator[None]:
    """Every identity waits for a person; afterwards the budget is what it is where nobody changed it."""
    found = stack.sql("SELECT substring(text FROM 'per_source_hour: ([0-9]+)') FROM risk_policy_version WHERE state = 'in_force'")
    allow(stack, 0)
    yield
    allow(stack, int(found[0][0]))


def test_a_group_that_was_approved_is_carried_out_whatever_died_in_between(stack, nothing_by_itself):
    roles = [stack.new_role(f"group_{uuid7().hex[-12:]}") for _ in range(MANY)]
    holds = {stack.post(role, f"group-{role}")["hold"]["id"] for role in roles}
    assert len(holds) == 1
    for name in HANDS:
        stack.signal(name, signal.SIGSTOP)
    said = stack.manage("shell", "-c", TWO_PEOPLE_APPROVE)
    assert said.returncode == 0, said.stderr
    assert stack.sql("SELECT count(*) FROM hold_member WHERE next_at IS NOT NULL") == [(MANY,)]
    assert stack.sql("SELECT count(*) FROM run WHERE state = 'waiting'") == [(MANY,)]
    for name in HANDS:
        stack.signal(name, signal.SIGKILL)
    assert wait_until(lambda: all(stack.limit(role) == 0 for role in roles), seconds=120)
    assert wait_until(lambda: stack.sql("SELECT count(*) FROM run WHERE state = 'contained'") == [(MANY,)], seconds=120)
    assert stack.sql("SELECT state, count(*) FROM hold_member GROUP BY 1") == [("followed", MANY)]
    assert stack.sql("SELECT count(*) FROM audit_entry WHERE verb = 'run.released'") == [(MANY,)]
    assert stack.sql("SELECT count(*) FROM containment_spend") == [(0,)]
    checked = stack.manage("verify_audit")
    assert checked.returncode == 0, checked.stdout + checked.stderr
