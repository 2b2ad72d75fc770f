"""What is shipped: for whom each playbook is, what it does first, and that it says all that it should."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.base import Measure
from playbooks.domain import bindings
from playbooks.domain.document import parse
from playbooks.domain.specs import DRIVES, KINDS, PATTERNS, PRESERVING, REASONS, Document

DOCUMENTS = {path.stem: parse(path.read_text()) for path in sorted((Path(__file__).parents[2] / "playbooks" / "shipped").glob("*.yaml"))}
BOUND = [SimpleNamespace(name=one.name, kinds=list(one.kinds), drives=list(one.drives), pattern=one.pattern) for one in DOCUMENTS.values()]


def for_whom(kind: str, drive: str, pattern: str = "any") -> str:
    return str(bindings.fitting(BOUND, kind, drive, pattern)[0].name)


def first_cut(document: Document, stage: str) -> Measure:
    return next(step.measure for step in document.stages[stage] if step.measure not in PRESERVING)


@pytest.mark.parametrize(
    ("kind", "drive", "pattern", "name", "soft", "hard"),
    [
        ("human", "human", "any", "human", Measure.SESSION_PAUSE, Measure.IDENTITY_DISABLE),
        ("service_account", "script", "any", "service-account", Measure.WORKLOAD_ISOLATE, Measure.CREDENTIAL_REVOKE),
        ("service_account", "human", "any", "service-account-by-hand", Measure.SESSION_PAUSE, Measure.CREDENTIAL_REVOKE),
        ("service_account", "autonomous", "any", "service-account-autonomous", Measure.SESSION_PAUSE, Measure.CREDENTIAL_REVOKE),
        ("workload", "autonomous", "any", "workload", Measure.WORKLOAD_ISOLATE, Measure.CREDENTIAL_REVOKE),
        ("workload", "script", "any", "long-running-job", Measure.WORKLOAD_ISOLATE, Measure.CREDENTIAL_REVOKE),
        ("ci_pipeline", "script", "any", "ci-pipeline", Measure.WORKLOAD_ISOLATE, Measure.CREDENTIAL_REVOKE),
        ("ai_agent", "autonomous", "goal_deviation", "ai-agent", Measure.SESSION_PAUSE, Measure.SESSION_TERMINATE),
        ("service_account", "script", "exposed_credential", "exposed-credential", Measure.CREDENTIAL_ROTATE, Measure.CREDENTIAL_REVOKE),
        ("ci_pipeline", "script", "exposed_credential", "exposed-credential", Measure.CREDENTIAL_ROTATE, Measure.CREDENTIAL_REVOKE),
        ("service_account", "script", "shared_credential", "shared-credential", Measure.SESSION_PAUSE, Measure.SESSION_PAUSE),
        ("workload", "script", "stolen_session", "customer-session", Measure.SESSION_RESTRICT, Measure.CREDENTIAL_REVOKE),
    ],
)
def test_each_case_has_its_own_first_step(kind: str, drive: str, pattern: str, name: str, soft: Measure, hard: Measure):
    assert for_whom(kind, drive, pattern) == name
    assert (first_cut(DOCUMENTS[name], "soft"), first_cut(DOCUMENTS[name], "hard")) == (soft, hard)


def test_a_job_saves_its_progress_before_anything_else():
    for steps in DOCUMENTS["long-running-job"].stages.values():
        assert steps[0].measure is Measure.JOB_CHECKPOINT


def test_a_rotation_says_where_it_delivers_and_what_follows_if_the_old_one_lives():
    document = DOCUMENTS["exposed-credential"]
    rotate = next(step for step in document.stages["soft"] if step.measure is Measure.CREDENTIAL_ROTATE)
    assert rotate.parameters == {"deliver_to": {"from": "target.subject"}, "keep_new": True}  # undo does not bring back what leaked
    assert (document.unproven, document.hold_for("default").on_lapse) == ("hard", "contain")


def test_no_two_are_equally_specific_and_nobody_is_without_one():
    for index, one in enumerate(BOUND):
        assert not [other.name for other in BOUND[index + 1 :] if bindings.tied(one, other)], one.name
    everybody = [(kind, drive, pattern) for kind in KINDS for drive in DRIVES for pattern in PATTERNS]
    assert bindings.without(BOUND, everybody) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_is_named_as_its_file_and_answers_every_reason_to_ask(name: str):
    document = DOCUMENTS[name]
    assert document.name == name
    assert set(REASONS) - {"cool_off", "thin", "budget", "ceiling"} <= set(document.holds)
    assert set(document.stages) == {"interim", "soft", "hard"}


def test_the_playbook_of_the_instructions_is_one():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "write-a-playbook.md").read_text()
    text = page[page.index("```yaml") + 8 : page.index("```", page.index("```yaml") + 8)]
    assert parse(text).reinstatement[0].step.measure is Measure.SESSION_RESTRICT
