"""A dry run looks at a real target and changes nothing: not there, and not here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from audit.models import AuditEntry
from connectors import registry
from connectors.base import Measure, Rejected, State, Step, Target
from connectors.foresight import Change
from connectors.sandbox import SandboxConnector
from containment import trying
from core.ids import uuid7
from core.refusals import BadInput
from playbooks import dry_run
from playbooks.models import Attempt, Run
from tests import cast, make

pytestmark = pytest.mark.django_db

TEXT = """
name: tried
kinds: [service_account]
lasts: 1h
stages:
  soft: [{measure: evidence.preserve}, {measure: session.pause}]
  hard: [{measure: evidence.preserve}, {measure: session.pause}, {measure: workload.isolate}, {measure: session.terminate}]
holds: {default: {on_lapse: release}}
"""


def target(subject: str, provider: str = "sandbox") -> dict[str, Any]:
    facts: dict[str, Any] = {"sessions": [], "spare": [], "only": []}
    return {"provider": provider, "kind": "service_account", "subject": subject, "identity": str(uuid7()), "facts": facts}


@pytest.mark.fault("G12")
def test_any_number_of_dry_runs_leave_nothing_behind_there_or_here(sandbox: Any):
    subjects = [f"subject-{number}" for number in range(15)]
    for subject in subjects:
        assert dry_run.of(TEXT, target(subject)).can
    with sandbox.connected() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM sandbox_ledger WHERE subject = ANY(%(all)s)),"
            " (SELECT count(*) FROM sandbox_subject WHERE subject = ANY(%(all)s))",
            {"all": subjects},
        ).fetchone()
    assert row == (0, 0)
    assert not Run.objects.exists()
    assert not Attempt.objects.exists()


def test_evidence_that_nobody_would_take_is_said(sandbox: Any):
    text = TEXT.replace("{measure: evidence.preserve}", "{measure: evidence.preserve, connector: nowhere, on_failure: continue}")
    found = dry_run.of(text, target("subject-none"))
    assert not found.can
    assert [step.because for step in found.steps if step.measure == Measure.EVIDENCE_PRESERVE] == [dry_run.NO_EVIDENCE] * 2


@pytest.mark.fault("G12")
def test_what_looks_could_not_change_anything_if_it_tried(sandbox: Any):
    connector = registry.connector_for("sandbox")
    assert isinstance(connector, SandboxConnector)
    looker = connector.looker()
    step = Step(Measure.WORKLOAD_ISOLATE, Target(**target("subject-looked-at")))
    for deed in (looker.perform, looker.undo):
        with pytest.raises(Rejected, match="may only look"):
            deed(step, key="k", was=State(contained=False, public={"state": "open"}))
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), looker.target.connected() as connection:
        looker.target.put(connection, "subject-looked-at", "workload.isolate", "cut")


def test_it_says_what_is_there_what_would_be_and_what_is_so_already(sandbox: Any):
    with sandbox.connected() as connection:
        sandbox.put(connection, "half-cut", "workload.isolate", "cut")
    found = dry_run.of(TEXT, target("half-cut"))
    said = [(step.stage, step.measure, step.already, [change for change in step.changes if change.is_one]) for step in found.steps]
    would = [Change("state", "open", "cut")]
    assert said == [
        ("soft", "evidence.preserve", False, []),
        ("soft", "session.pause", False, would),
        ("hard", "evidence.preserve", False, []),
        ("hard", "session.pause", False, would),
        ("hard", "workload.isolate", True, []),
        ("hard", "session.terminate", False, would),
    ]
    assert (found.terms, found.trouble) == ({"lasts_s": 3600}, "")


class Blind:
    """Acts, and has no credentials that could only look."""

    name = "blind"

    def __init__(self, connector: Any) -> None:
        self.abilities = connector.abilities

    def __getattr__(self, what: str) -> Any:
        raise AttributeError(what) if what == "looker" else AssertionError(f"{what} was called")


@pytest.fixture
def blind(sandbox: Any) -> Iterator[None]:
    registry._instances["blind"] = Blind(registry.connector_for("sandbox"))
    yield
    registry._instances.pop("blind", None)


def test_a_connector_that_cannot_only_look_is_not_asked_and_the_page_says_so(blind: None):
    found = dry_run.of(TEXT, target("somebody", provider="blind"))
    assert not found.can
    assert {step.because for step in found.steps if step.disruptive} == {dry_run.NO_LOOKER}


def test_a_plan_that_nobody_can_carry_out_and_a_text_that_is_wrong_are_not_tried(sandbox: Any):
    found = dry_run.of(TEXT.replace("session.terminate", "credential.revoke"), target("somebody"))
    assert (found.can, found.steps) == (False, [])
    assert "No connector can do credential.revoke on “sandbox”" in found.trouble
    with pytest.raises(BadInput):
        dry_run.of(TEXT.replace("session.pause", "session.stop"), target("somebody"))


def test_that_somebody_looked_is_on_record(sandbox: Any):
    identity = make.identity("etl_reader", provider="sandbox")
    session = make.session(identity, "s-77")
    found = trying.out(TEXT, identity.pk, actor=cast.person("enzo"))
    assert found.target["facts"]["sessions"] == [session.external_id]
    entry = AuditEntry.objects.get(verb="playbook.tried")
    assert entry.subject == str(identity.ref)
    assert "a text that was not saved" in entry.body


def test_whom_a_designation_spares_is_spared_when_it_is_tried():
    etl = make.identity("etl_reader")
    make.session(etl, "pay-1", application="payments")
    make.session(etl, "etl-1", application="etl")
    make.designation(etl, "pay-1", schemas=["payments"], reconnect=True)
    facts = trying.target_of(etl)["facts"]
    assert facts["spare"] == [{"address": "127.0.0.1", "application": "payments"}]
    assert facts["must_go_on"] == {"schemas": ["payments"], "reconnect": True}
    assert facts["sessions"] == ["etl-1", "pay-1"]
