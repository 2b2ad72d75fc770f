"""Static scope rules: the published authorization fixtures written as a policy, what fits and what does not, and what a fault says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containment.domain.facts import ActionFacts, CallFacts, ResourceFacts, Sensitivity
from containment.domain.policy import RiskPolicy, parse, shipped_text
from containment.domain.scope_rules import Answer, Comparison, Operand, Permit, Rule, Scope, Thing, permits
from containment.domain.signals import Standing, fired
from core.refusals import BadInput
from tests import others
from tests.access.policies import CERTIFICATION, TODOS
from tests.domain.facts_of import SHIPPED
from tests.domain.facts_of import sample as etl


def policy(section: str) -> RiskPolicy:
    return parse(shipped_text() + section)


def scope(*rules: str) -> Scope:
    return policy("\nscope:\n  rules:\n" + "".join(f"    - {rule}\n" for rule in rules)).scope


def asked(scope: Scope, request: dict) -> Permit:
    subject, action, resource = request["subject"], request["action"], request["resource"]
    return permits(
        scope,
        Thing(subject["id"], subject["type"], subject.get("properties", {})),
        Thing(action["name"], properties=action.get("properties", {})),
        Thing(resource["id"], resource["type"], resource.get("properties", {})),
        request.get("context", {}),
    )


def vectors(name: str) -> dict[str, Any]:
    """Messages and answers that the OpenID Foundation's AuthZEN group published."""
    found: dict[str, Any] = json.loads(others.file(f"authzen/{name}").read_text())
    return found


def test_the_todo_scenario_is_a_policy():
    cases = vectors("todo-decisions-authorization-api-1_0-02.json")["evaluation"]
    found = [asked(policy(TODOS).scope, case["request"]).allowed for case in cases]
    assert found == [case["expected"] for case in cases]
    assert {True, False} == set(found)


def test_the_todo_scenario_answers_many_at_once_alike():
    for case in vectors("todo-decisions-authorization-api-1_0-02.json")["evaluations"]:
        request = case["request"]
        found = [asked(policy(TODOS).scope, request | one).allowed for one in request["evaluations"]]
        assert found == [one["decision"] for one in case["expected"]]


def test_the_gateway_scenario_is_the_same_policy():
    cases = vectors("api-gateway-decisions.json")["evaluation"]
    found = [asked(policy(TODOS).scope, case["request"]).allowed for case in cases]
    assert found == [case["expected"] for case in cases]
    assert {True, False} == set(found)


def test_the_certification_fixture_is_a_policy():
    cases = [case for case in vectors("certification-basic.json")["cases"] if "decision" in case["expect"]]
    found = {case["id"]: asked(policy(CERTIFICATION).scope, case["request"]).allowed for case in cases}
    assert found == {case["id"]: case["expect"]["decision"] for case in cases}


@pytest.mark.parametrize(
    ("subject", "action", "resource", "allowed"),
    [
        ("alice", {"name": "read"}, "record-1", True),
        ("bob", {"name": "write"}, "record-1", False),
        ("bob", {"name": "write"}, "record-2", True),
        ("alice", {"name": "write"}, "record-2", False),
        ("alice", {"name": "delete", "properties": {"soft": True}}, "record-1", True),
        ("alice", {"name": "delete"}, "record-1", False),
        ("nobody", {"name": "read"}, "record-1", False),
    ],
)
def test_a_policy_answers_plain_questions_of_authorization(subject, action, resource, allowed):
    request = {"subject": {"type": "user", "id": subject}, "action": action, "resource": {"type": "record", "id": resource}}
    assert asked(policy(CERTIFICATION).scope, request).allowed is allowed


