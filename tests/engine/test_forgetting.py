"""What a connector keeps outside for an undo goes once the run is accepted as it is, and not before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from audit import nudges
from audit.models import AuditEntry
from connectors import registry
from connectors.base import LockedOut, Step, Unavailable
from connectors.sandbox import SandboxConnector
from core.actor import SYSTEM
from playbooks import circuit, forgetting, runs
from playbooks.models import Circuit, Run
from tests.engine.test_switch_in_engine import lifted, switched

pytestmark = pytest.mark.django_db

SEEN = {"contained": False, "public": {"state": "open"}, "live_sessions": None, "account": ""}


class Keeping(SandboxConnector):
    """Keeps a thing for each attempt."""

    says: list[Exception]  # one after the other, and then it does it

    def forget(self, step: Step, *, key: str) -> None:
        if self.says:
            raise self.says.pop(0)
        forgotten.append((step.measure.value, step.target.subject, key))


forgotten: list[tuple[str, str, str]] = []


@pytest.fixture
def keeping(sandbox: Any, estate: Any) -> Keeping:
    forgotten.clear()
    connector = Keeping(dsn=estate.dsn("estate"))
    connector.says = []
    registry.register("sandbox", connector)
    return connector


@pytest.fixture
def resting(started: Any, keeping: Keeping) -> Run:
    """One step acted; the other was never looked at."""
    run: Run = started("session.pause", "workload.isolate")
    Run.objects.filter(pk=run.pk).update(state="partial", next_at=None)
    run.steps.filter(seq=1).update(was=SEEN, state="partial")
    return run


def test_what_is_accepted_is_forgotten_once_a_worker_is_asked(resting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr(nudges, "wake_worker", lambda task, key: asked.append((task, key)))
    forgetting.forget(resting.pk)
    assert forgotten == []  # it may be undone
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    assert (runs.FORGET, resting.pk) in asked
    forgetting.forget(resting.pk)
    assert forgotten == [("session.pause", resting.target["subject"], str(resting.steps.get(seq=1).key))]


@pytest.mark.parametrize("says", [Unavailable("It does not answer."), ValueError("a bug")])
def test_a_target_that_does_not_answer_is_asked_again_until_it_does(resting: Run, keeping: Keeping, says: Exception) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    assert forgetting.ask_again(5) == 1, "the first nudge may have been lost"
    keeping.says = [says]
    forgetting.forget(resting.pk)
    assert (forgotten, forgetting.ask_again(5)) == ([], 0), "not at once"
    forgetting.forget(resting.pk)
    assert forgotten == [], "another one may be at it"
    time_passes(forgetting.AGAIN)
    assert forgetting.ask_again(5) == 1
    forgetting.forget(resting.pk)
    forgetting.forget(resting.pk)
    assert len(forgotten) == 1
    time_passes(forgetting.AGAIN)
    assert forgetting.ask_again(5) == 0


def test_one_that_fails_keeps_no_other_from_being_asked(resting: Run, keeping: Keeping) -> None:
    resting.steps.update(was=SEEN)
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    keeping.says = [ValueError("a bug")]
    forgetting.forget(resting.pk)
    assert [measure for measure, _, _ in forgotten] == ["workload.isolate"]
    time_passes(forgetting.AGAIN)
    assert forgetting.ask_again(5) == 1


def test_a_target_that_never_answers_is_left_in_the_end_and_that_is_on_record(resting: Run) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    time_passes(forgetting.LEFT_AFTER)
    assert forgetting.ask_again(5) == 1
    assert (forgetting.ask_again(5), forgotten) == (0, [])
    assert AuditEntry.objects.filter(verb="run.not_forgotten", subject=str(resting.ref)).count() == 1


def test_a_door_that_refuses_our_own_credential_is_shut_for_this_too(resting: Run, keeping: Keeping) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    keeping.says = [LockedOut("The password is refused.")]
    forgetting.forget(resting.pk)
    assert [row.door for row in circuit.open_now()] == ["sandbox"]
    for _ in range(5):
        time_passes(forgetting.AGAIN)
        keeping.says = [LockedOut("The password is refused.")]
        forgetting.forget(resting.pk)
    assert len(keeping.says) == 1, "three tries a minute, and the rest does not ask"
    keeping.says = []
    Circuit.objects.update(tries=[])
    time_passes(forgetting.AGAIN)
    forgetting.forget(resting.pk)
    assert (len(forgotten), circuit.open_now()) == (1, [])


def test_while_everything_is_stopped_no_target_is_asked_and_afterwards_it_is(resting: Run) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    switched("nothing")
    forgetting.forget(resting.pk)
    assert forgotten == []
    lifted()
    time_passes(forgetting.AGAIN)
    forgetting.forget(resting.pk)
    assert len(forgotten) == 1


def test_the_switch_is_asked_before_each_call(resting: Run, keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    resting.steps.update(was=SEEN)
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    does = keeping.forget
    monkeypatch.setattr(keeping, "forget", lambda step, *, key: (does(step, key=key), switched("nothing")))
    forgetting.forget(resting.pk)
    assert len(forgotten) == 1


def time_passes(by: timedelta) -> None:
    Run.objects.filter(next_at__isnull=False).update(next_at=F("next_at") - by)
    Run.objects.update(finished_at=F("finished_at") - by)
