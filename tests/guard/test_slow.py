"""The whole story of a question: what is let pass, what is denied and why, and what follows from either."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit import clock
from audit.models import AuditEntry
from containment.gate import Gate
from containment.models import Case, Detection, Identity, IdentityAlias, Resource, Session, SessionUse
from core.refusals import Refusal
from guard import asked, slow, verdicts
from guard.answers import Reason
from guard.models import GuardCall
from sources import authzen
from tests import cast, make
from tests.access import door
from tests.guard import stage
from tests.guard.stage import asks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def house() -> None:
    make.house()


def writes_used(session: Session) -> int:
    use = SessionUse.objects.filter(session=session).first()
    return int(use.windows.get("hour", {}).get("writes", 0)) if use else 0


# -- let pass ------------------------------------------------------------------------------------------------------------------------------


def test_a_call_that_was_approved_is_let_pass_counted_and_kept_as_one_row() -> None:
    _, session = stage.agent()
    answer = asks("payments.book", arguments={"invoice": "n-1"})
    assert (answer.verdict, answer.reason) == ("allow", Reason.ALLOWED)
    row = GuardCall.objects.get(pk=answer.id)
    assert (row.session, row.tool, row.writes, row.verdict, row.batch) == (session.pk, "payments.book", True, "allow", None)
    assert writes_used(session) == 1
    assert not Detection.objects.exists()
    assert not AuditEntry.objects.filter(verb__startswith="guard.").exists(), "an allow enters the trail in a batch"


def test_an_allow_is_good_for_seconds_and_rests_on_this_moment() -> None:
    stage.agent()
    answer = asks()
    assert answer.expires_at - answer.asked_at == timedelta(seconds=10)
    assert answer.view_age_ms == 0
    assert answer.policy_version == 1


# -- who was stopped -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "tool", "reason"),
    [
        ("paused", "ledger.read", Reason.PAUSED),
        ("ended", "ledger.read", Reason.ENDED),
        ("restricted", "payments.book", Reason.RESTRICTED),
        ("restricted", "ledger.read", None),
    ],
)
def test_what_a_session_may_depends_on_its_gate(state: str, tool: str, reason: Reason | None) -> None:
    identity, session = stage.agent()
    Gate().set(str(identity.pk), session.external_id, state=state, because="a drill", key="k", allows=["read"])
    answer = asks(tool)
    assert answer.decision is (reason is None)
    assert reason is None or answer.reason is reason


@pytest.mark.parametrize("action", ["tools/call", "read"])
def test_a_restricted_session_is_not_opened_by_a_claim(action: str) -> None:
    identity, session = stage.agent(approved={"tools": [*stage.TOOLS, "notes.list"]})
    Gate().set(str(identity.pk), session.external_id, state="restricted", because="a drill", key="k", allows=["read"])
    assert asks("notes.list", action=action, writes=False).reason is Reason.RESTRICTED
    assert asks("ledger.read", action=action).decision


def test_a_session_past_its_time_is_told_so() -> None:
    _, session = stage.agent()
    Session.objects.filter(pk=session.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    assert asks().reason is Reason.EXPIRED


@pytest.mark.parametrize("name", ["", "another-name"])
def test_a_paused_session_is_not_left_by_not_naming_it(name: str) -> None:
    identity, session = stage.agent()
    Gate().set(str(identity.pk), session.external_id, state="paused", because="a drill", key="k")
    assert asks(session=name).reason is Reason.PAUSED


def test_a_session_is_named_by_its_id_as_well_and_another_identitys_is_no_session_of_its_own() -> None:
    _, session = stage.agent()
    _, other = stage.agent("helper", "run-2")
    assert GuardCall.objects.get(pk=asks(session=str(session.pk)).id).session == session.pk
    stranger = asks("payments.book", session=str(other.pk))
    assert (stranger.verdict, stranger.reason) == ("deny", Reason.UNKNOWN_SESSION)


def test_a_session_stands_no_better_than_the_one_that_it_works_for() -> None:
    _, parent = stage.agent("lead", "run-0")
    _, session = stage.agent()
    Session.objects.filter(pk=session.pk).update(parent=parent)
    Session.objects.filter(pk=parent.pk).update(gate="paused", gate_because="a drill")
    assert asks().reason is Reason.PAUSED


def test_an_alias_is_no_way_around_a_pause() -> None:
    identity, session = stage.agent()
    IdentityAlias.objects.create(provider="holdfast", subject="clerk-two", identity=identity)
    Gate().set(str(identity.pk), session.external_id, state="paused", because="a drill", key="k")
    assert asks(who="clerk-two").reason is Reason.PAUSED
    assert Identity.objects.filter(subject="clerk-two").count() == 0


# -- outside intent ------------------------------------------------------------------------------------------------------------------------


def test_a_write_outside_its_intent_is_denied_and_pauses_the_session_at_once() -> None:
    _, session = stage.agent()
    answer = asks("files.delete")
    session.refresh_from_db()
    assert (answer.verdict, answer.reason) == ("deny", Reason.OUTSIDE)
    assert answer.detection is not None
    assert asks().decision is False, "it is stopped, by a run or by its gate"
    assert Case.objects.filter(identity=session.identity).exists()


def test_one_read_outside_its_intent_is_denied_and_the_second_pauses() -> None:
    _, session = stage.agent(approved={"resources": ["books/*"], "tools": [{"name": "files.read", "writes": False}]})
    first = asks("files.read", arguments={"path": "wages/all"})
    session.refresh_from_db()
    assert (first.reason, session.gate) == (Reason.OUTSIDE, "active")
    assert asks("files.read", arguments={"path": "books/1"}).decision
    second = asks("files.read", arguments={"path": "wages/../wages/all"})
    session.refresh_from_db()
    assert second.reason is Reason.OUTSIDE
    assert session.gate == "paused" or second.run is not None
    assert not asks("files.read", arguments={"path": "books/1"}).decision


def test_a_call_outside_its_intent_takes_nothing_from_the_budget() -> None:
    _, session = stage.agent(approved={"bounds": {"payments.book": {"amount": {"max": 100}}}})
    assert asks("payments.book", arguments={"amount": 5000}).reason is Reason.OUTSIDE
    assert writes_used(session) == 0


def test_a_session_with_approved_tools_calls_one_whatever_it_does() -> None:
    stage.agent()
    question = stage.body()
    question["action"], question["resource"] = {"name": "write"}, {"type": "record", "id": "r-1"}
    answer = slow.answer(authzen.read(question), stage.gateway())
    assert answer.reason is Reason.OUTSIDE


# -- nobody knows it -----------------------------------------------------------------------------------------------------------------------


def test_an_unknown_agents_write_is_denied_and_it_stands_in_the_inventory_as_found() -> None:
    answer = asks("payments.book", who="who-is-this", session="s-9")
    assert (answer.verdict, answer.reason) == ("deny", Reason.UNKNOWN_SESSION)
    found = Identity.objects.get(subject="who-is-this")
    assert found.discovered_at is not None
    assert (found.kind, found.environment) == ("ai_agent", "prod")


def test_an_unknown_identity_does_not_choose_its_environment() -> None:
    asks(who="who-is-this", context={"environment": "sandbox", "tenant": "acme"})
    found = Identity.objects.get(subject="who-is-this")
    assert (found.environment, found.tenant) == ("prod", "")


def test_a_known_agent_without_a_session_does_not_write() -> None:
    make.identity("loner", provider="holdfast", kind="ai_agent")
    assert asks("payments.book", who="loner", session="").reason is Reason.UNKNOWN_SESSION


def test_a_session_that_nobody_registered_is_no_second_way_to_write() -> None:
    stage.agent()
    assert asks("payments.book", session="made-up").reason is Reason.UNKNOWN_SESSION


@pytest.mark.parametrize("name", ["bogus", ""])
@pytest.mark.parametrize(
    ("action", "tool"), [("tools/call", "ledger.read"), ("read", "exfiltrate"), ("data.read", "files.delete"), ("can_read", "vault.open")]
)
def test_a_tool_call_that_names_none_of_its_sessions_is_compared_with_nothing_and_denied(name: str, action: str, tool: str) -> None:
    _, session = stage.agent()
    make.session(session.identity, "run-2", workflow="clerk-work")
    answer = asks(tool, session=name, action=action, writes=False)
    assert (answer.verdict, answer.reason) == ("deny", Reason.UNKNOWN_SESSION), answer.because


def test_what_is_a_tool_call_in_its_sessions_is_one_beside_them_too() -> None:
    stage.agent()
    question = stage.body(session="bogus", action="read", writes=False)
    question["resource"] = {"type": "record", "id": "r-1"}
    assert slow.answer(authzen.read(question), stage.gateway()).reason is Reason.UNKNOWN_SESSION


def test_a_rule_lets_a_call_pass_that_names_no_session_of_its_own() -> None:
    door.under("\nscope:\n  rules:\n    - {who: {id: clerk}, may: 'tool:ledger.*'}\n")
    stage.agent()
    assert asks(session="bogus").reason is Reason.BY_RULE
    assert asks("payments.book", session="bogus").reason is Reason.UNKNOWN_SESSION


def test_what_a_caller_says_makes_no_read_of_a_call_that_nobody_approved() -> None:
    make.identity("loner", provider="holdfast", kind="ai_agent")
    for action in ("tools/call", "read"):
        assert asks("payments.book", who="loner", session="", action=action, writes=False).reason is Reason.UNKNOWN_SESSION, action


def test_a_scope_rule_lets_an_unknown_one_write() -> None:
    door.under("\nscope:\n  rules:\n    - {who: {id: who-is-this}, may: 'tool:payments.*'}\n")
    answer = asks("payments.book", who="who-is-this", session="")
    assert (answer.verdict, answer.reason) == ("allow", Reason.BY_RULE)


# -- rules ---------------------------------------------------------------------------------------------------------------------------------

ROLES = """
scope:
  rules:
    - {name: clerks may not open, who: {properties: {role: intern}}, may_not: "tool:vault.*"}
    - {name: bosses may, who: {properties: {role: boss}}, may: "tool:payments.*"}
    - {name: nobody exports, may_not: data.export}
    - {name: ask first, may_if_approved: "tool:mail.*", because: mail leaves the house}