ALICE, RECORD = Thing("alice", "user", {"role": "clerk", "tenant": "acme"}), Thing("r-1", "record", {"owner": "alice", "size": 3})
READ = Thing("read")


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ("{may: read}", True),
        ("{may: 're*'}", True),
        ("{may: write}", False),
        ("{who: {kind: user}, may: read}", True),
        ("{who: {kind: [robot, user]}, may: read}", True),
        ("{who: {kind: robot}, may: read}", False),
        ("{who: {id: 'al*'}, may: read}", True),
        ("{who: {id: 'AL*'}, may: read}", False),
        ("{who: {properties: {role: clerk}}, may: read}", True),
        ("{who: {properties: {role: [boss, 'cl*']}}, may: read}", True),
        ("{who: {properties: {team: '*'}}, may: read}", False),
        ("{on: {properties: {size: 3}}, may: read}", True),
        ("{on: {properties: {size: true}}, may: read}", False),
        ("{on: {properties: {size: '3'}}, may: read}", False),
        ("{may: read, where: [resource.properties.owner == subject.id]}", True),
        ("{may: read, where: [resource.properties.owner != subject.id]}", False),
        ("{may: read, where: [resource.properties.size <= 3, resource.properties.size > 2.5]}", True),
        ("{may: read, where: ['resource.properties.owner < 4']}", False),
        ("{may: read, where: [resource.properties.nobody == subject.id]}", False),
        ("{may: read, where: [resource.properties.nobody != subject.id]}", False),
        ("{may: read, where: ['subject.properties.tenant == \"acme\"']}", True),
        ("{may: read, where: [context.ip in context.trusted]}", True),
        ("{may: read, where: [context.ip not in context.trusted]}", False),
        ("{may: read, where: [context.ip in resource.properties.owner]}", False),
        ("{may: read, with: {soft: true}}", False),
    ],
)
def test_a_rule_fits_where_all_that_it_names_does(rule, fits):
    context = {"ip": "10.0.0.1", "trusted": ["10.0.0.1"]}
    assert permits(scope(rule), ALICE, READ, RECORD, context).allowed is fits


def test_the_first_rule_that_fits_is_the_answer_and_says_so():
    both = scope("{name: clerks read, who: {properties: {role: clerk}}, may: read}", "{name: shut, may_not: '*', because: closed for good}")
    assert permits(both, ALICE, READ, RECORD) == Permit(Answer.ALLOWED, "clerks read", "Rule “clerks read”: alice may read on r-1.")
    assert permits(both, Thing("bob"), READ, RECORD) == Permit(Answer.DENIED, "shut", "Rule “shut”: closed for good.")
    assert permits(Scope(), ALICE, READ, RECORD).answer is Answer.SILENT


def test_a_rule_may_want_the_word_of_people_and_is_neither_a_yes_nor_a_no():
    scope = parse(
        shipped_text() + "\nscope: {rules: [{name: mail is asked about, may_if_approved: 'tool:send_*'}, {name: rest, may_not: '*'}]}\n"
    ).scope
    mail = permits(scope, Thing("bot"), Thing("tools/call", properties={"tool": "send_mail"}), Thing("inbox"))
    assert (mail.answer, mail.needs_approval, mail.allowed, mail.denied) == (Answer.NEEDS_APPROVAL, True, False, False)
    assert mail.because == "Rule “mail is asked about”: bot may, if people approve, tools/call on inbox."
    assert permits(scope, Thing("bot"), Thing("tools/call", properties={"tool": "read_mail"}), Thing("inbox")).denied


def test_what_the_policy_knows_stands_above_what_a_message_says():
    known = policy(CERTIFICATION).scope
    lying = Thing("record-2", "record", {"status": "active"})
    assert permits(known, Thing("alice", "user"), Thing("write"), lying).denied
    robot = Thing("bob", "robot")
    assert permits(known, robot, Thing("write"), Thing("record-2", "record")).rule == "nothing else"


@pytest.mark.parametrize(
    ("section", "path", "code"),
    [
        ("scope: {rules: [{who: {id: a}}]}", "scope.rules[0]", "may_or_may_not"),
        ("scope: {rules: [{may: a, may_not: b}]}", "scope.rules[0]", "may_or_may_not"),
        ("scope: {rules: [{may: a, who: {}}]}", "scope.rules[0].who", "empty"),
        ("scope: {rules: [{may: a, whom: {id: a}}]}", "scope.rules[0].whom", "unknown"),
        ("scope: {rules: [{may: a, where: [owner is me]}]}", "scope.rules[0].where[0]", "no_comparison"),
        ("scope: {rules: [{may: a, where: [owner == subject.id]}]}", "scope.rules[0].where[0]", "unknown_path"),
        ("scope: {rules: [{name: x, may: a}, {name: x, may: b}]}", "scope.rules[1]", "twice"),
        ("scope: {rules: [{may: a, on: {properties: {p: {q: 1}}}}]}", "scope.rules[0].on.properties.p", "wrong_type"),
        ("scope: {known: {subjects: [{id: a}]}, rules: []}", "scope.known.subjects[0].properties", "missing"),
        ("scope: {}", "scope.rules", "missing"),
        ("ramp: {approvers: 1}", "ramp.approvers", "not_a_number_between"),
        ("ramp: {backtest_weeks: 1}", "ramp.backtest_weeks", "unknown"),
    ],
)
def test_a_fault_of_a_rule_names_its_path_and_line(section, path, code):
    with pytest.raises(BadInput) as refused:
        policy(section)
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(path, code)]
    assert refused.value.faults[0].detail.startswith(f"line {len(shipped_text().splitlines()) + 1}:")


