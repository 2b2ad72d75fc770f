"""An agent whose session is paused, ended and opened again, with the sessions that it opened itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from containment import flow, sessions
from containment.models import Session
from containment.refusals import SessionStopped
from containment.sessions import Registration
from playbooks import runs, steps
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)

MILD: dict[str, Any] = {"confidence": 0.6, "session": {"id": "inv-1"}, "credential": None, "context": {"environment": "prod"}}


@pytest.fixture
def paused(drive):
    """An agent's session, paused by a run that came to rest, and the run."""
    make.house()
    agent = make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow")
    session = make.session(agent, "inv-1", registered_by=cast.detector().principal)
    decision = make.detected(
        "invoice-agent", identity={"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}, resource=None, **MILD
    )
    assert (decision.verdict, decision.stage) == ("contain", "soft"), decision.because
    assert drive(make.run_of(decision).pk).state == "contained"
    session.refresh_from_db()
    assert session.gate == "paused"
    return session, make.run_of(decision)


def test_a_run_that_was_raised_to_the_hard_stage_can_be_undone(paused, drive):
    session, run = paused
    runs.raise_stage(run.pk, to="hard", because="it went on")
    assert drive(run.pk).state == "contained"
    flow.undo_run(run.pk, actor=cast.person("mara"), reason="a drill")
    for _ in range(steps.LOOKS):  # nothing of the pause is left to be taken back, which is looked at again before it is said
        Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
        run.steps.update(next_at=None)
        drive(run.pk)
    run.refresh_from_db()
    assert run.state == "undone"
    session.refresh_from_db()
    assert session.gate == "ended"


def test_a_paused_session_is_not_ended_by_its_client_and_goes_on_when_the_run_is_undone(paused, drive):
    session, run = paused
    with pytest.raises(SessionStopped):
        sessions.end(session.pk, actor=cast.detector())
    flow.undo_run(run.pk, actor=cast.person("mara"), reason="a drill")
    assert drive(run.pk).state == "undone"
    session.refresh_from_db()
    assert session.gate == "active"


def test_a_session_that_a_paused_one_opened_goes_on_with_it(paused, drive):
    session, run = paused
    make.identity("helper", provider="agents", kind="ai_agent")
    said = Registration(provider="agents", subject="helper", kind="ai_agent", name="sub-1", parent=session.pk, life=timedelta(hours=1))
    child, _ = sessions.register(said, actor=cast.detector())
    assert child.gate == "paused"
    flow.undo_run(run.pk, actor=cast.person("mara"), reason="a drill")
    assert drive(run.pk).state == "undone"
    assert set(Session.objects.values_list("external_id", "gate")) == {("inv-1", "active"), ("sub-1", "active")}


def test_pausing_a_session_pauses_those_that_it_opened(drive):
    make.house()
    agent = make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow")
    parent = make.session(agent, "inv-1")
    child = make.session(make.identity("helper", provider="agents", kind="ai_agent"), "sub-1", parent=parent)
    decision = make.detected(
        "invoice-agent", identity={"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}, resource=None, **MILD
    )
    drive(make.run_of(decision).pk)
    child.refresh_from_db()
    assert child.gate == "paused"
