"""A target that refuses our own credential is asked a few times a minute by all runs together; what waits goes on once it lets us in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import Mood
from console import said
from core.actor import SYSTEM
from playbooks import circuit, engine, runs, steps
from playbooks.boundary import GOES_ON
from playbooks.domain.troubles import LONGEST_PAUSE_S
from playbooks.models import Attempt, Circuit, Run, Step

pytestmark = pytest.mark.django_db
MANY = 99


def drive(*those: Run) -> list[Run]:
    """Each once, due or not."""
    for run in those:
        Run.objects.filter(pk=run.pk, next_at__isnull=False).update(next_at=clock.now())
        Step.objects.filter(run=run, next_at__isnull=False).update(next_at=clock.now())
        engine.drive(run.pk, executor="command")
        run.refresh_from_db()
    return list(those)


def refusing(sandbox: Any, *those: Run) -> None:
    for run in those:
        sandbox.set_mood(run.target["subject"], Mood.LOCKS_US_OUT, MANY)


def letting_in(sandbox: Any, *those: Run) -> None:
    for run in those:
        sandbox.set_mood(run.target["subject"], Mood.LOCKS_US_OUT, 0)


def refused(sandbox: Any) -> int:
    with sandbox.connected() as connection:
        return int(
            connection.execute("SELECT sum(%s - times) FROM sandbox_mood WHERE mood = %s", [MANY, str(Mood.LOCKS_US_OUT)]).fetchone()[0]
        )


def patience() -> float:
    """Seconds."""
    until = Circuit.objects.get().busy_until
    assert until is not None
    return (until - clock.now()).total_seconds()


def a_minute_passes() -> None:
    for row in Circuit.objects.all():
        row.tries = [at - circuit.WITHIN for at in row.tries]
        row.save()
    Circuit.objects.update(busy_until=F("busy_until") - timedelta(hours=1))


def recorded(verb: str) -> int:
    return AuditEntry.objects.filter(verb=verb).count()


@pytest.fixture(autouse=True)
def _nobody_was_refused_before(sandbox: Any) -> None:
    with sandbox.connected() as connection:
        connection.execute("DELETE FROM sandbox_mood")


@pytest.mark.fault("F4")
def test_many_runs_together_ask_a_target_that_refuses_us_three_times_a_minute(started, sandbox):
    those = [started("workload.isolate") for _ in range(5)]
    refusing(sandbox, *those)
    for _ in range(3):
        drive(*those)
    assert refused(sandbox) == 3
    assert {run.state for run in those} == {"running"}
    assert all(GOES_ON in run.because or "our own credential" in run.because for run in those)
    a_minute_passes()
    drive(*those)
    assert refused(sandbox) == 6
    assert recorded("connector.refused") == 1


@pytest.mark.fault("F4")
def test_the_first_that_is_let_in_lets_all_go_on_at_once(started, sandbox):
    those = [started("workload.isolate") for _ in range(5)]
    refusing(sandbox, *those)
    drive(*those)
    (row,) = circuit.open_now()
    assert circuit.waiting(row) == 5
    letting_in(sandbox, *those)
    a_minute_passes()
    drive(those[0])
    assert those[0].state == "contained"
    assert (circuit.open_now(), recorded("connector.let_in")) == ([], 1)
    assert Run.objects.filter(pk__in=[run.pk for run in those[1:]], next_at__lte=clock.now()).count() == 4
    drive(*those)
    assert [(run.state, sandbox.done(run.target["subject"])) for run in those] == [("contained", 1)] * 5


@pytest.mark.fault("F4")
def test_who_is_refused_again_while_others_are_let_in_is_a_persons_business(started, sandbox):
    mine, others = started("workload.isolate"), started("workload.isolate")
    refusing(sandbox, mine)
    drive(mine)
    assert circuit.open_now()
    drive(others)
    assert (others.state, circuit.open_now()) == ("contained", [])
    drive(mine)
    assert mine.state == "failed"
    assert "about this target" in mine.steps.get().said
    assert circuit.open_now() == []


def test_a_slow_call_from_before_it_was_shut_does_not_open_it(started, sandbox):
    slow, refused = started("workload.isolate"), started("workload.isolate")
    refusing(sandbox, refused)
    ticket = runs.claim(slow.pk, executor="command")
    assert ticket is not None
    step = steps.intend(ticket, 1, seen=runs.begin(ticket, seen=Run.objects.get(pk=slow.pk)))
    drive(refused)
    circuit.let_in(step)
    assert circuit.open_now()


def test_who_was_refused_long_ago_is_not_taken_for_the_only_one_when_all_are(started, sandbox):
    mine, others = started("workload.isolate"), started("workload.isolate")
    refusing(sandbox, mine)
    drive(mine)
    letting_in(sandbox, mine)
    drive(mine)
    assert (mine.state, circuit.open_now()) == ("contained", [])
    refusing(sandbox, mine, others)
    runs.undo(mine.pk, actor=SYSTEM, reason="a drill")
    drive(mine)
    assert (mine.state, bool(circuit.open_now())) == ("undoing", True)


def test_a_cut_that_cannot_be_probed_meanwhile_is_proven_when_it_can(started, sandbox):
    mine, others = started("workload.isolate"), [started("workload.isolate") for _ in range(3)]
    sandbox.set_mood(mine.target["subject"], Mood.LINGERS, MANY)
    drive(mine)
    assert mine.state == "verifying"
    refusing(sandbox, *others)
    drive(*others)
    until = mine.steps.get().verify_until
    for _ in range(3):
        drive(mine)
    step = mine.steps.get()
    assert (mine.state, step.left) == ("verifying", [])
    assert step.verify_until > until + timedelta(seconds=60)
    letting_in(sandbox, mine, *others)
    a_minute_passes()
    drive(mine)
    assert (mine.state, circuit.open_now()) == ("contained", [])


def test_what_is_put_back_waits_as_well_and_is_put_back_once(started, sandbox):
    mine, others = started("workload.isolate"), [started("workload.isolate") for _ in range(3)]
    drive(mine)
    runs.undo(mine.pk, actor=SYSTEM, reason="a drill")
    refusing(sandbox, mine, *others)
    drive(*others)
    drive(mine)
    assert mine.state == "undoing"
    assert "refused our own credential" in mine.because
    assert said.run_sentence(mine, list(mine.steps.all()), clock.now())[1].startswith("Being put back, and standing still")
    assert not Attempt.objects.filter(step__run=mine, direction="undo").exists()
    letting_in(sandbox, mine, *others)
    a_minute_passes()
    drive(mine)
    assert (mine.state, sandbox.done(mine.target["subject"], "restored")) == ("undone", 1)


@pytest.mark.parametrize("first", [True, False])
def test_evidence_waits_before_a_shut_door_as_long_as_its_cut_does(started, sandbox, first):
    """Also the one that found the door shut."""
    others = [started("workload.isolate") for _ in range(3)]
    mine = started("evidence.preserve", "workload.isolate", waived=False)
    refusing(sandbox, mine, *others)
    drive(*([mine, *others] if first else [*others, mine]))
    assert [step.state for step in mine.steps.order_by("seq")] == ["acting" if first else "planned", "planned"]
    assert refused(sandbox) == 3
    letting_in(sandbox, mine, *others)
    a_minute_passes()
    drive(mine)
    assert (mine.state, [step.state for step in mine.steps.order_by("seq")]) == ("contained", ["done", "done"])


@pytest.mark.fault("F3")
def test_a_target_that_asks_for_patience_is_called_by_nobody_before_its_time(started, sandbox):
    first, second = started("workload.isolate"), started("workload.isolate")
    sandbox.set_mood(first.target["subject"], Mood.BUSY, 1, seconds=30)
    drive(first, second)
    assert "asked all calls for patience until" in second.because
    due = Run.objects.filter(
        pk=second.pk, next_at__gte=clock.now() + timedelta(seconds=25), next_at__lt=clock.now() + timedelta(seconds=40)
    )
    assert due.exists()
    assert sandbox.done(second.target["subject"]) == 0
    a_minute_passes()
    drive(first, second)
    assert (first.state, second.state) == ("contained", "contained")


def test_a_shorter_patience_does_not_shorten_a_longer_one():
    door = Step(connector="sandbox", measure="workload.isolate")
    for seconds in (600, 1, -5):
        circuit.busy(door, seconds)
    assert patience() > 500
    circuit.busy(door, 1e9)
    assert 500 < patience() <= LONGEST_PAUSE_S