def test_a_policy_without_rules_keeps_its_digest_and_one_with_rules_has_another():
    assert replace(SHIPPED, scope=Scope()).digest == SHIPPED.digest
    assert policy(CERTIFICATION).digest not in (SHIPPED.digest, policy(TODOS).digest)
    assert policy(CERTIFICATION).digest == policy(CERTIFICATION).digest


# -- numbers -------------------------------------------------------------------------------------------------------------------------------

LARGE = "where: [action.properties.arguments.amount > 1000]"


def booked(rule: str, *amount: Any) -> Permit:
    """What is said of a booking of this amount; without one, of a booking that leaves it out."""
    call = {"tool": "payments.book", "arguments": {"amount": amount[0]} if amount else {}}
    return permits(scope(f"{{{rule}}}"), ALICE, Thing("tools/call", properties=call), RECORD, {})


@pytest.mark.parametrize("word", ["may_not", "may_if_approved"])
@pytest.mark.parametrize(
    "amount",
    [
        4800,
        "4800",
        "4800.00",
        " 4800 ",
        "4.8e3",
        "4_800",
        "４８００",
        "4,800",
        "4,800.00 EUR",
        "٤٨٠٠",
        "1e999",
        "nan",
        [4800],
        {},
        True,
        "much",
    ],
)
def test_no_spelling_of_a_number_gets_past_a_rule_that_stops_it(word, amount):
    assert booked(f"{word}: 'tool:payments.book', {LARGE}", amount).answer in (Answer.DENIED, Answer.NEEDS_APPROVAL)
    assert booked(f"may: 'tool:payments.book', {LARGE}", amount).allowed is (amount == 4800)


@pytest.mark.parametrize("word", ["may_not", "may_if_approved"])
def test_a_number_that_is_left_out_counts_against_who_leaves_it_out(word):
    assert booked(f"{word}: 'tool:payments.book', {LARGE}").answer in (Answer.DENIED, Answer.NEEDS_APPROVAL)
    assert booked(f"may: 'tool:payments.book', {LARGE}").answer is Answer.SILENT


@pytest.mark.parametrize("amount", [900, "900", " 9e2 ", "1,000.00", 999.99])
def test_a_small_number_is_small_however_it_is_spelled(amount):
    assert booked(f"may_not: 'tool:payments.book', {LARGE}", amount).answer is Answer.SILENT


def spelled(number: float) -> st.SearchStrategy[str]:
    """Texts that Python, and with it the libraries that read arguments for tools, take for this number."""
    plain = st.sampled_from([repr(number), f"{number:.20e}", f"{number:.6f}", f"{number:_.6f}", f"{number:,.6f}", f"+{number!r}"])
    wide = plain.map(lambda text: text.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}))
    around = st.text(" \t\n\u00a0\u2003", max_size=4)
    return st.tuples(around, st.integers(0, 60).map("0".__mul__) | st.just(""), plain | wide, around).map(
        lambda parts: f"{parts[0]}{parts[1] if not parts[2].startswith('+') else ''}{parts[2]}{parts[3]}"
    )


@given(st.floats(1000.01, 1e15).flatmap(spelled), st.sampled_from(["may_not", "may_if_approved"]))
def test_whatever_a_tool_reads_as_a_large_number_is_one(text, word):
    rule = Rule(name="large", may=False if word == "may_not" else None, actions=("*",), where=(ABOVE,))
    said = permits(Scope(rules=(rule,)), ALICE, Thing("tools/call", properties={"arguments": {"amount": text}}), RECORD, {})
    assert said.denied or said.needs_approval


ABOVE = Comparison(Operand(("action", "properties", "arguments", "amount")), ">", Operand(value=1000.0))


@given(st.text() | st.text("0123456789.,_eE+- infaINFA٤４"))
def test_no_text_that_python_reads_as_large_slips_through(text):
    try:
        stopped = float(text) > 1000
    except ValueError:
        stopped = False
    rule = Rule(name="large", may=False, actions=("*",), where=(ABOVE,))
    said = permits(Scope(rules=(rule,)), ALICE, Thing("tools/call", properties={"arguments": {"amount": text}}), RECORD, {})
    assert said.denied or not stopped


