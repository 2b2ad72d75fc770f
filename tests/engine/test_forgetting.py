"""What a connector keeps outside for an undo goes once the run is accepted as it is, and not before."""

from __future__ import annotations

from typing import Any

import pytest

from audit import nudges
from connectors import registry
from connectors.base import Step, Unavailable
from connectors.sandbox import SandboxConnector
from core.actor import SYSTEM
from playbooks import forgetting, runs
from playbooks.models import Run

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


def test_a_target_that_does_not_answer_then_keeps_what_it_keeps(resting: Run, keeping: Keeping) -> None:
    runs.accept(resting.pk, actor=SYSTEM, reason="it stays as it is")
    keeping.away = True
    forgetting.forget(resting.pk)
    assert forgotten == []
