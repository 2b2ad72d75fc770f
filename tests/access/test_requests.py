"""The hold protocol through HTTP: a held call is asked about, people answer, and exactly that call goes through, once or for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import get_resolver

from accounts.models import Person
from accounts.roles import OF_PROGRAMS, Role, Scope
from approvals import holds, requests
from approvals.models import AccessRequest, Hold
from containment import flow
from containment.models import Credential, Identity, Session
from core.actor import SYSTEM
from guard import requestable
from playbooks.models import Run
from tests import cast, make, others
from tests.access import door
from tests.races import sessions

pytestmark = pytest.mark.django_db

REQUESTS = "/access/v1/requests"
URN = "urn:openid:authzen:access-request:error:"
ASKED_ABOUT = """
scope:
  rules:
    - {name: plans are asked about, may_if_approved: [can_read, can_share], on: {kind: document}}
    - {name: mail is asked about, may_if_approved: "tool:send_*"}
"""
PLAN = {
    "subject": {"type": "user", "id": "alice@example.com"},
    "action": {"name": "can_read"},
    "resource": {"type": "document", "id": "q4-plan"},
}
MAIL = {
    "subject": {"type": "agent", "id": "invoice-agent"},
    "action": {"name": "tools/call", "properties": {"arguments": {"to": "cfo@example.com", "password": "hunter22"}}},
    "resource": {"type": "tool", "id": "send_mail"},
}


@pytest.fixture
def bearer() -> str:
    """Of Enzo's token, who engineers. Ines and Omar answer holds, Mara manages."""
    make.house()
    door.under(ASKED_ABOUT)
    return door.token()


@pytest.fixture
def connected() -> Iterator[None]:
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate

    registry.configure(
        settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": "postgresql://nobody@127.0.0.1:1/nowhere"}}, gate=Gate()
    )
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())


def submission(denied: dict[str, Any], of: dict[str, Any] = PLAN, **more: Any) -> dict[str, Any]:
    """What a client sends to ask about the call `of`, which was answered with `denied`."""
    context = denied["context"]
    denial = {name: context[name] for name in ("evaluation_id", "evaluated_at", "reason")}
    denial |= {name: context["access_request"][name] for name in ("expires_at", "template")}
    return {**of, "denial": denial, **more}


