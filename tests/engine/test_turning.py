"""A run that people release, raise or reject while somebody drives it: the driver looks again, and nothing of theirs is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditEntry
from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import runs, steps
from playbooks.domain.moves import RUN
from playbooks.models import Run
from playbooks.refusals import AlreadyLive, Turned
from tests.engine.test_engine import driven

pytestmark = pytest.mark.django_db(transaction=True)


def claimed(run):
    """A driver that has taken the run and looked at it."""
    ticket = runs.claim(run.pk, executor="worker")
    assert ticket is not None
    return ticket, Run.objects.get(pk=run.pk)


def test_an_approval_between_the_drivers_look_and_its_rest_leaves_the_run_due(held):
    run = held("session.pause")
    ticket, seen = claimed(run)
    runs.release(run.pk, actor=SYSTEM, because="approved")
    with pytest.raises(Turned):
        runs.wait(ticket, until=None, because="", verify=False, seen=seen)
    run.refresh_from_db()
    assert (run.state, run.next_at is not None) == ("pending", True)


def test_a_rejection_between_the_drivers_look_and_its_intent_keeps_the_step_from_beginning(held, sandbox):
    run = held("session.pause", "session.terminate")
    ticket, seen = claimed(run)
    steps.intend(ticket, 1, seen=seen)
    runs.stand_down(run.pk, actor=SYSTEM, because="leave it running")
    with pytest.raises(Turned):
        steps.intend(ticket, 2, seen=seen)
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    assert driven(run).state == "undone"
    assert sandbox.done(run.target["subject"]) == 0


def test_a_raise_between_the_drivers_look_and_its_verdict_is_carried_out(started, sandbox):
    run = started("session.pause", hard=["workload.isolate"])
    ticket, seen = claimed(run)
    runs.raise_stage(run.pk, to="hard", because="it went on")
    with pytest.raises(Turned):
        runs.finish(ticket, "contain", because="", seen=seen)
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    run = driven(run)
    assert (run.state, run.stage) == ("contained", "hard")
    assert sandbox.done(run.target["subject"]) == 2


def test_an_interim_step_that_needs_a_person_leaves_the_hold_answerable(held, sandbox):
    run = held("identity.disable", "session.pause", approved=["workload.isolate"])
    sandbox.set_mood(run.target["subject"], Mood.TIMES_OUT)
    run = driven(run)
    assert run.state == "waiting"
    assert list(run.steps.order_by("seq").values_list("state", flat=True)) == ["needs_human", "skipped"]
    runs.release(run.pk, actor=SYSTEM, because="approved")
    run = driven(run)
    assert run.state == "contained", run.because


def test_a_waiting_run_that_kills_its_workers_goes_on_waiting_for_people(held):
    run = held("session.pause")
    for _ in range(4):
        runs.claim(run.pk, executor="worker")
        Run.objects.filter(pk=run.pk).update(lease_until=run.created_at)
    run.refresh_from_db()
    assert run.state == "waiting"
    assert "workers died" in run.because
    assert RUN.allows(run.state, "release")


def test_a_run_that_needed_a_person_before_it_did_anything_can_be_undone(started, sandbox):
    run = started("workload.isolate")
    ticket, seen = claimed(run)
    steps.intend(ticket, 1, seen=seen)
    for _ in range(5):
        steps.trouble(ticket, 1, outcome="unexpected", said="The connector failed unexpectedly.")
        step = run.steps.get()
        if step.state == "acting":
            steps.intend(ticket, 1, seen=seen)
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    run = driven(run)
    assert (run.state, run.steps.get().was) == ("needs_human", None)
    runs.undo(run.pk, actor=SYSTEM, reason="nothing was done")
    run = driven(run)
    assert run.state == "undone", run.because


def test_steps_that_a_release_leaves_out_say_so_on_record(held):
    run = held("session.pause")
    runs.release(run.pk, actor=SYSTEM, because="approved")
    left_out = run.steps.get(stage="interim")
    assert left_out.state == "skipped"
    assert AuditEntry.objects.filter(verb="step.settled", subject=str(left_out.ref)).count() == 1


def test_a_failed_run_is_not_undone_while_another_one_has_the_identity(started, sandbox):
    failed = started("workload.isolate")
    sandbox.set_mood(failed.target["subject"], Mood.PERMISSION_LOST)
    failed = driven(failed)
    later = started("session.pause")
    Run.objects.filter(pk=later.pk).update(identity_ref=failed.identity_ref)
    with pytest.raises(AlreadyLive):
        runs.undo(failed.pk, actor=SYSTEM, reason="put it back")
    failed.refresh_from_db()
    assert failed.state == "failed"


def test_what_is_kept_after_a_lapse_is_put_back_at_once_when_somebody_asks(held):
    run = driven(held("session.pause"))
    runs.stand_down(run.pk, actor=SYSTEM, because="nobody answered", keep=timedelta(hours=1))
    assert driven(run, rounds=1).state == "undoing"
    runs.undo(run.pk, actor=SYSTEM, reason="it was the monthly batch")
    run = driven(run)
    assert (run.state, run.undo_reason) == ("undone", "it was the monthly batch")
    assert AuditEntry.objects.filter(verb="run.undo_requested", subject=str(run.ref)).count() == 1
