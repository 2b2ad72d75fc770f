"""Evidence before action: no cut begins while what it would destroy is still being preserved, for as long as it may wait."""

from __future__ import annotations

import json

import pytest

from audit.models import AuditEntry
from connectors.base import Measure
from connectors.holdfast import HoldfastConnector
from connectors.sandbox import Mood
from evidence.models import Artefact
from playbooks import engine, runs, steps
from playbooks.models import Run
from playbooks.refusals import EvidenceFirst

pytestmark = pytest.mark.django_db

PLAN = ("evidence.preserve", "workload.isolate")


def states(run):
    return list(run.steps.order_by("seq").values_list("state", flat=True))


def test_the_engine_refuses_a_cut_whose_evidence_is_not_settled(started, sandbox):
    run = started(*PLAN, waived=False)
    ticket = runs.claim(run.pk, executor="command")
    assert ticket is not None
    seen = runs.begin(ticket, seen=Run.objects.get(pk=run.pk))
    with pytest.raises(EvidenceFirst):
        steps.intend(ticket, 2, seen=seen)
    assert states(run) == ["planned", "planned"]
    steps.intend(ticket, 1, seen=seen)
    with pytest.raises(EvidenceFirst):
        steps.intend(ticket, 2, seen=seen)
    assert not AuditEntry.objects.filter(verb="step.intended", subject=str(run.steps.get(seq=2).ref)).exists()


def test_evidence_that_comes_within_its_time_is_kept(started, sandbox):
    run = started(*PLAN, waived=False, terms={"evidence_s": 30})
    sandbox.set_mood(run.target["subject"], Mood.HIDES)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, states(run), Artefact.objects.filter(run_ref=str(run.ref)).count()) == ("contained", ["done", "done"], 1)


def test_evidence_that_does_not_come_in_time_is_lost_and_the_cut_goes_on(started, sandbox):
    run = started(*PLAN, waived=False, terms={"evidence_s": 0.5})
    sandbox.set_mood(run.target["subject"], Mood.HIDES)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, states(run)) == ("contained", ["lost", "done"])
    lost = AuditEntry.objects.get(verb="evidence.lost", subject=str(run.steps.get(seq=1).ref))
    assert "lost by acting early" in json.loads(lost.body)["because"]
    assert sandbox.done(run.target["subject"]) == 1


def test_a_written_waiver_lets_the_cut_go_on_at_once(started, sandbox):
    run = started(*PLAN, terms={"evidence_s": 3600})
    sandbox.set_mood(run.target["subject"], Mood.HIDES)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, states(run)) == ("contained", ["lost", "done"])


@pytest.mark.parametrize("connector", ["nowhere", "holdfast"])
def test_evidence_that_no_connector_takes_is_lost_on_record_and_the_cut_goes_on(started, sandbox, connector, monkeypatch):
    if connector == "holdfast":
        pause = {Measure.SESSION_PAUSE: HoldfastConnector.abilities[Measure.SESSION_PAUSE]}
        monkeypatch.setattr(HoldfastConnector, "abilities", pause)
    run = started(*PLAN, on_failure="continue", waived=False)
    run.steps.filter(seq=1).update(connector=connector)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, states(run)) == ("contained", ["lost", "done"])
    lost = AuditEntry.objects.get(verb="evidence.lost", subject=str(run.steps.get(seq=1).ref))
    assert json.loads(lost.body)["because"] == f"No connector preserves evidence on “{connector}”."


@pytest.mark.fault("F7")
def test_evidence_is_asked_for_no_longer_than_a_cut_waits_for_it(started):
    from playbooks.calls import call_of

    run = started(*PLAN, waived=False, terms={"evidence_s": 0.5})
    assert [call_of(run, step).deadline_s for step in run.steps.order_by("seq")] == [0.5, 10.0]


def test_evidence_taken_while_people_decide_is_not_given_up_for_a_cut_that_nobody_wants_yet(held, sandbox):
    run = held("evidence.preserve")
    run.steps.update(next_at=None)
    sandbox.set_mood(run.target["subject"], Mood.HIDES)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, states(run), run.next_at is not None) == ("waiting", ["acting"], True)
