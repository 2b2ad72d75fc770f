"""Whom a token may ask about: its own agent, what its source may speak about, or what its owner's sessions do and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.models import AuditEntry
from containment import limits
from containment.models import Decision, Detection, Identity, Session, Source
from guard.models import GuardCall
from tests import cast, make
from tests.access import door
from tests.guard import stage

pytestmark = pytest.mark.django_db(transaction=True)

REPORTS = "/access/v1/reports"


@pytest.fixture
def clerk() -> Identity:
    """An agent in a session that Enzo's runtime registered."""
    make.house()
    return stage.agent()[0]


def refused(body: Any, **more: Any) -> tuple[int, str]:
    answer = door.posted(body, **more)
    return answer.status_code, json.loads(answer.content).get("code", "")


def unasked(**about: Any) -> dict[str, Any]:
    question = stage.body("payments.book", context={"request_id": "r-1"}, **about)
    return {"reports": [{"unasked": True, "request": question, "decision": True, "mode": "open"}]}


def told(body: Any, bearer: str) -> dict[str, Any]:
    answer = door.posted(body, to=REPORTS, bearer=bearer)
    found: dict[str, Any] = json.loads(answer.content)["results"][0]
    return found


# -- a token that is bound to one agent --------------------------------------------------------------------------------------------------


def test_a_bound_token_asks_about_its_own_agent_and_about_nobody_else(clerk: Identity) -> None:
    stage.agent("other", "run-9")
    bearer = door.token(speaks_for=str(clerk.ref))
    for _ in range(2):  # the whole story first, then the quick way
        assert door.asked(stage.body(), bearer=bearer)["decision"] is True
        assert refused(stage.body(who="other", session="run-9"), bearer=bearer) == (403, "not_its_identity")
    assert refused(stage.body(who="nobody"), bearer=bearer) == (403, "not_its_identity")
    assert not Identity.objects.filter(subject="nobody").exists()
    assert not GuardCall.objects.exclude(identity=clerk.pk).exists()


def test_the_quick_way_leaves_the_question_of_another_agents_token_to_the_whole_story(clerk: Identity) -> None:
    from core.refusals import Forbidden
    from guard import quick, slow
    from sources import authzen

    other, _ = stage.agent("other", "run-9")
    question = authzen.read(stage.body())
    own, foreign = stage.gateway(speaks_for=str(clerk.ref)), stage.gateway(speaks_for=str(other.ref))
    assert slow.answer(question, own).decision
    assert quick.quick(question, own) is not None
    assert quick.quick(question, foreign) is None
    with pytest.raises(Forbidden):
        slow.answer(question, foreign)


def test_in_a_batch_the_question_about_another_agent_is_false_in_its_place(clerk: Identity) -> None:
    stage.agent("other", "run-9")
    batch = {"evaluations": [stage.body(who="other", session="run-9"), stage.body()]}
    said = door.asked(batch, to=door.EVALUATIONS, bearer=door.token(speaks_for=str(clerk.ref)))["evaluations"]
    assert [(one["decision"], one["context"]["reason"]) for one in said] == [(False, "not_its_identity"), (True, "allowed")]


def test_a_bound_token_reports_on_its_own_agent_alone(clerk: Identity) -> None:
    other, _ = stage.agent("other", "run-9")
    asked = door.asked(stage.body(who="other", session="run-9"), bearer=door.token(speaks_for=str(other.ref)))
    bearer = door.token(speaks_for=str(clerk.ref))
    outcome = {"reports": [{"evaluation_id": asked["context"]["evaluation_id"], "outcome": "done"}]}
    changed = {"server": "mail", "tool": "mail.send", "before": f"sha256:{'a' * 64}", "after": f"sha256:{'b' * 64}"}
    subject = {"type": "agent", "id": "other"}
    assert told(outcome, bearer)["status"] in (403, 404)
    for said in (unasked(who="other", session="run-9"), {"reports": [{"tool_changed": {**changed, "subject": subject}}]}):
        assert (told(said, bearer)["status"], told(said, bearer)["code"]) == (403, "not_its_identity"), said
    assert not Detection.objects.exists()
    assert told(unasked(), bearer)["status"] == 201


def test_what_an_agents_own_token_tells_may_contain_it(clerk: Identity) -> None:
    bearer = door.token(speaks_for=str(clerk.ref))
    door.asked(stage.body(), bearer=bearer)
    told(unasked(), bearer)
    assert (Source.objects.get(name="guard-agents").ceiling, Source.objects.filter(name="guard").exists()) == ("contain", False)


# -- a token that speaks for nobody ------------------------------------------------------------------------------------------------------


