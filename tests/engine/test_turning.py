"""A run that people release, raise or reject while somebody drives it: the driver looks again, and nothing of theirs is lost."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from audit.models import AuditEntry
from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import forgetting, runs, steps
from playbooks.domain.moves import ACCEPTABLE, RUN
from playbooks.models import Run
from playbooks.refusals import AlreadyLive, NotAcceptable, NotRepeatable, Turned
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


@pytest.mark.fault("G8")
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


def set_aside(started, sandbox):
    """A run that came to rest in the middle of a step: somebody else is at fault, and the machine cannot go on."""
    run = started("workload.isolate")
    ticket, seen = claimed(run)
    steps.intend(ticket, 1, seen=seen)
    steps.trouble(ticket, 1, outcome="foreign", said="The role is not there any more.", diff={"role": "dropped"})
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    run = driven(run)
    assert run.state == "needs_human"
    return run


def test_a_person_accepts_as_it_is_what_no_undo_can_put_back(started, sandbox):
    run = set_aside(started, sandbox)
    runs.accept(run.pk, actor=SYSTEM, reason="the role was dropped by its owner")
    forgetting.forget(run.pk)
    run = driven(run)
    assert (run.state, run.because, run.next_at) == ("accepted", "the role was dropped by its owner", None)
    assert run.steps.get().state == "needs_human"
    entry = json.loads(AuditEntry.objects.get(verb="run.accepted", subject=str(run.ref)).body)
    assert entry["reason"] == "the role was dropped by its owner"
    assert [(step["state"], step["diff"]) for step in entry["steps"]] == [("needs_human", {"role": "dropped"})]


def test_what_is_accepted_leaves_its_identity_free_and_keeps_no_secret(started, sandbox):
    run = set_aside(started, sandbox)
    run.steps.update(was_sealed=b"sealed")
    runs.accept(run.pk, actor=SYSTEM, reason="it is gone")
    later = started("session.pause")
    Run.objects.filter(pk=later.pk).update(identity_ref=run.identity_ref)
    assert run.steps.get().was_sealed is None
    runs.accept(run.pk, actor=SYSTEM, reason="pressed twice")
    assert AuditEntry.objects.filter(verb="run.accepted", subject=str(run.ref)).count() == 1


@pytest.mark.parametrize("state", sorted(RUN.states - ACCEPTABLE - {"accepted"}))
def test_only_what_did_not_end_whole_is_accepted_as_it_is(started, state):
    run = started("workload.isolate")
    Run.objects.filter(pk=run.pk).update(state=state)
    with pytest.raises(NotAcceptable):
        runs.accept(run.pk, actor=SYSTEM, reason="why not")


def test_what_was_put_right_is_tried_again_and_contained(started, sandbox):
    run = set_aside(started, sandbox)
    runs.retry(run.pk, actor=SYSTEM)
    run = driven(run)
    assert run.state == "contained", run.because
    assert sandbox.done(run.target["subject"]) == 1
    assert AuditEntry.objects.filter(verb="run.retried", subject=str(run.ref)).count() == 1


def test_a_run_whose_undo_met_trouble_is_not_tried_again_forward(started, sandbox):
    run = driven(started("workload.isolate"))
    runs.undo(run.pk, actor=SYSTEM, reason="a false alarm")
    Run.objects.filter(pk=run.pk).update(state="needs_human")
    with pytest.raises(NotRepeatable):
        runs.retry(run.pk, actor=SYSTEM)


def test_a_run_that_no_connector_can_carry_out_is_not_tried_again(started):
    run = started("workload.isolate")
    Run.objects.filter(pk=run.pk).update(state="needs_human", plan={})
    with pytest.raises(NotRepeatable):
        runs.retry(run.pk, actor=SYSTEM)
