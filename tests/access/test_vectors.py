"""Whole authorization scenarios through HTTP, each as a policy: the published vectors, and one of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import make, others
from tests.access import door
from tests.access.policies import CERTIFICATION, LIBRARY, TODOS

pytestmark = pytest.mark.django_db


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(others.file(f"authzen/{name}").read_text())
    return found


@pytest.fixture
def bearer() -> str:
    make.house()
    return door.token()


@pytest.mark.parametrize(("name", "count"), [("todo-decisions-authorization-api-1_0-02.json", 40), ("api-gateway-decisions.json", 25)])
def test_each_published_question_has_its_published_answer(name: str, count: int, bearer: str) -> None:
    cases = vectors(name)["evaluation"]
    door.under(TODOS)
    found = [door.asked(case["request"], bearer=bearer)["decision"] for case in cases]
    assert found == [case["expected"] for case in cases]
    assert len(found) == count


def test_many_published_questions_at_once_have_theirs(bearer: str) -> None:
    cases = vectors("todo-decisions-authorization-api-1_0-02.json")["evaluations"]
    door.under(TODOS)
    for case in cases:
        answers = door.asked(case["request"], bearer=bearer, to=door.EVALUATIONS)["evaluations"]
        assert [{"decision": answer["decision"]} for answer in answers] == case["expected"]


def test_the_certification_cases_get_their_status_and_decision(bearer: str) -> None:
    door.under(CERTIFICATION)
    for case in vectors("certification-basic.json")["cases"]:
        body = case["raw_body"] if "raw_body" in case else case["request"]
        answer = door.posted(body, bearer=bearer, to=case["endpoint"], content_type=case.get("content_type", "application/json"))
        assert answer.status_code == case["expect"]["status"], case["id"]
        if "decision" in case["expect"]:
            assert json.loads(answer.content)["decision"] is case["expect"]["decision"], case["id"]


@pytest.mark.parametrize(
    ("subject", "action", "resource", "allowed"),
    [
        ("vera", {"name": "read"}, {"type": "book", "id": "b-1"}, True),
        ("nobody-knows-her", {"name": "read"}, {"type": "book", "id": "b-1"}, True),
        ("vera", {"name": "read"}, {"type": "till", "id": "t-1"}, False),
        ("vera", {"name": "lend"}, {"type": "book", "id": "b-1", "properties": {"copies": 2}}, True),
        ("vera", {"name": "lend"}, {"type": "book", "id": "b-1", "properties": {"copies": 1}}, False),
        ("vera", {"name": "lend"}, {"type": "book", "id": "b-1"}, False),
        ("otto", {"name": "lend"}, {"type": "book", "id": "b-1", "properties": {"copies": 2}}, False),
        ("otto", {"name": "can_update_spine", "properties": {"gloves": True}}, {"type": "shelf", "id": "/shelves/7"}, True),
        ("otto", {"name": "can_update_spine", "properties": {"gloves": False}}, {"type": "shelf", "id": "/shelves/7"}, False),
        ("otto", {"name": "can_update_spine", "properties": {"gloves": True}}, {"type": "shelf", "id": "/shelves/../tills/1"}, False),
    ],
)
def test_a_library_is_a_policy_too(subject: str, action: dict[str, Any], resource: dict[str, Any], allowed: bool, bearer: str) -> None:
    door.under(LIBRARY)
    request = {"subject": {"type": "user", "id": subject}, "action": action, "resource": resource}
    assert door.asked(request, bearer=bearer)["decision"] is allowed
