"""Which way a change of the policy goes: every member changed in turn, both ways, and the same policy changes nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from containment.domain.facts import Drive, Kind, Reach, Sensitivity, Severity
from containment.domain.policy import (
    Budget,
    HoldReason,
    Minimum,
    Mode,
    ModeRule,
    Needs,
    Ramp,
    RiskPolicy,
    ThresholdRule,
    Thresholds,
    Trust,
    parse,
    shipped_text,
)
from containment.domain.tightening import ELSEWHERE, MEMBERS, Way, changes, people_needed, turned_on
from tests.domain.facts_of import SHIPPED
from tests.examples import some

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
OBSERVING = SHIPPED.in_mode(Mode.OBSERVE)
RULES = "\nscope:\n  rules:\n    - {name: reads, may: read}\n    - {name: shut, may_not: '*'}\n"
SCOPED = parse(shipped_text() + RULES)


def scoped(text: str) -> RiskPolicy:
    return parse(shipped_text() + text)


def ways(old: RiskPolicy, new: RiskPolicy) -> set[Way]:
    return {change.way for change in changes(old, new)}


def thresholds(kind: Kind, soft: float, hard: float, **more) -> ThresholdRule:
    return ThresholdRule(kind, Thresholds(soft, hard), **more)


HUMANS_IN_PROD = thresholds(Kind.HUMAN, 40, 50, environment="prod")

# member -> the policy, and one that is tighter in nothing but this member
TIGHTER: dict[str, tuple[RiskPolicy, RiskPolicy]] = {
    "default_mode": (OBSERVING, SHIPPED),
    "mode_rules": (OBSERVING, replace(OBSERVING, mode_rules=(ModeRule(Mode.ENFORCE, Kind.AI_AGENT, "prod"),))),
    "priors": (SHIPPED, replace(SHIPPED, priors={**SHIPPED.priors, Kind.HUMAN: -19.0})),
    "posture": (SHIPPED, replace(SHIPPED, posture=replace(SHIPPED.posture, dormant=4.0))),
    "posture days": (SHIPPED, replace(SHIPPED, posture=replace(SHIPPED.posture, dormant_days=30))),
    "weights": (SHIPPED, replace(SHIPPED, weights={**SHIPPED.weights, "volume": 9.0})),
    "odds_at_most": (SHIPPED, replace(SHIPPED, odds_at_most=40.0)),
    "thinning": (SHIPPED, replace(SHIPPED, thinning=20.0)),
    "minimum": (SHIPPED, replace(SHIPPED, minimum=Minimum(100, 7))),
    "chains": (SHIPPED, replace(SHIPPED, chains=(*SHIPPED.chains, ("a", "b")))),
    "severities": (SHIPPED, replace(SHIPPED, severities={**SHIPPED.severities, Severity.LOW: 0.3})),
    "trust": (SHIPPED, replace(SHIPPED, trust=replace(SHIPPED.trust, unbound=0.6))),
    "trust in one": (SHIPPED, replace(SHIPPED, trust=replace(SHIPPED.trust, sources={"siem": 0.95}))),
    "trust between": (SHIPPED, replace(SHIPPED, trust=replace(SHIPPED.trust, sources={"siem": 0.7}))),
    "consequences": (SHIPPED, replace(SHIPPED, consequences={**SHIPPED.consequences, "data.read": 0.3})),
    "a new consequence": (SHIPPED, replace(SHIPPED, consequences={**SHIPPED.consequences, "data.shred": 0.9})),
    "sensitivities": (SHIPPED, replace(SHIPPED, sensitivities={**SHIPPED.sensitivities, Sensitivity.LOW: 0.2})),
    "unknown_sensitivity": (SHIPPED, replace(SHIPPED, unknown_sensitivity=Sensitivity.CRITICAL)),
    "reach": (SHIPPED, replace(SHIPPED, reach={**SHIPPED.reach, Reach.NARROW: 0.4})),
    "unknown_reach": (SHIPPED, replace(SHIPPED, unknown_reach=Reach.ESTATE)),
    "threshold_rules": (SHIPPED, replace(SHIPPED, threshold_rules=(thresholds(Kind.HUMAN, 39, 75), *SHIPPED.threshold_rules[1:]))),
    "a threshold rule": (SHIPPED, replace(SHIPPED, threshold_rules=(*SHIPPED.threshold_rules, HUMANS_IN_PROD))),
    "conclusive": (SHIPPED, replace(SHIPPED, conclusive={**SHIPPED.conclusive, "token_mint": Needs.OWN_FINDING})),
    "other evidence": (SHIPPED, replace(SHIPPED, conclusive={**SHIPPED.conclusive, "honeytoken": Needs.OWN_FINDING})),
    "cool_off": (SHIPPED, replace(SHIPPED, cool_off=30 * MINUTE)),
    "discovered_soft": (SHIPPED, replace(SHIPPED, discovered_soft=60 * MINUTE)),
    "budget": (replace(SHIPPED, budget=None), SHIPPED),
    "a larger budget": (SHIPPED, replace(SHIPPED, budget=Budget(60, 201, 0.25, 50))),
    "patience": (SHIPPED, replace(SHIPPED, patience={**SHIPPED.patience, HoldReason.THIN: 29 * MINUTE})),
    "patience of an interim stage": (SHIPPED, replace(SHIPPED, patience={**SHIPPED.patience, HoldReason.PAYMENT: 7 * DAY})),
    "exposed_patience": (SHIPPED, replace(SHIPPED, exposed_patience=4 * MINUTE)),
    "scope": (SHIPPED, scoped("\nscope: {rules: [{may_not: write}]}\n")),
    "scope, less allowed": (scoped("\nscope: {rules: [{may: write}]}\n"), SHIPPED),
    "ramp": (SHIPPED, replace(SHIPPED, ramp=Ramp(backtest_days=7))),
    "ramp, older is good enough": (SHIPPED, replace(SHIPPED, ramp=Ramp(protected_days=180))),
}  # fmt: skip
# where either way can contain more, or nobody can tell, either way counts as tighter
TWO_WAYS = {
    *("other evidence", "conclusive", "odds_at_most", "thinning", "trust", "trust in one", "trust between", "exposed_patience"),
    "patience of an interim stage",
}


@pytest.mark.parametrize("member", TIGHTER)
def test_more_automatic_containment_is_tighter_and_takes_two(member):
    old, new = TIGHTER[member]
    assert ways(old, new) == {Way.TIGHTER}, changes(old, new)
    assert people_needed(changes(old, new)) == 2


@pytest.mark.parametrize("member", sorted(TWO_WAYS))
def test_where_less_of_it_may_contain_more_as_well_either_way_is_tighter(member):
    new, old = TIGHTER[member]
    assert ways(old, new) == {Way.TIGHTER}, changes(old, new)


@pytest.mark.parametrize("member", sorted(TIGHTER.keys() - TWO_WAYS))
def test_the_way_back_is_looser_and_takes_one(member):
    new, old = TIGHTER[member]
    assert ways(old, new) == {Way.LOOSER}, changes(old, new)
    assert people_needed(changes(old, new)) == 1


def test_every_member_of_a_policy_is_compared():
    members = {one.name for one in fields(RiskPolicy) if one.init}
    assert members == MEMBERS.keys() | ELSEWHERE.keys()
    assert members - {"version", "name"} <= TIGHTER.keys()


@pytest.mark.parametrize("policy", [SHIPPED, OBSERVING, SCOPED, replace(SHIPPED, budget=None)])
def test_a_policy_changes_nothing_of_itself(policy):
    assert changes(policy, policy) == ()


@pytest.mark.parametrize(
    "new",
    [
        replace(SHIPPED, version=2),
        replace(SHIPPED, name="Ours"),
        replace(SHIPPED, chains=SHIPPED.chains[::-1]),
        replace(SHIPPED, mode_rules=(ModeRule(Mode.ENFORCE, Kind.HUMAN),)),
        replace(SHIPPED, threshold_rules=(*SHIPPED.threshold_rules, thresholds(Kind.HUMAN, 40, 75, drive=Drive.SCRIPT))),
        replace(SHIPPED, consequences={**SHIPPED.consequences, "data.list": 0.5}),
    ],
)
def test_what_contains_neither_more_nor_less_is_neutral_and_said(new):
    assert ways(SHIPPED, new) == {Way.NEUTRAL}
    assert people_needed(changes(SHIPPED, new)) == 1


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("\nscope: {rules: [{name: shut, may_not: '*'}, {name: reads, may: read}]}\n", Way.TIGHTER),
        ("\nscope: {rules: [{name: reads, may: 're*'}, {name: shut, may_not: '*'}]}\n", Way.TIGHTER),
        ("\nscope: {rules: [{name: reads, may: read}]}\n", Way.LOOSER),
        ("\nscope: {rules: [{name: reads, may: read}, {name: writes, may: write}, {name: shut, may_not: '*'}]}\n", Way.LOOSER),
        (
            "\nscope: {known: {subjects: [{id: a, properties: {x: 1}}]}, rules: [{name: reads, may: read}, {name: shut, may_not: '*'}]}\n",
            Way.TIGHTER,
        ),
    ],
)
def test_scope_rules_that_nobody_can_compare_count_as_tighter(text, way):
    assert ways(SCOPED, scoped(text)) == {way}


@pytest.mark.parametrize(
    ("was", "now", "way"),
    [
        ("may: write", "may_if_approved: write", Way.TIGHTER),
        ("may_if_approved: write", "may_not: write", Way.TIGHTER),
        ("may: write", "may_not: write", Way.TIGHTER),
        ("may_not: write", "may_if_approved: write", Way.LOOSER),
        ("may_if_approved: write", "may: write", Way.LOOSER),
        ("may_not: write", "may: write", Way.LOOSER),
        ("may_not: write", "may_if_approved: 'w*'", Way.TIGHTER),  # another wording besides: nobody can compare
        ("may_not: write", "who: {kind: human}, may: write", Way.TIGHTER),
    ],
)
def test_a_rule_with_a_milder_word_and_nothing_else_changed_is_looser(was, now, way):
    old, new = (scoped(f"\nscope: {{rules: [{{name: writes, {word}}}]}}\n") for word in (was, now))
    assert ways(old, new) == {way}


def test_a_rule_that_asks_people_is_tighter_come_and_gone():
    """What stood behind it is the answer without it, which nobody can compare."""
    without, with_it = (
        scoped("\nscope: {rules: [{name: reads, may: read}]}\n"),
        scoped("\nscope: {rules: [{name: reads, may: read}, {name: writes, may_if_approved: write}]}\n"),
    )
    assert ways(without, with_it) == ways(with_it, without) == {Way.TIGHTER}


def test_a_more_exact_rule_that_moves_a_cell_is_found_although_no_general_one_moved():
    old = replace(SHIPPED, threshold_rules=(*SHIPPED.threshold_rules, thresholds(Kind.HUMAN, 30, 75, environment="prod")))
    new = replace(old, threshold_rules=(*old.threshold_rules, thresholds(Kind.HUMAN, 40, 75, drive=Drive.SCRIPT)))
    assert [(change.path, change.way) for change in changes(old, new)] == [("thresholds.human.script.prod.soft", Way.LOOSER)]


def test_the_first_policy_is_new_in_all():
    assert people_needed(changes(None, SHIPPED)) == 2


def test_each_change_is_a_sentence():
    new = replace(SHIPPED, weights={**SHIPPED.weights, "volume": 9.0}, exposed_patience=10 * MINUTE, mode_rules=())
    assert [change.said for change in changes(SHIPPED, new)] == [
        "Weight of volume: from 8 to 9.",
        "Patience where a credential is exposed: from 5 to 10 minutes.",
    ]
    enforced = replace(OBSERVING, mode_rules=(ModeRule(Mode.ENFORCE, Kind.AI_AGENT, "prod"),))
    assert [change.said for change in changes(OBSERVING, enforced)] == ["AI agent in prod: enforced, no longer only observed."]
    assert [change.said for change in changes(SHIPPED, OBSERVING)] == ["Every kind everywhere: only observed, no longer enforced."]


def test_the_cells_that_are_turned_on_are_named_one_by_one():
    enforced = replace(OBSERVING, mode_rules=(ModeRule(Mode.ENFORCE, Kind.AI_AGENT), ModeRule(Mode.OBSERVE, Kind.AI_AGENT, "dev")))
    assert turned_on(OBSERVING, enforced, ["prod"]) == ((Kind.AI_AGENT, "prod"), (Kind.AI_AGENT, ""))
    assert turned_on(enforced, OBSERVING, ["prod"]) == ()
    assert len(turned_on(None, SHIPPED)) == len(Kind)


numbers = st.floats(0, 60).map(lambda one: round(one, 2))


@settings(max_examples=some(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])  # how fast it is says nothing
@given(st.dictionaries(st.sampled_from(sorted(SHIPPED.weights)), numbers, min_size=1), st.integers(0, 400))
def test_of_weights_and_minima_what_is_tighter_one_way_is_looser_the_other(weights, events):
    new = replace(SHIPPED, weights={**SHIPPED.weights, **weights}, minimum=Minimum(events, 7))
    mirror = {Way.TIGHTER: Way.LOOSER, Way.LOOSER: Way.TIGHTER, Way.NEUTRAL: Way.NEUTRAL}
    assert [mirror[change.way] for change in changes(SHIPPED, new)] == [change.way for change in changes(new, SHIPPED)]


def test_trust_is_compared_as_it_counts():
    named = replace(SHIPPED, trust=Trust(0.9, 0.5, {"siem": 0.9}))
    lower = replace(SHIPPED, trust=Trust(0.9, 0.5, {"siem": 0.4}))
    assert ways(named, lower) == {Way.TIGHTER}
    assert ways(SHIPPED, named) == {Way.TIGHTER}
    flat = replace(SHIPPED, trust=Trust(0.9, 0.9, {}))
    assert ways(flat, replace(flat, trust=Trust(0.9, 0.9, {"siem": 0.9}))) == {Way.NEUTRAL}


def test_what_nobody_classified_is_compared_by_what_it_is_worth():
    falling = replace(SHIPPED, sensitivities={**SHIPPED.sensitivities, Sensitivity.LOW: 0.9}, reach={**SHIPPED.reach, Reach.TEAM: 0.9})
    assert ways(falling, replace(falling, unknown_sensitivity=Sensitivity.LOW)) == {Way.TIGHTER}
    assert ways(falling, replace(falling, unknown_reach=Reach.TEAM)) == {Way.TIGHTER}