def test_a_token_that_nobody_set_up_acts_in_no_session_of_somebody_elses(clerk: Identity) -> None:
    stranger, own = door.token(owner="omar"), door.token(owner="enzo")
    for _ in range(2):
        assert door.asked(stage.body(), bearer=own)["decision"] is True
        assert refused(stage.body(), bearer=stranger) == (403, "not_your_session")
    assert refused(stage.body("rm", session=""), bearer=stranger) == (403, "not_your_session"), "nor in the only one, unnamed"
    assert told(unasked(), stranger)["code"] == "not_your_session"
    assert Session.objects.get().gate == "active"
    assert not GuardCall.objects.exclude(principal=cast.person("enzo").principal).exists()


def test_a_gateway_that_an_engineer_set_up_asks_in_every_session_of_those_it_may_speak_about(clerk: Identity) -> None:
    Source.objects.create(name="mail-gateway", providers=["holdfast"], kinds=["ai_agent"])
    bearer = door.token(owner="omar", source="mail-gateway")
    for _ in range(2):
        assert door.asked(stage.body(), bearer=bearer)["decision"] is True
    Source.objects.filter(name="mail-gateway").update(kinds=["human"])
    assert refused(stage.body(), bearer=bearer) == (403, "out_of_source")


def test_no_token_takes_a_source_of_our_own(clerk: Identity) -> None:
    for name in ("guard", "guard-agents"):
        assert refused(stage.body(), bearer=door.token(owner="omar", source=name)) == (403, "not_your_session")
    assert not Source.objects.filter(name__startswith="guard", ceiling="contain").exists()


def test_what_such_a_token_says_contains_nobody_by_itself(clerk: Identity) -> None:
    """Of two calls that are alike, that of the agent's own token starts a run, and the other one asks people."""
    verdicts = []
    for name in ("one", "two"):
        agent, _ = stage.agent(name, f"{name}-1", reach="wide")
        bearer = door.token(speaks_for=str(agent.ref) if name == "one" else "")
        said = door.asked(stage.body("files.delete", who=name, session=f"{name}-1"), bearer=bearer)["context"]
        verdicts.append((said["reason"], Decision.objects.get(detection=said["detection"]).verdict))
    assert verdicts == [("outside_intent", "contain"), ("outside_intent", "hold")]


# -- a session for which nothing was approved --------------------------------------------------------------------------------------------


def test_an_agent_writes_in_no_session_for_which_nothing_was_approved(clerk: Identity) -> None:
    agent = make.identity("temp", provider="holdfast", kind="ai_agent", reach="narrow")
    make.session(agent, "temp-1", registered_by=cast.person("enzo").principal)
    bearer = door.token()
    read = stage.body(who="temp", session="temp-1", action="read")
    read["resource"] = {"type": "record", "id": "r-1"}
    assert [door.asked(read, bearer=bearer)["decision"] for _ in range(2)] == [True, True]
    for _ in range(2):
        said = door.asked(stage.body("payments.book", who="temp", session="temp-1"), bearer=bearer)
        assert (said["decision"], said["context"]["reason"]) == (False, "unknown_session")
        assert "Nothing was approved for the session temp-1" in said["context"]["reason_admin"]["en"]


# -- how much --------------------------------------------------------------------------------------------------------------------------


def test_calls_that_make_detections_count_against_the_rate_of_their_source(clerk: Identity) -> None:
    Source.objects.create(name="mail-gateway", rate_per_minute=2)
    bearer = door.token(source="mail-gateway")
    for number in range(4):
        stage.agent(f"agent-{number}", f"run-{number}")
        said = door.asked(stage.body("rm", who=f"agent-{number}", session=f"run-{number}"), bearer=bearer)
        assert (said["decision"], said["context"]["reason"]) == (False, "outside_intent"), "whatever becomes of the source"
    assert Source.objects.get(name="mail-gateway").state == "observing"


def test_invented_subjects_do_not_fill_the_inventory(clerk: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_DISCOVERED", 3)
    bearer = door.token("guard.ask", "sessions.write")
    for number in range(3):
        door.asked(stage.body(who=f"invented-{number}", session=""), bearer=bearer)
    for number in range(3, 6):
        answer = door.posted(stage.body(who=f"invented-{number}", session=""), bearer=bearer)
        assert (answer.status_code, json.loads(answer.content)["code"]) == (503, "too_many_discovered")
        assert answer["Retry-After"]
    assert door.posted(unasked(who="invented-6", session=""), to=REPORTS, bearer=bearer).status_code == 503
    beginning = {"identity": {"kind": "ai_agent", "provider": "holdfast", "subject": "invented-7"}, "id": "i-7"}
    assert door.posted(beginning, to="/api/v1/sessions", bearer=bearer).status_code == 503
    assert Identity.objects.filter(subject__startswith="invented-").count() == 3
    assert AuditEntry.objects.filter(verb="source.discovers_no_more").count() == 1, "it is told once"
    assert door.asked(stage.body(), bearer=bearer)["decision"] is True, "whoever is known goes on"
