"""Whole authorization scenarios through HTTP, each as a policy and an inventory file: the published vectors, and one of our own.

`python -m tests.access.against URL HOME` runs the same against a service that is up.
"""

from __future__ import annotations

import json

import pytest

from containment import importing
from containment.importing.reading import read_yaml
from core.actor import SYSTEM
from guard.models import GuardCall
from tests import make, others
from tests.access import door
from tests.access.policies import SCENARIOS, Scenario

pytestmark = pytest.mark.django_db

COUNTS = {"library": 11, "certification": 22, "todo": 43, "gateway": 25}


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_each_question_of_a_scenario_has_its_answer(scenario: Scenario, listed: bool) -> None:
    """With its people in the inventory, and found as they come."""
    cases = scenario.cases(json.loads(others.file(scenario.published).read_text()) if scenario.published else None)
    make.house()
    door.under(scenario.section)
    if listed:
        importing.carry_out(read_yaml(scenario.inventory.encode()), name="scenario.yaml", actor=SYSTEM)
    bearer = door.token()
    unmet = []
    for case in cases:
        answer = door.posted(case.body, bearer=bearer, to=case.to, content_type=case.content_type)
        if not case.is_met(answer.status_code, json.loads(answer.content)):
            unmet.append((case.name, answer.status_code, answer.content))
    assert not unmet
    assert len(cases) == COUNTS[scenario.name]
    assert GuardCall.objects.count() == sum(len(case.decisions) for case in cases)
