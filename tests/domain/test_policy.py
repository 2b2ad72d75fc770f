"""The policy document: the shipped one, what each fault says and where, and which rule wins."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from containment.domain.facts import Drive, Kind, SourceFacts
from containment.domain.policy import Budget, Mode, ModeRule, RiskPolicy, ThresholdRule, Thresholds, Trust, parse, shipped_text
from core import digest
from core.refusals import BadInput
from tests.domain.facts_of import SHIPPED


def faults(text: str) -> list[tuple[str, str]]:
    with pytest.raises(BadInput) as refused:
        parse(text)
    return [(fault.path, fault.code) for fault in refused.value.faults]


def changed(old: str, new: str) -> str:
    assert old in shipped_text()
    return shipped_text().replace(old, new, 1)


def test_the_observe_variant_differs_in_its_mode_alone():
    observing = parse(shipped_text(Mode.OBSERVE))
    assert observing == SHIPPED.in_mode(Mode.OBSERVE)
    assert replace(observing, default_mode=Mode.ENFORCE) == SHIPPED


def test_the_digest_follows_the_content_and_not_its_spelling():
    assert parse("# a note\n" + shipped_text()).digest == SHIPPED.digest
    assert parse(changed("thinning: 30", "thinning: 31")).digest != SHIPPED.digest
    assert json.loads(digest.canonical(SHIPPED))["thinning"] == 30


@pytest.mark.parametrize(
    ("old", "new", "path", "code"),
    [
        ("thinning: 30", "thining: 30", "thining", "unknown"),
        ("thinning: 30", "thining: 30", "thinning", "missing"),
        ("priors: {human: -20", "priors: {human: minus", "priors.human", "not_a_number_between"),
        ("priors: {human: -20", "priors: {human: 5", "priors.human", "not_a_number_between"),
        ("priors: {human: -20", "priors: {human: .nan", "priors.human", "not_a_number_between"),
        ("priors: {human: -20", "priors: {human: '-20'", "priors.human", "not_a_number_between"),
        ("priors: {human: -20, ", "priors: {", "priors.human", "missing"),
        ("source_claim: 8", "source_claim: 8\n  gut_feeling: 9", "weights.gut_feeling", "unknown"),
        ("source_claim: 8", "source_claim: 8\n  source_claim: 9", "weights.source_claim", "twice"),
        ("{kind: human, soft: 40, hard: 75}", "{kind: human, soft: 80, hard: 75}", "thresholds[0]", "soft_above_hard"),
        ("{kind: human, soft: 40, hard: 75}", "{kind: person, soft: 40, hard: 75}", "thresholds[0].kind", "not_one_of"),
        ("{kind: human, soft: 40, hard: 75}", "{kind: human, drive: human, soft: 40, hard: 75}", "thresholds", "missing"),
        ("{kind: human, soft: 40, hard: 75}", "{kind: workload, soft: 40, hard: 75}", "thresholds[2]", "twice"),
        ("  other: 0.5\n", "", "consequences", "missing"),
        ("honeytoken: planted_used", "honeytoken: a_hunch", "conclusive.honeytoken", "not_one_of"),
        ("honeytoken: planted_used", "source_claim: own_finding", "conclusive.source_claim", "unknown"),
        ("[secret.read, message.send]", "[secret.read]", "chains[0]", "too_short"),
        ("  payment: 15", "  payment: 0", "patience_minutes.payment", "not_a_number_between"),
        ("  payment: 15\n", "", "patience_minutes.payment", "missing"),
        ("exposed_patience_minutes: 5", "exposed_patience_minutes: soon", "exposed_patience_minutes", "not_a_number_between"),
        ("default: enforce", "default: maybe", "modes.default", "not_one_of"),
        ("per_day: 200", "per_day: 2.5", "budget.per_day", "not_whole"),
        ("name: Shipped defaults", "name: ''", "name", "wrong_type"),
        ("rules: []", "rules: {}", "modes.rules", "wrong_type"),
    ],
)
def test_a_fault_names_its_path(old, new, path, code):
    assert (path, code) in faults(changed(old, new))


def test_a_fault_names_its_line_and_all_are_found_at_once():
    text = changed("thinning: 30", "thinning: soon").replace("per_day: 200", "per_day: many")
    with pytest.raises(BadInput) as refused:
        parse(text)
    lines = text.splitlines()
    expected = [next(number for number, line in enumerate(lines, 1) if word in line) for word in ("thinning: soon", "per_day: many")]
    assert [int(fault.detail.removeprefix("line ").split(":")[0]) for fault in refused.value.faults] == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("a: [", "not_yaml"),
        ("- a list", "wrong_type"),
        ("a: &x 1\nb: *x", "anchor"),
        ("[" * 30 + "]" * 30, "too_deep"),
        ("#" * 300_000, "too_large"),
        ("a: \x00", "not_yaml"),
    ],
)
def test_what_is_no_such_document_is_refused_whole(text, code):
    assert [found for _, found in faults(text)] == [code]


def test_a_policy_may_go_without_a_budget():
    text = "\n".join(line for line in shipped_text().splitlines() if not line.startswith("budget:"))
    assert parse(text).budget is None


@pytest.mark.parametrize(
    ("spent", "left"),
    [
        ({}, 60),
        ({"source_hour": 59}, 1),
        ({"source_hour": 60}, 0),
        ({"source_hour": 61}, 0),
        ({"day": 190}, 10),
        ({"of_kind": 49, "size_of_kind": 10}, 1),
        ({"of_kind": 80, "size_of_kind": 400}, 20),
    ],
)
def test_the_budget_leaves_the_smallest_of_its_limits(spent, left):
    budget = Budget(per_source_hour=60, per_day=200, share_of_kind=0.25, share_at_least=50)
    none = {"source_hour": 0, "day": 0, "of_kind": 0, "size_of_kind": 400}
    assert budget.left(**none | spent) == left


def with_rules(*rules: ThresholdRule) -> RiskPolicy:
    return replace(SHIPPED, threshold_rules=(*SHIPPED.threshold_rules, *rules))


def test_the_most_exact_threshold_rule_wins():
    policy = with_rules(
        ThresholdRule(Kind.HUMAN, Thresholds(1, 2), environment="prod"),
        ThresholdRule(Kind.HUMAN, Thresholds(3, 4), drive=Drive.SCRIPT),
        ThresholdRule(Kind.HUMAN, Thresholds(5, 6), drive=Drive.SCRIPT, environment="prod"),
    )
    found = [
        policy.thresholds(Kind.HUMAN, drive, environment).soft
        for drive, environment in [(Drive.HUMAN, "dev"), (Drive.HUMAN, "prod"), (Drive.SCRIPT, "dev"), (Drive.SCRIPT, "prod")]
    ]
    assert found == [40, 1, 3, 5]


def test_the_most_exact_mode_rule_wins():
    policy = replace(
        SHIPPED,
        default_mode=Mode.OBSERVE,
        mode_rules=(ModeRule(Mode.ENFORCE, environment="prod"), ModeRule(Mode.OBSERVE, Kind.HUMAN, "prod")),
    )
    assert [policy.mode(kind, where) for kind, where in [(Kind.HUMAN, "prod"), (Kind.WORKLOAD, "prod"), (Kind.WORKLOAD, "dev")]] == [
        Mode.OBSERVE,
        Mode.ENFORCE,
        Mode.OBSERVE,
    ]


def test_trust_is_the_sources_own_or_what_the_policy_says_by_name_or_by_its_token():
    trust = Trust(bound=0.9, unbound=0.5, sources={"siem": 0.7})
    sources = [
        SourceFacts(name="siem", trust=0.2),
        SourceFacts(name="siem"),
        SourceFacts(name="edr"),
        SourceFacts(name="edr", bound=False),
    ]
    assert [trust.of(source) for source in sources] == [0.2, 0.7, 0.9, 0.5]
