"""The engine on a target that misbehaves: nothing happens twice, nothing is contained without proof, and every trouble has an end."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from audit import chain
from audit.models import AuditEntry, AuditHead
from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import engine, runs
from playbooks.models import Attempt, Run
from playbooks.refusals import LeaseLost

pytestmark = pytest.mark.django_db(transaction=True)


def driven(run: Run, *, rounds: int = 60) -> Run:
    """As sweepers would: again and again until nothing is due any more."""
    for _ in range(rounds):
        engine.drive(run.pk, executor="command")
        run.refresh_from_db()
        if run.next_at is None:
            return run
        time.sleep(0.1)
    return run


@pytest.mark.fault("F1")
@pytest.mark.parametrize("measure", ["session.pause", "workload.isolate", "session.terminate"])
@pytest.mark.parametrize("mood", [None, Mood.FAILS_BEFORE, Mood.FAILS_AFTER, Mood.TIMES_OUT, Mood.LAGS])
def test_an_effect_happens_once_however_the_answer_got_lost(started, sandbox, measure, mood):
    run = started(measure)
    if mood:
        sandbox.set_mood(run.target["subject"], mood)
    run = driven(run)
    assert run.state == "contained", run.because
    assert run.proof_level == "introspected"
    assert sandbox.done(run.target["subject"]) == 1


@pytest.mark.fault("F11")
def test_what_may_still_take_effect_is_looked_at_and_not_done_a_second_time(started, sandbox):
    """The answer was lost, and the target shows what it did only later."""
    run = started("session.terminate")
    subject = run.target["subject"]
    sandbox.set_mood(subject, Mood.TIMES_OUT)
    engine.drive(run.pk, executor="command")
    for _ in range(3):
        sandbox.set_mood(subject, Mood.LAGS)
        Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
        run.steps.update(next_at=None)
        engine.drive(run.pk, executor="command")
        assert "may still take effect" in run.steps.get().said
    assert sandbox.done(subject) == 1
    assert driven(run).state == "contained"
    assert sandbox.done(subject) == 1


@pytest.mark.fault("F11")
def test_what_seems_to_be_back_already_is_looked_at_again_before_it_is_said(started, sandbox):
    """The target shows its former state for a moment, as one does whose copies lag behind."""
    run = driven(started("session.terminate"))
    subject = run.target["subject"]

    def shows(state: str) -> None:
        with sandbox.connected() as connection:
            sandbox.put(connection, subject, "session.terminate", state)

    shows("open")
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    engine.drive(run.pk, executor="command", turn_s=0.5)
    run.refresh_from_db()
    assert run.state == "undoing"
    assert "looked at again" in run.steps.get().said
    shows("cut")
    assert driven(run).state == "undone"
    assert sandbox.done(subject, "restored") == 1


def test_a_saboteur_that_answers_ok_never_becomes_contained(started, sandbox):
    run = started("workload.isolate")
    sandbox.set_mood(run.target["subject"], Mood.SABOTAGES, times=1000)
    run = driven(run)
    assert run.state == "partial"
    step = run.steps.get()
    assert step.left == ["its record says open"]
    assert sandbox.done(run.target["subject"]) == 0


@pytest.mark.fault("A7")
def test_a_blind_effect_whose_answer_got_lost_is_a_persons_business(started, sandbox):
    run = started("identity.disable")
    sandbox.set_mood(run.target["subject"], Mood.TIMES_OUT)
    run = driven(run)
    assert run.state == "needs_human"
    assert sandbox.done(run.target["subject"]) == 1


def test_a_blind_effect_is_never_called_contained_on_the_targets_word(started, sandbox):
    run = driven(started("identity.disable"))
    assert run.state == "partial"
    assert "only acknowledged" in run.steps.get().left[0]


@pytest.mark.fault("F17")
def test_another_account_than_the_first_is_not_touched(started, sandbox):
    run = started("workload.isolate")
    subject = run.target["subject"]
    sandbox.set_mood(subject, Mood.FAILS_BEFORE)
    engine.drive(run.pk, executor="command")
    sandbox.set_mood(subject, Mood.WRONG_ACCOUNT, times=1000)
    run = driven(run)
    assert run.state == "failed"
    assert sandbox.done(subject) == 0


@pytest.mark.fault("G7")
def test_a_permission_that_is_gone_stops_the_plan_and_the_rest_is_left_out(started, sandbox):
    run = started("workload.isolate", "session.pause")
    sandbox.set_mood(run.target["subject"], Mood.PERMISSION_LOST)
    run = driven(run)
    assert run.state == "failed"
    assert [step.state for step in run.steps.order_by("seq")] == ["failed", "skipped"]


@pytest.mark.fault("G3")
def test_undo_goes_backwards_and_leaves_what_was_so_before_us(started, sandbox):
    run = started("workload.isolate", "session.pause")
    subject = run.target["subject"]
    with sandbox.connected() as connection:
        sandbox.put(connection, subject, "session.pause", "cut")
    run = driven(run)
    assert run.state == "contained"
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    run = driven(run)
    assert run.state == "undone"
    with sandbox.connected() as connection:
        assert sandbox.state(connection, subject, "workload.isolate") == "open"
        assert sandbox.state(connection, subject, "session.pause") == "cut"
    undone = list(AuditEntry.objects.filter(verb="step.undone").order_by("seq").values_list("subject", flat=True))
    assert undone == [str(step.ref) for step in run.steps.order_by("-seq")]


@pytest.mark.fault("G4")
def test_undo_touches_nothing_that_somebody_else_changed(started, sandbox):
    run = driven(started("workload.isolate"))
    subject = run.target["subject"]
    with sandbox.connected() as connection:
        sandbox.put(connection, subject, "workload.isolate", "frozen by audit")
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    run = driven(run)
    assert run.state == "needs_human"
    assert run.steps.get().diff == {"before": "open", "ours": "cut", "now": "frozen by audit"}
    with sandbox.connected() as connection:
        assert sandbox.state(connection, subject, "workload.isolate") == "frozen by audit"


@pytest.mark.fault("A10")
def test_a_write_after_the_lease_passed_is_refused(started):
    run = started("workload.isolate")
    ticket = runs.claim(run.pk, executor="command")
    assert ticket is not None
    Run.objects.filter(pk=run.pk).update(lease_until=run.created_at)
    later = runs.claim(run.pk, executor="command")
    assert later is not None
    assert later.fence == ticket.fence + 1
    with pytest.raises(LeaseLost):
        runs.begin(ticket, seen=run)


@pytest.mark.fault("B3")
@pytest.mark.fault("B10")
def test_a_claimed_run_is_nobody_elses(started):
    run = started("workload.isolate")
    assert runs.claim(run.pk, executor="command") is not None
    assert runs.claim(run.pk, executor="worker") is None


@pytest.mark.fault("A11")
def test_a_run_that_kills_three_workers_waits_for_a_person(started):
    run = started("workload.isolate")
    for _ in range(4):
        runs.claim(run.pk, executor="command")
        Run.objects.filter(pk=run.pk).update(lease_until=run.created_at)
    run.refresh_from_db()
    assert run.state == "needs_human"
    assert "workers died" in run.because


def test_every_outcome_follows_an_intent_and_the_chain_holds(started, sandbox):
    run = started("workload.isolate", "session.pause")
    sandbox.set_mood(run.target["subject"], Mood.FAILS_AFTER)
    driven(run)
    for step in run.steps.all():
        kinds = list(Attempt.objects.filter(step=step).order_by("id").values_list("kind", flat=True))
        assert kinds[0] == "intent"
        assert all(first != second for first, second in pairwise(kinds))
    head = AuditHead.objects.get()
    assert chain.first_break(AuditEntry.objects.order_by("seq"), head=head) is None
