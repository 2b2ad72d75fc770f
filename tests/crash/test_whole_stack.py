"""Any process may die at any instant: what was acknowledged is carried out once, and the trail says so without a gap."""

from __future__ import annotations

import signal

import pytest

from core.ids import uuid7
from embedded.process import wait_until
from tests.crash.stack import Stack

pytestmark = pytest.mark.servers

ALWAYS, ALSO = ("worker", "database"), ("web", "sweeper-1", "valkey")  # the others die in each minute of chaos, too


@pytest.fixture
def role(stack: Stack) -> str:
    return stack.new_role(f"role_{uuid7().hex[-12:]}")


@pytest.mark.fault("A13")
@pytest.mark.parametrize("victim", [*ALWAYS, *(pytest.param(name, marks=pytest.mark.big) for name in ALSO)])
def test_a_run_survives_the_death_of(stack, role, victim):
    answer = stack.post(role, f"kill-{victim}-{role}")
    assert answer["decision"]["verdict"] == "contain"
    assert stack.pids(victim)
    stack.signal(victim, signal.SIGKILL)
    run = stack.comes_to(answer["run"]["id"], "contained")
    assert stack.limit(role) == 0
    cuts = [step for step in run["steps"] if step["measure"] == "workload.isolate"]
    assert [step["state"] for step in cuts] == ["done"]


@pytest.mark.fault("A14")
def test_a_run_survives_the_death_of_everything_at_once(stack, role):
    answer = stack.post(role, f"kill-all-{role}")
    for name in stack.names():
        if name != "workloads":
            stack.signal(name, signal.SIGKILL)
    run = stack.comes_to(answer["run"]["id"], "contained", seconds=90)
    assert stack.limit(role) == 0
    assert run["proof_level"] == "introspected"


@pytest.mark.fault("B5")
@pytest.mark.fault("B1")
def test_with_a_broker_that_never_answers_everything_still_works(stack, role):
    stack.signal("valkey", signal.SIGSTOP)
    try:
        answer = stack.post(role, f"silent-broker-{role}")
        stack.comes_to(answer["run"]["id"], "contained")
    finally:
        stack.signal("valkey", signal.SIGCONT)


def test_a_dead_estate_makes_the_run_wait_with_its_reason(stack, role):
    answer = stack.post(role, f"before-{role}")
    stack.comes_to(answer["run"]["id"], "contained")
    other = stack.new_role(f"{role}_b")
    stack.signal("estate", signal.SIGSTOP)
    try:
        answer = stack.post(other, f"dead-estate-{other}")
        assert wait_until(lambda: stack.read(f"runs/{answer['run']['id']}")["because"] != "", seconds=60)
        assert stack.read(f"runs/{answer['run']['id']}")["state"] != "contained"
    finally:
        stack.signal("estate", signal.SIGCONT)
    stack.comes_to(answer["run"]["id"], "contained", seconds=90)


@pytest.mark.fault("I2")
def test_many_reports_about_one_identity_make_one_run(stack, role):
    runs = {stack.post(role, f"many-{n}-{role}")["run"]["id"] for n in range(40)}
    assert len(runs) == 1


@pytest.mark.fault("H1")
def test_what_is_posted_again_gets_the_first_answer(stack, role):
    first = stack.post(role, f"twice-{role}")
    again = stack.post(role, f"twice-{role}")
    assert (again["duplicate"], again["decision"]["id"]) == (True, first["decision"]["id"])


def test_after_all_that_the_trail_is_whole_and_nothing_is_stuck(stack):
    assert wait_until(lambda: stack.sql("SELECT count(*) FROM detection WHERE state = 'received'") == [(0,)], seconds=60)
    checked = stack.manage("verify_audit")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    stuck = stack.sql(
        "SELECT id FROM run WHERE state IN ('pending', 'running', 'verifying', 'undoing') AND next_at < now() - interval '60 s'"
    )
    assert stuck == []
    doubled = stack.sql("SELECT identity_ref FROM run WHERE state = 'contained' GROUP BY 1 HAVING count(*) > 1")
    assert doubled == []
