"""A session that left its intent is paused by the answer that says so, and who opens it again; and what is only observed."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Person
from audit.models import AuditEntry
from containment import flow, gate
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.domain.policy_text import with_mode
from containment.models import Case, Decision, Detection, Identity, Session
from containment.refusals import NotThePerson
from core.refusals import BadInput
from guard import pausing, slow
from guard.answers import Answer, Reason
from guard.models import GuardCall
from playbooks import switching
from playbooks.models import Run
from playbooks.switch import Position
from sources import authzen
from tests import cast, make
from tests.access.door import put_in_force
from tests.access.policies import text
from tests.guard import stage
from tests.guard.stage import asks

pytestmark = pytest.mark.django_db

QUIET = {"tools": [{"name": "files.read", "writes": False}], "resources": ["books/*"]}


def leaves_its_intent(times: int = 2) -> Answer:
    """Reads that judgement only watches."""
    answers = [asks("files.read", arguments={"path": f"wages/{number}"}) for number in range(times)]
    return answers[-1]


@pytest.fixture
def session() -> Session:
    make.house()
    _, found = stage.agent(approved=QUIET)
    return found


def test_what_judgement_only_watches_is_paused_by_the_guard_and_is_a_case(session: Session) -> None:
    answer = leaves_its_intent()
    session.refresh_from_db()
    assert Decision.objects.get(detection=answer.detection).verdict == "watch"
    assert not Run.objects.exists()
    assert (session.gate, session.gate_key) == ("paused", f"{gate.BY_GUARD}{answer.id}")
    assert "wages/1" in session.gate_because
    case = Case.objects.get()
    assert (answer.case, case.identity_id, case.state) == (case.pk, session.identity_id, "open")
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert {"guard.denied", "session.gated", "case.opened"} <= verbs


@pytest.mark.parametrize("position", ["no_new", "nothing"])
def test_under_the_kill_switch_each_call_is_denied_and_no_session_is_paused(session: Session, position: Position) -> None:
    switching.turn(position, "", actor=cast.person("ines"))
    for _ in range(2):
        assert leaves_its_intent().decision is False
    session.refresh_from_db()
    assert session.gate == "active"
    assert asks("files.read", arguments={"path": "books/1"}).decision is True
    assert not Run.objects.exists()


def test_the_runtime_is_told_to_end_the_session_where_it_says_it_can(session: Session) -> None:
    leaves_its_intent(1)
    can = {"supported_obligations": ["session_termination"]}
    answer = asks("files.read", arguments={"path": "wages/1"}, context=can)
    told = answer.to_json()["context"]["obligations"]
    assert [(one["type"], one["properties"]["subject"]["id"]) for one in told] == [("session_termination", "clerk")]
    assert "obligations" not in asks("files.read").to_json()["context"], "it did not say that it can"
    assert "obligations" in asks("files.read", context=can).to_json()["context"], "it is paused by now"


def test_a_manager_who_is_not_its_own_opens_it_and_it_has_its_one_read_again(session: Session) -> None:
    leaves_its_intent()
    with pytest.raises(NotThePerson):
        pausing.reopen(session.pk, actor=cast.person("ines"), reason="an analyst asks")
    with pytest.raises(NotThePerson):
        pausing.reopen(session.pk, actor=stage.gateway(), reason="its own client asks")
    with pytest.raises(BadInput):
        pausing.reopen(session.pk, actor=cast.person("mara"), reason=" ")
    opened = pausing.reopen(session.pk, actor=cast.person("mara"), reason="the task was widened by its owner")
    assert opened.gate == "active"
    assert "widened by its owner" in AuditEntry.objects.get(verb="session.reopened").body
    assert asks("files.read", arguments={"path": "books/1"}).decision
    leaves_its_intent(1)
    session.refresh_from_db()
    assert session.gate == "active"


def test_who_answers_for_the_agent_does_not_open_its_session(session: Session) -> None:
    leaves_its_intent()
    Identity.objects.filter(pk=session.identity_id).update(owner_id=cast.person("mara").principal)
    with pytest.raises(NotThePerson, match="answer for this agent"):
        pausing.reopen(session.pk, actor=cast.person("mara"), reason="it is mine")
    assert pausing.reopen(session.pk, actor=cast.person("mia"), reason="I looked").gate == "active"


def test_what_a_run_paused_is_opened_by_undoing_that_run(session: Session) -> None:
    gate.Gate().set(str(session.identity_id), session.external_id, state="paused", because="a run", key="0190-key")
    with pytest.raises(pausing.NotOurs):
        pausing.reopen(session.pk, actor=cast.person("mara"), reason="please")


def test_children_of_a_paused_session_are_paused_and_opened_with_it(session: Session) -> None:
    helper = make.identity("helper", provider="holdfast", kind="ai_agent")
    child = make.session(helper, "sub-1", parent=session, registered_by=session.registered_by)
    leaves_its_intent()
    child.refresh_from_db()
    assert child.gate == "paused"
    assert asks(who="helper", session="sub-1").reason is Reason.PAUSED
    pausing.reopen(session.pk, actor=cast.person("mara"), reason="I looked")
    child.refresh_from_db()
    assert child.gate == "active"


# -- where judgement does more -------------------------------------------------------------------------------------------------------------


def test_where_judgement_contains_the_run_pauses_and_can_be_undone() -> None:
    make.house()
    identity, session = stage.agent(reach="wide")
    answer = asks("files.delete", actor=stage.gateway(speaks_for=str(identity.ref)))
    decision = Decision.objects.get(detection=answer.detection)
    assert (answer.reason, decision.verdict) == (Reason.OUTSIDE, "contain")
    session.refresh_from_db()
    assert (session.gate, answer.run) == ("active", decision.run_id), (
        "the run closes it, with proof; until then it is told no because of the run"
    )
    assert asks().reason is Reason.CONTAINED


def test_another_session_of_the_same_agent_goes_on_while_a_run_pauses_one() -> None:
    make.house()
    identity, first = stage.agent(reach="wide")
    make.session(identity, "run-2", workflow="clerk-work", registered_by=first.registered_by)
    asks("files.delete", actor=stage.gateway(speaks_for=str(identity.ref)))
    assert asks(session="run-1").reason is Reason.CONTAINED
    assert asks(session="run-2").decision
    assert asks(session="").reason is Reason.CONTAINED, "whoever names no session is in none that was spared"


def test_a_held_call_has_the_hold_of_its_case_and_leaving_it_running_opens_its_session() -> None:
    make.house()
    identity, session = stage.agent(reach="wide")
    Identity.objects.filter(pk=identity.pk).update(protected=True, protected_because="a drill")
    answer = asks("files.delete")
    decision = Decision.objects.get(detection=answer.detection)
    assert (answer.verdict, answer.reason, decision.verdict) == ("deny", Reason.OUTSIDE, "hold")
    session.refresh_from_db()
    assert session.gate == "paused"
    hold = make.hold_of(decision)
    for name in ("ines", "mara", "mia"):
        hold.refresh_from_db()
        if hold.state == "open":
            flow.answer_hold(hold.pk, "reject", actor=cast.person(name), seen_digest=hold.plan_digest, reason="a drill")
    hold.refresh_from_db()
    session.refresh_from_db()
    assert (hold.state, session.gate) == ("rejected", "active")


def test_a_hold_that_waits_is_told_with_its_handle_and_the_same_one_again() -> None:
    make.house()
    identity, _ = stage.agent(reach="wide", approved={"budgets": {}})
    Identity.objects.filter(pk=identity.pk).update(protected=True, protected_because="a drill")
    answers = [asks("vault.open", action="secret.read") for _ in range(2)]
    assert len({answer.hold for answer in answers}) == 1
    assert answers[0].hold is not None
    assert {(answer.verdict, answer.reason, answer.next_action) for answer in answers} == {("hold", Reason.HELD, "request")}
    assert answers[0].access_request["expires_at"]
    assert answers[0].run is not None
    assert asks("ledger.read").decision, "a call that nothing speaks against goes on while people decide"


# -- only observed -------------------------------------------------------------------------------------------------------------------------


def test_where_agents_are_only_observed_each_no_is_a_yes_that_says_so() -> None:
    make.house(Mode.OBSERVE)
    identity, session = stage.agent(reach="wide")
    answer = asks("files.delete")
    assert (answer.verdict, answer.would_have) == ("allow", "deny")
    assert Detection.objects.count() == 1
    session.refresh_from_db()
    assert session.gate == "active"
    assert not Run.objects.exists()
    unknown = asks("payments.book", who="who-is-this", session="s-9")
    assert (unknown.verdict, unknown.would_have) == ("allow", "deny")
    gate.Gate().set(str(identity.pk), session.external_id, state="paused", because="a drill", key="k")
    assert asks().reason is Reason.PAUSED, "who was stopped is stopped"
    assert set(GuardCall.objects.values_list("would_have", flat=True)) == {"", "deny"}


def test_an_agent_is_not_observed_because_it_says_it_is_a_person() -> None:
    make.house()
    put_in_force(with_mode(text(""), Kind.HUMAN, "prod", Mode.OBSERVE))
    question = stage.body("payments.book", who="who-is-this", session="")
    question["subject"]["type"] = "user"
    answer = slow.answer(authzen.read(question), stage.gateway())
    assert Identity.objects.get(subject="who-is-this").kind == "human"
    assert (answer.verdict, answer.reason) == ("deny", Reason.UNKNOWN_SESSION)
    make.identity("vera", provider="holdfast", kind="human", discovered_at=None)
    question["subject"]["id"] = "vera"
    assert slow.answer(authzen.read(question), stage.gateway()).decision


def test_a_manager_opens_it_through_the_api(session: Session, client: Client) -> None:
    leaves_its_intent()
    cast.person("ines"), cast.person("mara")
    where = f"/api/v1/sessions/{session.pk}/reopen"
    for name, status in (("ines", 403), ("mara", 200)):
        client.force_login(Person.objects.get(username=name))
        answer = client.post(where, {"reason": "I looked"}, content_type="application/json")
        assert answer.status_code == status, answer.content
    assert answer.json()["state"] == "active"
