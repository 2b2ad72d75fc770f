"""The wire of the Authorization API: what is well formed, which status says what, and what many questions at once are answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from containment.models import Source
from guard.models import GuardCall
from tests import make
from tests.access import door
from tests.access.door import EVALUATION, EVALUATIONS, asked, posted, question
from tests.access.policies import CERTIFICATION

pytestmark = pytest.mark.django_db


@pytest.fixture
def bearer() -> str:
    make.house()
    door.under(CERTIFICATION)
    return door.token()


# -- what is no question -------------------------------------------------------------------------------------------------------------------

SUBJECT, ACTION, RESOURCE = question()["subject"], question()["action"], question()["resource"]
MALFORMED: dict[str, Any] = {
    "nothing": "",
    "no JSON": "{",
    "a list": [],
    "null": None,
    "a text": '"hello"',
    "no subject": {"action": ACTION, "resource": RESOURCE},
    "a null subject": question(subject="x") | {"subject": None},
    "a text for a subject": question() | {"subject": "alice"},
    "a list for a subject": question() | {"subject": [SUBJECT]},
    "a subject without an id": question() | {"subject": {"type": "user"}},
    "an empty id": question() | {"subject": {"type": "user", "id": " "}},
    "a number for a type": question() | {"subject": {"type": 7, "id": "alice"}},
    "two tools": {
        "subject": SUBJECT,
        "action": {"name": "tools/call", "properties": {"tool": "ledger.read"}},
        "resource": {"type": "tool", "id": "mail.wipe"},
    },
    "an endless id": question() | {"subject": {"type": "user", "id": "a" * 501}},
    "a line feed in an id": question() | {"subject": {"type": "user", "id": "a\nb"}},
    "null properties": question() | {"subject": {**SUBJECT, "properties": None}},
    "a list of properties": question() | {"resource": {**RESOURCE, "properties": []}},
    "no action": {"subject": SUBJECT, "resource": RESOURCE},
    "an action without a name": question() | {"action": {}},
    "a resource without a type": question() | {"resource": {"id": "record-1"}},
    "a text for context": question(context="prod"),
    "a null context": question(context=None),
    "a key twice": '{"subject": {"type": "user", "id": "alice"}, "subject": {"type": "user", "id": "bob"}}',
    "a number that is none": json.dumps(question(context={"n": 0})).replace('"n": 0', '"n": NaN'),
    "no UTF-8": b'{"subject": "\xff"}',
    "NUL": json.dumps(question("a\x00b")),
    "too deep": "[" * 100 + "]" * 100,
    "arguments as text": question() | {"action": {**ACTION, "properties": {"arguments": "{}"}}},
    "writes as text": question() | {"action": {**ACTION, "properties": {"writes": "no"}}},
    "less than no bytes": question() | {"action": {**ACTION, "properties": {"bytes": -1}}},
    "a number for a session": question(context={"session": 7}),
    "a text for an approval": question(context={"approval": "yes"}),
    "a text for obligations": question(context={"supported_obligations": "all"}),
}


@pytest.mark.parametrize("to", [EVALUATION, EVALUATIONS])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_question_is_told_so_in_a_sentence(body: Any, to: str, bearer: str) -> None:
    answer = posted(body, bearer=bearer, to=to)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    told = json.loads(answer.content)
    assert told["status"] == 400
    assert told["detail"]
    assert not GuardCall.objects.exists()


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "application/json; charset=latin-1", "application/x-ndjson"])
def test_another_content_type_is_a_malformed_request_here(kind: str, bearer: str) -> None:
    assert posted(question(), bearer=bearer, content_type=kind).status_code == 400


def test_what_nobody_knows_is_ignored(bearer: str) -> None:
    more = question(foo="bar", future={"nested": [1, 2]}, context={"time": "2026-11-23T10:00:00Z", "role": ["a"], "session": None})
    more["subject"]["properties"] = {"department": "Sales", "provider": 7}
    assert asked(more, bearer=bearer)["decision"] is True


def test_a_long_body_is_too_large(bearer: str) -> None:
    assert posted(question(context={"x": "y" * 300_000}), bearer=bearer).status_code == 413


# -- who may ask ---------------------------------------------------------------------------------------------------------------------------


def test_without_a_token_nobody_is_answered_and_told_how_to_come(bearer: str) -> None:
    for shown in ("none", "hf_nonsense"):
        answer = posted("{", bearer=shown)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_token_that_may_only_post_detections_may_not_ask(bearer: str) -> None:
    answer = posted("{", bearer=door.token("detections.write", source="edr-prod"))
    assert answer.status_code == 403
    assert "guard.ask" in json.loads(answer.content)["detail"]


def test_a_token_asks_about_those_whom_its_source_may_speak_of(bearer: str) -> None:
    Source.objects.create(name="crm", providers=["crm"])
    bound = door.token(source="crm")
    assert asked(question(), bearer=bound)["decision"] is True, "its only provider is meant where none is named"
    other = question()
    other["subject"]["properties"] = {"provider": "elsewhere"}
    assert posted(other, bearer=bound).status_code == 403


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_questions_are_posted(method: str, bearer: str) -> None:
    answer = getattr(Client(), method)(EVALUATION, headers={"Authorization": f"Bearer {bearer}"})
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize(("body", "status"), [(question(), 200), ("{", 400)])
def test_the_request_id_comes_back_with_every_answer(body: Any, status: int, bearer: str) -> None:
    answer = posted(body, bearer=bearer, **{"X-Request-ID": "bfe9eb29-ab87"})
    assert (answer.status_code, answer["X-Request-ID"]) == (status, "bfe9eb29-ab87")
    assert posted(body, bearer="none", **{"X-Request-ID": "r"})["X-Request-ID"] == "r"
    assert "X-Request-ID" not in posted(body, bearer=bearer)
    assert "X-Request-ID" not in posted(body, bearer=bearer, **{"X-Request-ID": "x" * 300})
    assert Client().get("/access/v1/nowhere", headers={"X-Request-ID": "r"})["X-Request-ID"] == "r"


def test_an_answer_says_what_it_rests_on(bearer: str) -> None:
    told = asked(question("bob", "write"), bearer=bearer)
    assert told["decision"] is False
    context = told["context"]
    assert {"evaluation_id", "evaluated_at", "expires_at", "policy_version", "view_age_ms", "risk"} <= set(context)
    assert (context["verdict"], context["reason"], context["next_action"]) == ("deny", "policy_denied", "none")
    assert context["reason_admin"]["en"].startswith("Rule ")
    assert "bob" not in context["reason_user"]["en"]
    assert GuardCall.objects.get(pk=context["evaluation_id"]).verdict == "deny"


def test_asking_twice_is_answered_alike(bearer: str) -> None:
    assert [asked(question("bob", "write"), bearer=bearer)["decision"] for _ in range(2)] == [False, False]


# -- many at once --------------------------------------------------------------------------------------------------------------------------

READ, WRITE, BROKEN = {"action": {"name": "read"}}, {"action": {"name": "write"}}, {"action": {"name": 7}}


def batch(*items: Any, semantic: str = "", subject: str = "bob", **more: Any) -> dict[str, Any]:
    defaults = {name: value for name, value in question(subject).items() if name != "action"}
    options = {"options": {"evaluations_semantic": semantic}} if semantic else {}
    return defaults | {"evaluations": list(items)} | options | more


@pytest.mark.parametrize(
    ("semantic", "items", "decisions"),
    [
        ("", [READ, WRITE, READ], [True, False, True]),
        ("execute_all", [WRITE, READ], [False, True]),
        ("deny_on_first_deny", [READ, WRITE, READ], [True, False]),
        ("deny_on_first_deny", [READ, READ], [True, True]),
        ("permit_on_first_permit", [WRITE, READ, READ], [False, True]),
        ("permit_on_first_permit", [WRITE, WRITE], [False, False]),
        ("execute_all", [READ, BROKEN, 7, None, READ], [True, False, False, False, True]),
        ("deny_on_first_deny", [BROKEN, READ], [False]),
    ],
)
def test_many_are_answered_in_their_order(semantic: str, items: list[Any], decisions: list[bool], bearer: str) -> None:
    told = asked(batch(*items, semantic=semantic), bearer=bearer, to=EVALUATIONS)
    assert [one["decision"] for one in told["evaluations"]] == decisions
    assert "decision" not in told


def test_what_is_wrong_with_one_of_many_is_told_in_its_place(bearer: str) -> None:
    told = asked(batch(READ, BROKEN), bearer=bearer, to=EVALUATIONS)["evaluations"][1]
    assert told["context"]["reason"] == "malformed"
    assert "action.name" in told["context"]["reason_admin"]["en"]


def test_a_member_of_an_item_stands_whole_for_the_default(bearer: str) -> None:
    defaults: dict[str, Any] = {"resource": {"type": "record", "id": "record-2", "properties": {"status": "archived"}}}
    items = [WRITE, WRITE | {"resource": {"type": "record", "id": "record-1"}}, WRITE | {"resource": {"id": "record-1"}}]
    told = asked(batch(*items, **defaults), bearer=bearer, to=EVALUATIONS)["evaluations"]
    assert [one["decision"] for one in told] == [True, False, False]
    assert told[2]["context"]["reason"] == "malformed", "the type of the default is not merged into it"


@pytest.mark.parametrize("items", [{}, {"evaluations": []}])
def test_no_batch_is_one_question(items: dict[str, Any], bearer: str) -> None:
    assert asked(question() | items, bearer=bearer, to=EVALUATIONS)["decision"] is True


@pytest.mark.parametrize(
    "body",
    [
        batch(READ) | {"evaluations": {}},
        batch(READ) | {"options": "all"},
        batch(READ, semantic="whatever"),
        batch(READ) | {"options": {"evaluations_semantic": ["execute_all"]}},
        batch(READ) | {"subject": "bob"},
        batch(READ) | {"context": None},
        batch(*([READ] * 101)),
    ],
)
def test_a_batch_that_is_wrong_as_a_whole_is_refused_whole(body: Any, bearer: str) -> None:
    assert posted(body, bearer=bearer, to=EVALUATIONS).status_code == 400
    assert not GuardCall.objects.exists()


# -- looking first -------------------------------------------------------------------------------------------------------------------------


def test_whoever_looks_first_finds_where_to_ask() -> None:
    answer = Client().get("/.well-known/authzen-configuration")
    told = json.loads(answer.content)
    assert answer.status_code == 200
    assert told["access_evaluation_endpoint"] == f"{told['policy_decision_point']}/access/v1/evaluation"
    assert told["access_request_endpoint"].endswith("/access/v1/requests")
    assert "urn:openid:authzen:capability:access-request" in told["capabilities"]
    assert "session_termination" in told["supported_obligations"]
    assert Client().post("/.well-known/authzen-configuration").status_code == 405


def test_the_description_of_the_api_says_how_to_ask() -> None:
    told = json.loads(Client().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).content)
    asks = told["paths"]["/access/v1/evaluation"]["post"]
    assert asks["requestBody"]["content"]["application/json"]["schema"]["required"] == ["subject", "action", "resource"]
    assert {"200", "400", "401", "403", "503"} <= set(asks["responses"])
    assert "/.well-known/authzen-configuration" in told["paths"]