def posted(body: Any, bearer: str, to: str = REQUESTS, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = door.posted(body, bearer=bearer, to=to, **headers)
    return answer.status_code, json.loads(answer.content)


def submitted(denied: dict[str, Any], bearer: str, of: dict[str, Any] = PLAN, **more: Any) -> dict[str, Any]:
    status, told = posted(submission(denied, of, **more), bearer)
    assert status in (201, 202), told
    task: dict[str, Any] = told["task"]
    return task


def polled(task: dict[str, Any], bearer: str, wait: int = 0) -> dict[str, Any]:
    answer = Client().get(_path(task) + (f"?wait={wait}" if wait else ""), headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = json.loads(answer.content)
    return told


def said(name: str, task: dict[str, Any], word: str = "approve") -> Any:
    """A person answers the hold of the task, through the API as from the page."""
    cast.person(name)
    hold = requests_of(task).hold
    client = Client()
    client.force_login(Person.objects.get(username=name))
    read = [one["id"] for one in client.get(f"/api/v1/holds/{hold.pk}").json()["waiting"]]
    body = {"word": word, "plan_digest": hold.plan_digest, "reason": "looked at it", "seen_requests": read}
    return client.post(f"/api/v1/holds/{hold.pk}/answer", json.dumps(body), content_type="application/json")


def requests_of(task: dict[str, Any]) -> AccessRequest:
    return AccessRequest.objects.select_related("hold").get(pk=UUID(task["id"].removeprefix("arq_")))


def shown(of: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {**of, "context": {**of.get("context", {}), "approval": result["result"]["approval"]}}


def _path(task: dict[str, Any]) -> str:
    return str(task["status_endpoint"]).removeprefix("http://testserver")


# -- the flow ------------------------------------------------------------------------------------------------------------------------------


def test_a_call_is_asked_about_allowed_and_made(bearer: str) -> None:
    denied = door.asked(PLAN, bearer=bearer)
    assert (denied["decision"], denied["context"]["reason"]) == (False, "approval_required")
    answer = door.posted(
        submission(denied, context={"business_justification": "customer renewal"}, requested_access={"emergency": True}),
        bearer=bearer,
        to=REQUESTS,
    )
    task = json.loads(answer.content)["task"]
    assert (answer.status_code, task["status"], answer["Location"]) == (202, "pending", task["status_endpoint"])
    assert task["id"].startswith("arq_")
    assert task["progress"]["total_steps"] == 2
    assert answer["Retry-After"] == "5"
    hold = requests_of(task).hold
    assert (hold.reason_class, hold.run_ref, hold.title) == ("access_request", "", "can_read on q4-plan")
    assert hold.plan["justification"] == "customer renewal"
    assert polled(task, bearer)["task"]["status"] == "pending"

    assert said("ines", task).status_code == 200
    done = polled(task, bearer)
    assert (done["task"]["status"], done["result"]["mode"]) == ("approved", "reevaluate")
    assert done["result"]["approval"]["id"].startswith("apr_")
    final = door.asked(shown(PLAN, done), bearer=bearer)
    assert (final["decision"], final["context"]["reason"]) == (True, "approved")
    assert final["context"]["approval"]["id"] == done["result"]["approval"]["id"]
    assert door.asked(shown(PLAN, done), bearer=bearer)["decision"]  # it only reads: as often as it likes, until then
    assert not door.asked(PLAN, bearer=bearer)["decision"]  # without the approval it is a no as before


def test_the_published_exchange(bearer: str) -> None:
    """Step by step as published, with our ids and moments in place of theirs."""
    steps = {step["step"]: step for step in json.loads(others.file("authzen/arap-manager-approval.json").read_text())}
    first = steps["evaluate_request"]["body"]
    denied = door.asked(first, bearer=bearer)
    expected = steps["requestable_denial"]["body"]["context"]
    assert (denied["decision"], denied["context"]["reason"]) == (False, expected["reason"])
    assert {"template", "expires_at"} <= denied["context"]["access_request"].keys() & expected["access_request"].keys()
    asking = steps["submit_request"]["body"]
    status, told = posted(submission(denied, first, context=asking["context"]), bearer, **{"Idempotency-Key": "exchange-1"})
    assert status == steps["task_handle"]["status"]
    assert set(steps["task_handle"]["body"]["task"]) <= set(told["task"])
    assert told["task"]["links"].keys() >= steps["task_handle"]["body"]["task"]["links"].keys()
    assert said("mara", told["task"]).status_code == 200
    done = polled(told["task"], bearer)
    assert done["task"]["status"] == steps["completed_task"]["body"]["task"]["status"]
    assert done["result"]["mode"] == steps["completed_task"]["body"]["result"]["mode"]
    assert done["result"]["approval"].keys() >= {"id", "approved_at", "approved_until"}
    again = steps["reevaluate_request"]["body"]
    final = door.asked({**again, "context": {**again["context"], "approval": done["result"]["approval"]}}, bearer=bearer)
    assert final["decision"] == steps["final_decision"]["body"]["decision"]
    assert final["context"]["approval"].keys() == steps["final_decision"]["body"]["context"]["approval"].keys()


@pytest.mark.django_db(transaction=True)
def test_a_poll_that_waits_is_answered_when_people_are(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    waiting = sessions.Session(lambda: polled(task, bearer, wait=50))
    assert said("ines", task).status_code == 200
    assert waiting.outcome()["task"]["status"] == "approved"


def test_a_refused_call_stays_refused_and_says_so(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    assert said("ines", task, "reject").status_code == 200
    told = polled(task, bearer)
    assert (told["task"]["status"], "result" in told) == ("denied", False)
    assert told["task"]["display"]["description"] == "People refused this call."
    assert "Ines" not in json.dumps(told)


def test_silence_expires_it(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    for _ in range(2):  # the team, then the managers
        make.deadline_passed(requests_of(task).hold)
        flow.lapse_hold(requests_of(task).hold_id)
    assert polled(task, bearer)["task"]["status"] == "expired"
    assert not Run.objects.exists()


def test_a_call_that_writes_is_allowed_once(bearer: str) -> None:
    task = submitted(door.asked(MAIL, bearer=bearer), bearer, MAIL)
    assert requests_of(task).uses_max == 1
    assert requests_of(task).hold.plan["call"]["arguments"] == {"to": "cfo@example.com", "password": "[redacted]"}
    said("ines", task)
    done = polled(task, bearer)
    assert door.asked(shown(MAIL, done), bearer=bearer)["decision"]
    second = door.asked(shown(MAIL, done), bearer=bearer)
    assert (second["decision"], second["context"]["reason"], second["context"]["next_action"]) == (False, "approval_expired", "request")
    assert "access_request" in second["context"]


@pytest.mark.django_db(transaction=True)
def test_one_use_under_many_calls_at_once(bearer: str) -> None:
    task = submitted(door.asked(MAIL, bearer=bearer), bearer, MAIL)
    said("ines", task)
    body = shown(MAIL, polled(task, bearer))
    calls = [sessions.Session(lambda: door.asked(body, bearer=bearer)["decision"]) for _ in range(6)]
    heard = [call.outcome() for call in calls]
    assert sorted(heard) == [False] * 5 + [True]
    assert AccessRequest.objects.get().uses == 1


# -- one answer for a case and for the call that waits -------------------------------------------------------------------------------------


def vault(bearer: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A payment service, business-critical, reads a secret that it has no business with: a run waits, and so may the call."""
    writer = make.identity("payments_writer")
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(writer, "payments-loop", workflow="payments", application="payments-loop", registered_by=cast.person("enzo").principal)
    make.designation(writer, "payments-loop")
    call = {
        "subject": {"type": "service", "id": "payments_writer", "properties": {"provider": "postgres"}},
        "action": {"name": "secret.read"},
        "resource": {"type": "table", "id": "vault.card_tokens"},
        "context": {"session": "payments-loop"},
    }
    return call, door.asked(call, bearer=bearer)


@pytest.mark.usefixtures("connected")
def test_leaving_the_run_alone_lets_the_call_through_once(bearer: str) -> None:
    call, denied = vault(bearer)
    assert (denied["context"]["verdict"], denied["context"]["reason"]) == ("hold", "approval_required")
    task = submitted(denied, bearer, call)
    assert str(requests_of(task).hold_id) == denied["context"]["hold"]
    assert said("omar", task, "reject").status_code == 200
    done = polled(task, bearer)
    assert done["task"]["status"] == "approved"
    assert requests_of(task).uses_max == 1
    assert Run.objects.get().state in ("undoing", "withdrawn", "undone")
    made = door.asked(shown(call, done), bearer=bearer)
    assert (made["decision"], made["context"]["reason"], requests_of(task).uses) == (True, "approved", 1), made


@pytest.mark.usefixtures("connected")
def test_an_approval_shown_while_the_interim_stage_is_put_back_is_good_in_a_moment(bearer: str) -> None:
    call, denied = vault(bearer)
    task = submitted(denied, bearer, call)
    said("omar", task, "reject")
    body = shown(call, polled(task, bearer))
    Run.objects.update(state="undoing")
    Session.objects.filter(external_id="payments-loop").update(gate="paused")
    early = door.asked(body, bearer=bearer)["context"]
    assert (early["verdict"], early["reason"], early["next_action"], early["retry_after"]) == ("deny", "grant_pending", "retry", 2)
    without = door.asked(call, bearer=bearer)["context"]
    assert without["reason"] == "session_paused"
    Session.objects.filter(external_id="payments-loop").update(gate="active")
    assert door.asked(body, bearer=bearer)["decision"]


@pytest.mark.usefixtures("connected")
def test_what_people_allowed_because_of_a_rule_is_held_again_because_of_behaviour(bearer: str) -> None:
    door.under("\nscope:\n  rules:\n    - {may_if_approved: secret.read}\n")
    call, denied = vault(bearer)
    assert "hold" not in denied["context"]
    task = submitted(denied, bearer, call)
    assert said("omar", task).status_code == 200
    Identity.objects.filter(subject="payments_writer").update(protected=True, protected_because="a drill")
    assert Credential.objects.filter(uses__identity__subject="payments_writer").update(planted=True) == 1
    made = door.asked(shown(call, polled(task, bearer)), bearer=bearer)
    assert (made["decision"], made["context"]["verdict"], requests_of(task).uses) == (False, "hold", 0), made
    assert made["context"]["hold"], "people are asked about the run that waits"


@pytest.mark.usefixtures("connected")
def test_leaving_the_run_alone_allows_no_call_that_came_after_the_page(bearer: str) -> None:
    call, denied = vault(bearer)
    first = submitted(denied, bearer, call)
    cast.person("omar")
    client = Client()
    client.force_login(Person.objects.get(username="omar"))
    page = client.get(f"/api/v1/holds/{denied['context']['hold']}").json()
    other = {**call, "action": {"name": "secret.read", "properties": {"arguments": {"all": True}}}}
    second = submitted(door.asked(other, bearer=bearer), bearer, other)
    body = {"word": "reject", "plan_digest": page["plan_digest"], "reason": "fine", "seen_requests": [one["id"] for one in page["waiting"]]}
    assert client.post(f"/api/v1/holds/{page['id']}/answer", json.dumps(body), content_type="application/json").status_code == 200
    assert polled(first, bearer)["task"]["status"] == "approved"
    assert polled(second, bearer)["task"]["status"] == "failed"
    assert requests_of(second).closed_because == "Whoever answered had not read this call. Ask again."


@pytest.mark.usefixtures("connected")
def test_who_asks_after_people_have_answered_asks_the_guard_again(bearer: str) -> None:
    call, denied = vault(bearer)
    hold = Hold.objects.get(pk=denied["context"]["hold"])
    flow.answer_hold(hold.pk, "reject", actor=cast.person("omar"), seen_digest=hold.plan_digest, reason="it is fine")
    status, told = posted(submission(denied, call), bearer)
    assert (status, told["type"]) == (410, URN + "expired_denial")
    assert not AccessRequest.objects.exists()


@pytest.mark.usefixtures("connected")
def test_containing_denies_the_call_that_waits(bearer: str) -> None:
    call, denied = vault(bearer)
    task = submitted(denied, bearer, call)
    assert said("omar", task).status_code == 200
    assert polled(task, bearer)["task"]["status"] == "denied"
    assert Run.objects.get().state == "pending"


@pytest.mark.usefixtures("connected")
def test_wanting_the_call_no_longer_leaves_the_hold_of_the_case_open(bearer: str) -> None:
    call, denied = vault(bearer)
    task = submitted(denied, bearer, call)
    status, told = posted({"reason": "not needed"}, bearer, _path(task) + "/cancel")
    assert (status, told["task"]["status"]) == (200, "cancelled")
    assert requests_of(task).hold.state == "open"


# -- who may ------------------------------------------------------------------------------------------------------------------------------


def test_who_asks_who_owns_and_who_would_do_it_cannot_allow_it(bearer: str) -> None:
    """Mia owns the agent, Omar's token asks, and Ines is the identity itself in the inventory."""
    agent = make.identity("invoice-agent", provider="holdfast", kind="ai_agent", owner_id=UUID(cast.person("mia").principal))
    Person.objects.filter(username="ines").update(identity_ref=str(agent.ref))
    asking = door.token(owner="omar")
    task = submitted(door.asked(MAIL, bearer=asking), asking, MAIL)
    refused = {name: said(name, task) for name in ("mia", "omar", "ines")}
    assert {name: answer.status_code for name, answer in refused.items()} == {"mia": 403, "omar": 403, "ines": 403}
    told = {name: json.loads(answer.content)["detail"] for name, answer in refused.items()}
    assert "owner of who would do it" in told["mia"]
    assert "owner of the token" in told["omar"]
    assert said("mara", task).status_code == 200
    assert polled(task, asking)["task"]["status"] == "approved"


@pytest.mark.parametrize("role", [*Role])
def test_only_analysts_and_managers_allow_a_call(role: Role, bearer: str) -> None:
    name = {"analyst": "ines", "manager": "mara", "engineer": "enzo", "auditor": "wren", "admin": "ada"}[role]
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    assert (said(name, task).status_code == 200) == (role in (Role.ANALYST, Role.MANAGER))


def test_no_token_answers_whatever_its_scopes(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    hold = requests_of(task).hold
    every = door.token(*Scope, source="edr-prod", owner="mara")
    status, _ = posted({"word": "approve", "plan_digest": hold.plan_digest}, every, f"/api/v1/holds/{hold.pk}/answer")
    assert (status, "hold.answer" in OF_PROGRAMS) == (403, False)
    assert Hold.objects.get(pk=hold.pk).state == "open"


def test_another_ones_task_does_not_exist(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    other = door.token(owner="mia")
    answer = Client().get(_path(task), headers={"Authorization": f"Bearer {other}"})
    assert (answer.status_code, json.loads(answer.content)["type"]) == (404, f"{URN}unknown_task")
    assert answer["Content-Type"] == "application/problem+json"
    status, told = posted({}, other, _path(task) + "/cancel")
    assert (status, told["type"]) == (404, f"{URN}unknown_task")
    assert Client().get(f"{REQUESTS}/arq_{'0' * 32}", headers={"Authorization": f"Bearer {bearer}"}).status_code == 404


def test_a_token_that_may_not_ask_the_guard_asks_nobody(bearer: str) -> None:
    reading = door.token(Scope.READ)
    assert posted(PLAN, reading)[0] == 403
    assert Client().get(f"{REQUESTS}/arq_x", headers={"Authorization": f"Bearer {reading}"}).status_code == 403
    assert Client().get(f"{REQUESTS}/arq_x").status_code == 401
    assert Client().post(REQUESTS, "{}", content_type="application/json").status_code == 401


# -- what an approval covers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"resource": {"type": "document", "id": "q3-plan"}},
        {"resource": {"type": "document", "id": "q4-plan", "properties": {"part": "salaries"}}},
        {"action": {"name": "can_share"}},
        {"action": {"name": "can_read", "properties": {"arguments": {"pages": "all"}}}},
        {"subject": {"type": "user", "id": "bob@example.com"}},
        {"context": {"tenant": "globex"}},
        {"context": {"environment": "staging"}},
    ],
)
def test_an_approval_covers_exactly_what_people_read(change: dict[str, Any], bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    said("ines", task)
    other = door.asked(shown({**PLAN, **change}, polled(task, bearer)), bearer=bearer)
    assert (other["decision"], other["context"]["reason"], other["context"]["next_action"]) == (False, "out_of_scope", "request")
    assert requests_of(task).uses == 0


def test_an_approval_of_another_asker_or_with_another_end_is_worth_nothing(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    said("ines", task)
    done = polled(task, bearer)
    stolen = door.asked(shown(PLAN, done), bearer=door.token(owner="mia"))
    done["result"]["approval"]["approved_until"] = "2030-01-01T00:00:00Z"
    stretched = door.asked(shown(PLAN, done), bearer=bearer)
    invented = door.asked({**PLAN, "context": {"approval": {"id": "apr_" + "0" * 32}}}, bearer=bearer)
    found = [(one["decision"], one["context"]["reason"]) for one in (stolen, stretched, invented)]
    assert found == [(False, "approval_unverifiable")] * 3


def test_a_task_that_waits_is_no_approval_yet(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    early = door.asked({**PLAN, "context": {"approval": {"id": task["id"]}}}, bearer=bearer)["context"]
    assert (early["reason"], early["next_action"], early["retry_after"]) == ("grant_pending", "retry", 5)


def test_a_revoked_approval_is_over(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    said("ines", task)
    requests.revoke(requests_of(task).pk, "sent by mistake", actor=cast.person("ines"))
    after = door.asked(shown(PLAN, polled(task, bearer)), bearer=bearer)
    assert (after["decision"], after["context"]["reason"]) == (False, "approval_expired")


def test_what_the_policy_forbids_by_now_no_approval_allows(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    said("ines", task)
    door.under("\nscope: {rules: [{name: shut, may_not: '*'}]}\n")
    after = door.asked(shown(PLAN, polled(task, bearer)), bearer=bearer)["context"]
    assert (after["verdict"], after["reason"], after["next_action"]) == ("deny", "policy_denied", "none")
    assert requests_of(task).uses == 0


def test_what_is_asked_for_ends_after_eight_hours_at_most(bearer: str) -> None:
    wanted = {"requested_access": {"requested_until": "2030-01-01T00:00:00Z"}}
    task = submitted(door.asked(PLAN, bearer=bearer), bearer, **wanted)
    said("ines", task)
    ended = requests_of(task)
    assert ended.closed_at is not None
    assert ended.approved_until is not None
    assert (ended.approved_until - ended.closed_at).total_seconds() == 8 * 3600
    assert requests_of(task).hold.plan["until"] < "2030"


# -- asking again, and what is refused -----------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_is_the_same_task_and_another_body_a_conflict(bearer: str) -> None:
    asking = submission(door.asked(PLAN, bearer=bearer))
    key = {"Idempotency-Key": "k-1"}
    first, second = (posted(asking, bearer, **key) for _ in range(2))
    assert first[1]["task"]["id"] == second[1]["task"]["id"]
    status, told = posted({**asking, "client": {"name": "other"}}, bearer, **key)
    assert (status, told["type"], told["task"]) == (409, f"{URN}duplicate_request", first[1]["task"]["id"])
    assert Hold.objects.count() == 1


def test_a_client_that_forgot_its_task_finds_it_by_asking_again(bearer: str) -> None:
    first = submitted(door.asked(PLAN, bearer=bearer), bearer)
    again = submitted(door.asked(PLAN, bearer=bearer), bearer)
    assert (again["id"], Hold.objects.count()) == (first["id"], 1)


@pytest.mark.django_db(transaction=True)
def test_the_same_key_twice_in_the_same_instant_is_one_task(bearer: str) -> None:
    asking = submission(door.asked(PLAN, bearer=bearer))
    key = {"Idempotency-Key": "k-2"}
    heard = [one.outcome() for one in [sessions.Session(lambda: posted(asking, bearer, **key)[1]["task"]["id"]) for _ in range(4)]]
    assert (len(heard), len(set(heard)), Hold.objects.count(), AccessRequest.objects.count()) == (4, 1, 1, 1)


def test_cancelling_withdraws_what_was_asked_about_this_call_alone(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    status, told = posted({"reason": "not needed", "comment": "found it elsewhere"}, bearer, _path(task) + "/cancel")
    assert (status, told["task"]["status"], requests_of(task).hold.state) == (200, "cancelled", "withdrawn")
    status, told = posted({}, bearer, _path(task) + "/cancel")
    assert (status, told["type"]) == (409, f"{URN}invalid_task_state")
    assert said("ines", task).status_code == 409


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"denial": None}, 400, "invalid_denial_binding"),
        ({"denial": {"evaluation_id": "e-1", "expires_at": "2030-01-01T00:00:00Z"}}, 400, "invalid_denial_binding"),
        ({"resource": {"type": "document", "id": "q3-plan"}}, 400, "invalid_denial_binding"),
        ({"subject": {"type": "user", "id": "bob@example.com"}}, 400, "invalid_denial_binding"),
        ({"action": {"name": "can_share"}}, 400, "invalid_denial_binding"),
        ({"callback": {"endpoint": "http://169.254.169.254/"}}, 400, "not_requestable"),
        ({"callback": {"endpoint": "https://hooks.example.com/"}}, 400, "not_requestable"),
        ({"items": [{"action": {"name": "a"}}, {"action": {"name": "b"}}]}, 400, "not_requestable"),
        ({"requested_access": {"requested_until": "2020-01-01T00:00:00Z"}}, 400, "not_requestable"),
    ],
)
def test_what_cannot_be_asked_says_why(change: dict[str, Any], status: int, code: str, bearer: str) -> None:
    asking = {**submission(door.asked(PLAN, bearer=bearer)), **change}
    found, told = posted(asking, bearer)
    assert (found, told["type"], told["status"]) == (status, f"{URN}{code}", status)
    assert told["detail"].endswith(".")
    assert not Hold.objects.exists()


MISSHAPEN: list[dict[str, Any]] = [
    {"denial": {"evaluation_id": "e", "expires_at": 7}},
    {"denial": {"evaluation_id": "e"}},
    {"requested_access": []},
    {"requested_access": {"emergency": "yes"}},
    {"requested_access": {"requested_until": "tomorrow"}},
    {"context": {"business_justification": 7}},
    {"client": "me"},
    {"client": {"name": "x" * 5000}},
    {"items": []},
    {"items": {}},
    {"subject": None},
    {"action": {}},
]


def test_what_is_misshapen_is_a_400_with_its_path(bearer: str) -> None:
    asking = submission(door.asked(PLAN, bearer=bearer))
    for broken in MISSHAPEN:
        found, told = posted({**asking, **broken}, bearer)
        assert (found, told["code"]) == (400, "malformed"), broken
        assert told["errors"][0]["path"], broken


def test_what_is_no_object_is_a_400(bearer: str) -> None:
    for body in ("", "[]", '"x"', "{", "null"):
        for to in (REQUESTS, f"{REQUESTS}/arq_x/cancel"):
            assert door.posted(body, bearer=bearer, to=to).status_code == 400, (body, to)


def test_a_denial_that_was_not_requestable_is_said_to_be(bearer: str) -> None:
    door.under("\nscope: {rules: [{name: shut, may_not: '*'}]}\n")
    context = door.asked(PLAN, bearer=bearer)["context"]
    assert "access_request" not in context
    denial = {"evaluation_id": context["evaluation_id"], "expires_at": "2030-01-01T00:00:00Z"}
    status, told = posted({**PLAN, "denial": denial}, bearer)
    assert (status, told["type"]) == (400, f"{URN}not_requestable")


def test_an_old_denial_is_gone(bearer: str) -> None:
    asking = submission(door.asked(PLAN, bearer=bearer))
    asking["denial"]["expires_at"] = "2026-01-01T00:00:00Z"
    status, told = posted(asking, bearer)
    assert (status, told["type"]) == (410, f"{URN}expired_denial")


def test_one_asker_cannot_flood_the_queue(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requestable, "MOST_WAITING", 2)
    calls = [{**PLAN, "resource": {"type": "document", "id": f"plan-{number}"}} for number in range(3)]
    for call in calls[:2]:
        submitted(door.asked(call, bearer=bearer), bearer, call)
    answer = door.posted(submission(door.asked(calls[2], bearer=bearer), calls[2]), bearer=bearer, to=REQUESTS)
    assert (answer.status_code, answer["Retry-After"] != "") == (503, True)
    assert Hold.objects.count() == 2


def test_one_item_is_taken_for_the_call_that_it_is(bearer: str) -> None:
    asking = submission(door.asked(PLAN, bearer=bearer))
    item = {"resource": asking.pop("resource"), "action": asking.pop("action")}
    assert posted({**asking, "items": [item]}, bearer)[0] == 202


def test_a_wait_is_whole_seconds(bearer: str) -> None:
    for wait in ("-1", "soon", "1e3", "9999", "5.5"):
        assert Client().get(f"{REQUESTS}/arq_x?wait={wait}", headers={"Authorization": f"Bearer {bearer}"}).status_code == 400, wait


def test_an_emergency_is_shown_and_changes_nothing(bearer: str) -> None:
    task = submitted(door.asked(PLAN, bearer=bearer), bearer, requested_access={"emergency": True})
    assert requests_of(task).hold.plan["emergency"] is True
    assert (task["status"], polled(task, bearer)["task"]["status"]) == ("pending", "pending")


def test_a_hold_that_took_over_is_waited_for(bearer: str) -> None:
    """The denial named a hold that was replaced before anybody asked."""
    task = submitted(door.asked(PLAN, bearer=bearer), bearer)
    hold = requests_of(task).hold
    holds.withdraw(hold.pk, "nobody needs it", actor=SYSTEM)
    assert polled(task, bearer)["task"]["status"] == "failed"
    assert Identity.objects.filter(subject="alice@example.com").exists()


def test_every_route_of_the_protocol_says_what_it_needs() -> None:
    names = ("access-requests", "access-request", "access-request-cancel")
    found = {one.name: one.callback.needs for one in _patterns(get_resolver().url_patterns) if one.name in names}
    assert found == {
        "access-requests": {"POST": "guard.ask"},
        "access-request": {"GET": "guard.ask"},
        "access-request-cancel": {"POST": "guard.ask"},
    }


def _patterns(found: Any) -> Iterator[Any]:
    for one in found:
        if hasattr(one, "url_patterns"):
            yield from _patterns(one.url_patterns)
        else:
            yield one
