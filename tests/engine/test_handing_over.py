"""A run that passes from one worker to the next: at the end of a turn, or because the lease was lost with a call still out."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from celery import Celery

from audit.record import telling
from connectors.base import Unavailable
from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import engine, runs, steps
from playbooks.calls import call_of, connector_of, in_what_is_left
from playbooks.domain.specs import LONGEST_CALL
from playbooks.models import Run

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS_PATIENCE = timedelta(seconds=45)


def lost(run, sandbox, *, performed: bool):
    """A worker committed its intent, looked, and lost the run while its call was out."""
    ticket = runs.claim(run.pk, executor="worker")
    assert ticket is not None
    begun = runs.begin(ticket, seen=Run.objects.get(pk=run.pk))
    step = steps.intend(ticket, 1, seen=begun)
    connector, call = connector_of(step), call_of(begun, step)
    assert connector is not None
    was = connector.look(call)
    steps.see(ticket, 1, was)
    if performed:
        connector.perform(call, key=str(step.key), was=was)
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    return step


def call_has_had_its_time(run):
    """As if the call had been given less time than has passed."""
    run.steps.update(timeout_s=0, next_at=None)
    Run.objects.filter(pk=run.pk).update(next_at=run.created_at, lease_until=None)


@pytest.mark.fault("F11")
def test_what_a_look_does_not_show_yet_is_not_done_a_second_time(started, sandbox):
    """Its worker died after the call, long ago; the target shows the old state twice more."""
    run = started("session.terminate")
    lost(run, sandbox, performed=True)
    sandbox.set_mood(run.target["subject"], Mood.LAGS, times=2)
    for _ in range(3):
        run.steps.update(settle_s=0)
        call_has_had_its_time(run)
        engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert run.state == "contained", run.because
    assert sandbox.done(run.target["subject"]) == 1


@pytest.mark.fault("F11")
def test_an_undo_waits_for_a_cut_that_may_still_take_effect(started, sandbox):
    """Its worker died over the call, and the cut shows only after somebody asked to put it back."""
    run = started("workload.isolate")
    step = lost(run, sandbox, performed=False)
    run.steps.update(timeout_s=0)
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill", early=True)

    def driven() -> Run:
        Run.objects.filter(pk=run.pk).update(next_at=run.created_at, lease_until=None)
        run.steps.update(next_at=None)
        engine.drive(run.pk, executor="command", turn_s=0.3)
        return Run.objects.get(pk=run.pk)

    for _ in range(4):
        assert driven().state == "undoing", "settle time is not over"
    with sandbox.connected() as connection:
        sandbox.put(connection, run.target["subject"], "workload.isolate", "cut")
        sandbox.write(connection, run.target["subject"], "workload.isolate", "cut", str(step.key))
    assert driven().state == "undone"
    assert sandbox.done(run.target["subject"], "restored") == 1


@pytest.mark.parametrize("measure", ["session.terminate", "identity.disable"])
def test_a_call_that_may_still_be_out_gets_its_time_before_another_one(started, sandbox, measure):
    run = started(measure)
    lost(run, sandbox, performed=False)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    step = run.steps.get()
    assert (step.attempts, step.next_at) == (1, step.journal.get().at + timedelta(seconds=step.timeout_s))
    assert run.next_at == step.next_at
    assert sandbox.done(run.target["subject"]) == 0
    call_has_had_its_time(run)
    engine.drive(run.pk, executor="command")
    assert run.steps.get().attempts == 2


def test_an_undo_waits_for_a_call_that_may_still_be_out(started, sandbox):
    run = started("session.terminate")
    lost(run, sandbox, performed=True)
    with telling():
        runs.begin_undo(runs.lock(run.pk), actor=SYSTEM, because="enough", at=run.created_at)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    step = run.steps.get()
    assert (run.state, step.state, step.attempts) == ("undoing", "undoing", 1)
    assert run.next_at == step.next_at
    call_has_had_its_time(run)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert run.state == "undone"


@pytest.mark.fault("A10")
@pytest.mark.parametrize("measure", ["session.pause", "workload.isolate"])
def test_an_undo_waits_for_any_call_that_may_still_be_out_also_behind_a_later_attempt(started, sandbox, measure):
    run = started(measure)
    lost(run, sandbox, performed=False)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, run.steps.get().attempts) == ("contained", 2)
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    step = run.steps.get()
    assert (run.state, step.state, sandbox.done(run.target["subject"], "restored")) == ("undoing", "undoing", 0)
    assert run.next_at == step.next_at == step.journal.get(kind="intent", n=1).at + timedelta(seconds=step.timeout_s)
    call_has_had_its_time(run)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert run.state == "undone"


def test_an_attempt_looks_and_acts_within_the_time_of_one_call(started, sandbox):
    run = started("workload.isolate")
    step = run.steps.get()
    call = call_of(run, step)
    assert 0 < in_what_is_left(call, time.monotonic() - 4).deadline_s <= step.timeout_s - 4
    with pytest.raises(Unavailable):
        in_what_is_left(call, time.monotonic() - step.timeout_s)


@pytest.mark.parametrize("measure", ["session.pause", "workload.isolate"])
def test_what_does_no_harm_twice_is_tried_again_at_once(started, sandbox, measure):
    run = started(measure)
    lost(run, sandbox, performed=False)
    engine.drive(run.pk, executor="command")
    assert run.steps.get().attempts == 2


def test_the_longest_call_at_the_end_of_a_turn_fits_a_workers_patience():
    assert timedelta(seconds=engine.TURN_S) + LONGEST_CALL < WORKERS_PATIENCE


def test_a_turn_that_is_over_asks_for_the_next_one(started, monkeypatch):
    asked: queue.Queue[tuple[str, list[str]]] = queue.Queue()
    monkeypatch.setattr(Celery, "send_task", lambda app, task, args, **how: asked.put((task, args)))
    run = started("workload.isolate")  # asks once, and what was asked before may have failed and keep this quiet for a second
    heard = []
    for _ in range(40):
        engine.drive(run.pk, executor="command", turn_s=0)
        with suppress(queue.Empty):
            heard.append(asked.get(timeout=0.2))
        if len(heard) == 3:
            break
    assert heard == [(runs.DRIVE, [str(run.pk)])] * 3
    run.refresh_from_db()
    assert (run.lease_until, run.next_at is not None) == (None, True)