"""


def test_a_role_that_is_claimed_may_make_a_rule_deny_and_never_makes_one_allow() -> None:
    door.under(ROLES)
    question = stage.body("payments.book", who="who-is-this", session="")
    question["subject"]["properties"] = {"role": "boss"}
    assert slow.answer(authzen.read(question), stage.gateway()).reason is Reason.UNKNOWN_SESSION
    stage.agent()
    question = stage.body("vault.open")
    question["subject"]["properties"] = {"role": "intern"}
    answer = slow.answer(authzen.read(question), stage.gateway())
    assert (answer.verdict, answer.reason) == ("deny", Reason.BY_POLICY)
    assert "clerks may not open" in answer.because
    assert not Detection.objects.exists(), "a plain no of the policy is no detection"


def test_a_rule_in_our_words_denies_what_comes_in_the_callers() -> None:
    door.under("\nscope:\n  rules:\n    - {name: agents do not delete, who: {kind: ai_agent}, may_not: data.delete}\n    - {may: '*'}\n")
    make.identity("loner", provider="holdfast", kind="ai_agent")
    for said in ("agent", "user", "something"):
        question = {
            "subject": {"type": said, "id": "loner"},
            "action": {"name": "DELETE"},
            "resource": {"type": "record", "id": "r-1"},
        }
        assert slow.answer(authzen.read(question), stage.gateway()).reason is Reason.BY_POLICY, said


def test_a_rule_that_wants_people_holds_the_call_and_says_where_to_ask() -> None:
    door.under(ROLES)
    stage.agent()
    answer = asks("mail.send")
    assert (answer.verdict, answer.decision, answer.reason, answer.next_action) == ("hold", False, Reason.HELD, "request")
    assert answer.access_request["expires_at"]
    assert AuditEntry.objects.filter(verb="guard.held").count() == 1


def test_an_approval_that_nobody_gave_is_no_approval() -> None:
    door.under(ROLES)
    stage.agent()
    answer = asks("mail.send", context={"approval": {"id": "made-up", "approved_until": "2099-01-01T00:00:00Z"}})
    assert (answer.verdict, answer.reason) == ("hold", Reason.APPROVAL_UNVERIFIABLE)


def test_an_approval_of_every_such_call_is_for_what_was_approved_as_reading() -> None:
    door.under("\nscope:\n  rules:\n    - {may_if_approved: ['tool:notes.*', 'tool:ledger.*']}\n")
    stage.agent(approved={"tools": [*stage.TOOLS, "notes.list"]})
    claimed, approved = asks("notes.list", writes=False), asks("ledger.read")
    assert [GuardCall.objects.get(pk=one.id).writes for one in (claimed, approved)] == [True, False]


# -- judgement -----------------------------------------------------------------------------------------------------------------------------


def test_a_chain_is_found_because_what_was_let_pass_stays_on_the_trail() -> None:
    Resource.objects.create(kind="table", key="vault.rates", sensitivity="high")
    door.under("\nscope:\n  rules:\n    - {who: {id: clerk}, may: secret.read}\n")
    stage.agent()
    assert slow.answer(
        authzen.read(about(stage.body("vault.open", action="secret.read"), "table", "vault.rates")), stage.gateway()
    ).decision
    sends = about(stage.body("mail.send", action="message.send"), "address", "out@elsewhere.test")
    answer = slow.answer(authzen.read(sends), stage.gateway())
    stage.agent("helper", "run-2")
    alone = about(stage.body("mail.send", who="helper", session="run-2", action="message.send"), "address", "out@elsewhere.test")
    assert answer.risk > 2 * slow.answer(authzen.read(alone), stage.gateway()).risk


def about(question: dict[str, Any], kind: str, key: str) -> dict[str, Any]:
    """The same call, and what it is about."""
    question["action"]["properties"]["tool"] = question["resource"]["id"]
    question["resource"] = {"type": kind, "id": key}
    return question


@pytest.mark.parametrize("kind", ["prompt", "task"])
def test_a_prompt_that_the_inventory_knows_is_judged_as_what_it_is(kind: str) -> None:
    identity = make.identity("reader", provider="holdfast", kind="ai_agent")
    make.session(identity, "run-9", registered_by=cast.person("enzo").principal)
    question = {
        "subject": {"type": "agent", "id": "reader"},
        "action": {"name": "prompts/get"},
        "resource": {"type": kind, "id": "payroll"},
        "context": {"session": "run-9"},
    }
    unknown = slow.answer(authzen.read(question), stage.gateway())
    assert (unknown.decision, Resource.objects.filter(kind=kind).exists()) == (True, False)
    Resource.objects.create(kind=kind, key="payroll", sensitivity="critical")
    assert slow.answer(authzen.read(question), stage.gateway()).risk > unknown.risk


def test_what_judgement_contains_is_denied_at_once_and_everything_after_it() -> None:
    stage.agent()
    question = about(stage.body("vault.other", action="secret.read"), "table", "vault.card_tokens")
    answer = slow.answer(authzen.read(question), stage.gateway())
    assert answer.decision is False
    assert answer.detection is not None
    after = asks()
    assert after.decision is False
    assert after.reason in (Reason.CONTAINED, Reason.PAUSED, Reason.ENDED)


# -- the same request ----------------------------------------------------------------------------------------------------------------------


def test_the_same_request_has_the_same_answer_and_is_counted_once() -> None:
    _, session = stage.agent()
    first = asks("payments.book", context={"request_id": "r-1"})
    second = asks("payments.book", context={"request_id": "r-1"})
    assert (first.id, first.decision) == (second.id, second.decision)
    assert writes_used(session) == 1
    assert GuardCall.objects.count() == 1


def test_a_request_id_is_for_one_question() -> None:
    stage.agent()
    asks("payments.book", context={"request_id": "r-1"})
    with pytest.raises(Refusal, match="another question"):
        asks("ledger.read", context={"request_id": "r-1"})


def test_what_was_let_pass_is_no_longer_once_its_session_is_paused() -> None:
    identity, session = stage.agent()
    first = asks("payments.book", context={"request_id": "r-1"})
    Gate().set(str(identity.pk), session.external_id, state="paused", because="a drill", key="k")
    second = asks("payments.book", context={"request_id": "r-1"})
    assert (first.decision, second.decision, second.reason) == (True, False, Reason.PAUSED)


def test_after_its_time_a_request_id_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage.agent()
    first = asks("payments.book", context={"request_id": "r-1"})
    monkeypatch.setattr(asked, "ASKED_AGAIN", timedelta(0))
    second = asks("ledger.read", context={"request_id": "r-1"})
    assert second.decision
    assert second.id != first.id
    assert GuardCall.objects.get(pk=first.id).request == f"  r-1#{first.id}"


def test_an_answer_given_again_is_good_no_longer_than_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    _, session = stage.agent()
    first = asks("payments.book", context={"request_id": "r-1"})
    assert asks("payments.book", context={"request_id": "r-1"}).expires_at == first.expires_at
    monkeypatch.setattr(verdicts, "LASTS", timedelta(0))
    over = asks("payments.book", context={"request_id": "r-2"})
    anew = asks("payments.book", context={"request_id": "r-2"})
    assert anew.id != over.id
    assert writes_used(session) == 3
    assert GuardCall.objects.get(pk=over.id).request == f"  r-2#{over.id}"


def test_a_name_that_is_set_free_takes_none_that_a_request_has(monkeypatch: pytest.MonkeyPatch) -> None:
    stage.agent()
    monkeypatch.setattr(verdicts, "LASTS", timedelta(0))
    first = asks(context={"request_id": "r-1"})
    assert asks(context={"request_id": f"r-1#{first.id}"}).decision
    assert asks(context={"request_id": "r-1"}).decision


def test_what_one_session_was_answered_is_no_answer_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    _, one = stage.agent()
    other = make.session(one.identity, "run-2", workflow="clerk-work", registered_by=one.registered_by)
    first = asks("payments.book", context={"request_id": "r-1"})
    second = asks("payments.book", session="run-2", context={"request_id": "r-1"})
    assert (first.id == second.id, writes_used(one), writes_used(other)) == (False, 1, 1)


@pytest.mark.parametrize("beside", [{"environment": "sandbox"}, {"tenant": "acme"}, {"approval": {"id": "apr_made-up"}}])
def test_the_same_id_with_something_else_beside_it_is_another_request(beside: dict[str, Any]) -> None:
    door.under(ROLES)
    stage.agent()
    plain = asks("mail.send", context={"request_id": "r-1"})
    with_it = asks("mail.send", context={"request_id": "r-1", **beside})
    assert plain.id != with_it.id
    assert asks("mail.send", context={"request_id": "r-1", **beside}).id == with_it.id
    assert asks("mail.send", context={"request_id": "r-1"}).id == plain.id
    assert (with_it.reason is Reason.APPROVAL_UNVERIFIABLE) is ("approval" in beside)


# -- on record -----------------------------------------------------------------------------------------------------------------------------


def test_each_no_is_one_entry_of_the_trail() -> None:
    identity, session = stage.agent()
    Gate().set(str(identity.pk), session.external_id, state="paused", because="a drill", key="k")
    answers = [asks() for _ in range(3)]
    entries = AuditEntry.objects.filter(verb="guard.denied")
    assert {entry.subject for entry in entries} == {f"guard_call:{answer.id}" for answer in answers}
    assert entries.count() == 3


def test_a_secret_in_a_question_is_nowhere_kept() -> None:
    stage.agent()
    secret = "ghp_" + "a1B2" * 9
    asks("files.delete", arguments={"path": secret, "token": secret}, who="clerk")
    question = stage.body("files.delete")
    question["resource"] = {"type": "repo", "id": f"repo?token={secret}"}
    slow.answer(authzen.read(question), stage.gateway())
    kept = [*GuardCall.objects.values_list("resource", "because", "told"), *AuditEntry.objects.values_list("body")]
    assert secret not in repr(kept)