@pytest.mark.parametrize(
    ("comparison", "value", "against", "for_it"),
    [
        ("context.n == 5", "5", True, False),
        ("context.n == 5", "5.00", True, False),
        ("context.n == 5", "6", False, False),
        ("context.n == 5", "five", True, False),
        ("context.n == 5", [5], True, False),
        ("context.n != 5", "5", False, False),
        ("context.n != 5", "6", True, False),
        ("context.n != 5", "five", True, False),
        ("context.n != 5", 6, True, True),
        ("context.n != 5", True, True, False),
        ("context.n in context.few", "5", True, False),
        ("context.n not in context.few", "6", True, False),
        ("context.n not in context.few", 6, True, True),
        ("context.n <= 5", "4", True, False),
        ("context.n == 'five'", 5, True, False),
    ],
)
def test_equality_with_a_number_goes_by_the_number_and_never_for_who_spells_it_as_text(comparison, value, against, for_it):
    context = {"n": value, "few": [5, 7]}
    stopping, letting = scope(f'{{may_not: read, where: ["{comparison}"]}}'), scope(f'{{may: read, where: ["{comparison}"]}}')
    assert permits(stopping, ALICE, READ, RECORD, context).denied is against
    assert permits(letting, ALICE, READ, RECORD, context).allowed is for_it


def test_a_property_that_is_a_number_is_found_in_a_text_by_a_rule_that_stops_it():
    first = Thing("write", properties={"level": "1.0"})
    assert permits(scope("{may_not: write, with: {level: 1}}"), ALICE, first, RECORD).denied
    assert permits(scope("{may: write, with: {level: 1}}"), ALICE, first, RECORD).answer is Answer.SILENT


def test_a_detector_that_says_nothing_of_an_amount_proves_nothing():
    facts = replace(etl(), action=ActionFacts(name="tool.call"), call=CallFacts(tool="payments.book"))
    assert "role_confusion" not in codes(facts, scope(f"{{may_not: 'tool:payments.book', {LARGE}}}"))


# -- in the judgement ----------------------------------------------------------------------------------------------------------------------


def codes(facts, rules: Scope) -> dict[str, tuple[float, Standing]]:
    return {one.code: (one.strength, one.standing) for one in fired(facts, replace(SHIPPED, scope=rules)) if one.code != "source_claim"}


def test_an_allowed_secret_is_no_unexpected_one_and_the_claim_of_it_is_contradicted():
    assert codes(etl(), Scope())["unexpected_secret_read"] == (1.0, Standing.CONFIRMED)
    allowed = scope("{who: {kind: service_account, id: etl_reader}, may: secret.read, on: {id: 'vault.*'}}")
    assert codes(etl(), allowed)["unexpected_secret_read"] == (0.0, Standing.CONTRADICTED)


def test_a_session_that_nobody_vouches_for_is_excused_by_no_rule():
    stranger = replace(etl(), session="", sessions=tuple(replace(one, discovered=True) for one in etl().sessions))
    allowed = scope("{may: secret.read}")
    assert codes(stranger, allowed)["unexpected_secret_read"][1] is Standing.CLAIMED


def test_a_rule_denies_what_a_workflow_allows():
    inside = replace(etl(), resource=ResourceFacts(id="vault.ingest_key", kind="table", sensitivity=Sensitivity.CRITICAL))
    assert codes(inside, Scope())["unexpected_secret_read"][1] is Standing.CONTRADICTED
    denied = scope("{name: no secrets, may_not: secret.read, on: {properties: {sensitivity: critical}}}")
    assert codes(inside, denied)["unexpected_secret_read"] == (1.0, Standing.CONFIRMED)


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("token.mint", "token_mint"),
        ("privilege.change", "privilege_change"),
        ("data.export", "role_confusion"),
        ("anything", "role_confusion"),
    ],
)
def test_every_denied_action_is_a_finding_of_our_own(action, code):
    facts = replace(etl(), action=ActionFacts(name=action))
    assert codes(facts, scope("{may_not: '*'}"))[code] == (1.0, Standing.OWN)


def test_a_tool_is_denied_by_its_name():
    facts = replace(etl(), action=ActionFacts(name="tool.call"), call=CallFacts(tool="send_money"))
    assert "role_confusion" in codes(facts, scope("{may_not: 'tool:send_*'}"))
    assert "role_confusion" not in codes(facts, scope("{may_not: 'tool:read_*'}"))
