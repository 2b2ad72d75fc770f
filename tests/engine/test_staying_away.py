"""A target that stays away, access that lives on, and a run that was set aside."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import engine, runs
from playbooks.models import Attempt, Run
from tests import make

pytestmark = pytest.mark.django_db

AGENT: dict[str, Any] = {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}


def driven_again(run):
    run.steps.update(next_at=None)
    Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    return run


def entries(run, *verbs):
    return AuditEntry.objects.filter(verb__in=verbs, subject__in=[str(run.ref), str(run.steps.get().ref)]).count()


def test_a_target_that_stays_away_is_on_record_once_and_is_tried_ever_more_rarely(started, sandbox):
    run = started("workload.isolate")
    sandbox.set_mood(run.target["subject"], Mood.FAILS_BEFORE, times=1000)
    pauses = []
    for _ in range(13):
        run = driven_again(run)
        pauses.append(round((run.next_at - clock.now()).total_seconds()))
    assert pauses[0] < 2 < pauses[3]
    assert 870 < pauses[-1] <= 900
    assert entries(run, "step.troubled", "run.waiting", "step.intended") == 3  # each once
    assert Attempt.objects.filter(step__run=run, kind="intent").count() == 13
    assert run.state == "running"


def test_after_a_day_without_an_answer_a_person_has_to_look(started, sandbox):
    run = started("workload.isolate")
    sandbox.set_mood(run.target["subject"], Mood.FAILS_BEFORE, times=2)
    run = driven_again(run)
    first = Attempt.objects.get(step__run=run, kind="intent")
    a_day_passed_since(first)
    run = driven_again(run)
    assert run.state == "needs_human"
    assert "The sandbox answered 500. It has been so since" in run.steps.get().said
    runs.retry(run.pk, actor=SYSTEM)
    assert driven_again(run).state == "contained"


def a_day_passed_since(attempt: Attempt) -> None:
    """The journal is final, so the database has to be told to let this one line be older."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE run_attempt DISABLE TRIGGER USER")
        cursor.execute("UPDATE run_attempt SET at = at - interval '25 hours' WHERE id = %s", [attempt.pk])
        cursor.execute("ALTER TABLE run_attempt ENABLE TRIGGER USER")


def test_access_that_lives_on_keeps_a_run_verifying_and_says_until_when(started, sandbox):
    run = started("workload.isolate")
    sandbox.set_mood(run.target["subject"], Mood.LINGERS, times=1000)
    for _ in range(20):  # a slow machine's turn may be over before it says so
        engine.drive(run.pk, executor="command", turn_s=1)
        run.refresh_from_db()
        if run.state == "verifying":
            break
    step = run.steps.get()
    assert (run.state, step.state) == ("verifying", "verifying")
    assert run.residual_until == step.residual_until > clock.now() + timedelta(seconds=30)
    sandbox.set_mood(run.target["subject"], Mood.LINGERS, times=1)
    run.steps.update(verify_until=run.created_at)  # its settle time is over: what lives on is waited for all the same
    assert (driven_again(run).state, run.steps.get().state) != ("partial", "partial")
    run = driven_again(run)
    assert (run.state, run.residual_until) == ("contained", None)


@pytest.fixture
def set_aside():
    """An agent whose run needs a person, because of one step."""
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")
    decision = make.detected("invoice-agent", identity=AGENT, credential=None)
    assert decision.verdict == "contain"
    run = make.run_of(decision)
    step = run.steps.filter(disruptive=True).order_by("seq")[0]
    run.steps.filter(seq__lt=step.seq).update(state="done")
    run.steps.filter(pk=step.pk).update(state="needs_human", attempts=1, started_at=clock.now())
    ticket = runs.claim(run.pk, executor="command")
    assert ticket is not None
    runs.give_up(ticket, because="step 2 waits for a person")
    return run


def test_a_new_detection_tries_again_what_a_run_was_set_aside_for(set_aside):
    again = make.detected("invoice-agent", identity=AGENT, credential=None)
    set_aside.refresh_from_db()
    assert (again.verdict, again.run, set_aside.state) == ("covered", set_aside, "pending")
    assert "a person has to look" in again.because


def test_a_run_that_killed_its_workers_is_not_tried_again_but_the_decision_says_so(set_aside):
    set_aside.steps.filter(state="needs_human").update(state="acting")
    again = make.detected("invoice-agent", identity=AGENT, credential=None)
    set_aside.refresh_from_db()
    assert (again.verdict, set_aside.state) == ("covered", "needs_human")
    assert "a person has to look" in again.because
