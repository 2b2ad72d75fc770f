"""What a connector keeps outside for an undo goes once the run is accepted as it is, and not before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from audit import nudges
from connectors import registry
from connectors.base import Step, Unavailable
from connectors.sandbox import SandboxConnector
from core.actor import SYSTEM
from playbooks import forgetting, runs
from playbooks.models import Run
from tests.engine.test_switch_in_engine import lifted, switched

pytestmark = pytest.mark.django_db

SEEN = {"contained": False, "public": {"state": "open"}, "live_sessions": None, "account": ""}


class Keeping(SandboxConnector):
    """Keeps a thing for each attempt."""

    away = False

    def forget(self, step: Step, *, key: str) -> None:
        if self.away:
            raise Unavailable("It does not answer.")
        forgotten.append((step.measure.value, step.target.subject, key))


forgotten: list[tuple[str, str, str]] = []


@pytest.fixture
def keeping(sandbox: Any, estate: Any) -> Keeping:
    forgotten.clear()
    connector = Keeping(dsn=estate.dsn("estate"))
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


def test_a_target_that_does_not_answer_is_asked_again_until_it_does(resting: Run, keeping: Keeping) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    assert forgetting.ask_again(5) == 1, "the first nudge may have been lost"
    keeping.away = True
    forgetting.forget(resting.pk)
    assert (forgotten, forgetting.ask_again(5)) == ([], 0), "not at once"
    keeping.away = False
    forgetting.forget(resting.pk)
    assert forgotten == [], "another one may be at it"
    time_passes(forgetting.AGAIN)
    assert forgetting.ask_again(5) == 1
    forgetting.forget(resting.pk)
    forgetting.forget(resting.pk)
    assert len(forgotten) == 1
    time_passes(forgetting.AGAIN)
    assert forgetting.ask_again(5) == 0


def test_a_target_that_never_answers_is_left_in_the_end(resting: Run, keeping: Keeping) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    time_passes(forgetting.LEFT_AFTER)
    keeping.away = True
    forgetting.forget(resting.pk)
    time_passes(forgetting.AGAIN)
    assert forgetting.ask_again(5) == 0


def test_while_everything_is_stopped_no_target_is_asked_and_afterwards_it_is(resting: Run) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    switched("nothing")
    forgetting.forget(resting.pk)
    assert forgotten == []
    lifted()
    time_passes(forgetting.AGAIN)
    forgetting.forget(resting.pk)
    assert len(forgotten) == 1


def time_passes(by: timedelta) -> None:
    Run.objects.filter(next_at__isnull=False).update(next_at=F("next_at") - by)
    Run.objects.update(finished_at=F("finished_at") - by)
