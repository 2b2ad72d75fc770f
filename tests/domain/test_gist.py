"""Weighing the gist gives what weighing the facts gives, under whatever policy; where it cannot, it says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from containment.domain.conclusive import conclusive
from containment.domain.facts import (
    BaselineFacts,
    CallFacts,
    Drive,
    Kind,
    RateFacts,
    Reach,
    Sensitivity,
    Severity,
    StepFacts,
)
from containment.domain.families import FAMILIES, SOURCE_CLAIM
from containment.domain.gist import gist_of, read
from containment.domain.judge import judge, question_of
from containment.domain.policy import Minimum, Needs, Posture, ThresholdRule, Thresholds, Trust
from containment.domain.scope_rules import Rule, Scope
from containment.domain.signals import fired
from containment.domain.weigher import Weigher
from tests.domain.facts_of import SHIPPED, agent, detection, leaked, payments, reports, sample, trainer
from tests.domain.test_judgement_properties import MODEST, worlds

decibans = st.floats(0, 60).map(lambda value: round(value, 2))
shares = st.floats(0, 1).map(lambda value: round(value, 3))
thresholds = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda two: Thresholds(float(min(two)), float(max(two))))
NO_SECRETS = Scope(rules=(Rule(name="no secrets", may=False, actions=("secret.*",)), Rule(name="else", may=True, actions=("*",))))
policies = st.builds(
    lambda weights, priors, **members: replace(
        SHIPPED, weights={**SHIPPED.weights, **weights}, priors={**SHIPPED.priors, **priors}, **members
    ),
    weights=st.dictionaries(st.sampled_from(sorted(FAMILIES)), decibans, max_size=6),
    priors=st.dictionaries(st.sampled_from(Kind), decibans.map(lambda value: -value), max_size=3),
    odds_at_most=st.sampled_from([10.0, 30.0, 60.0]),
    thinning=st.sampled_from([0.0, 30.0, 1000.0]),
    minimum=st.builds(Minimum, st.integers(0, 500), st.integers(0, 20)),
    posture=st.builds(
        Posture,
        unlike_drive=decibans,
        discovered=decibans,
        dormant=decibans,
        dormant_days=st.sampled_from([1, 90, 99, 100, 101, 400]),
        no_owner=decibans,
        at_most=decibans,
    ),
    trust=st.builds(Trust, shares, shares, st.dictionaries(st.just("edr"), shares)),
    severities=st.fixed_dictionaries(dict.fromkeys(Severity, shares)),
    consequences=st.fixed_dictionaries({"other": shares, "secret.read": shares}, optional={"data.read": shares}),
    sensitivities=st.fixed_dictionaries(dict.fromkeys(Sensitivity, shares)),
    reach=st.fixed_dictionaries(dict.fromkeys(Reach, shares)),
    unknown_reach=st.sampled_from(Reach),
    unknown_sensitivity=st.sampled_from(Sensitivity),
    chains=st.sampled_from([SHIPPED.chains, (), (("data.read", "secret.read"),)]),
    scope=st.sampled_from([Scope(), NO_SECRETS]),
    conclusive=st.sampled_from([SHIPPED.conclusive, {}, {"volume": Needs.OWN_FINDING, "token_mint": Needs.OWN_FINDING}]),
    threshold_rules=st.tuples(thresholds, thresholds, thresholds).map(
        lambda three: (
            *(ThresholdRule(kind, three[0]) for kind in Kind),
            ThresholdRule(Kind.HUMAN, three[1], Drive.SCRIPT),
            ThresholdRule(Kind.SERVICE_ACCOUNT, three[2], None, "prod"),
        )
    ),
)
rates = st.builds(
    RateFacts,
    window=st.sampled_from(["minute", "hour", "day"]),
    count=st.floats(0, 100),
    usual=st.just(3.0),
    upper=st.floats(0, 20),
    observations=st.integers(0, 400),
    days=st.integers(0, 20),
)
baselines = st.builds(
    BaselineFacts,
    events=st.integers(0, 400),
    days=st.integers(0, 20),
    resource_known=st.none() | st.booleans(),
    rates=st.lists(rates, max_size=3).map(tuple),
    pair_known=st.none() | st.booleans(),
    pairs=st.integers(0, 400),
    systems_joined=st.none() | st.booleans(),
    moves=st.integers(0, 400),
)
trails = st.lists(
    st.builds(StepFacts, action=st.sampled_from(["secret.read", "data.read", "data.export"]), system=st.sampled_from(["", "db", "mail"])),
    max_size=3,
).map(tuple)
behaving = st.builds(
    lambda facts, baseline, trail, call: replace(facts, baseline=baseline, trail=trail, call=call),
    worlds,
    st.none() | baselines,
    trails,
    st.none() | st.builds(CallFacts, tool=st.just("send"), writes=st.none() | st.booleans()),
)


def agrees(facts, policy, made_under=SHIPPED) -> bool:
    """Whether the gist was certain; it has to agree then."""
    weight = Weigher(policy).weigh(gist_of(facts, made_under))
    if not weight.certain:
        return False
    judgement = judge(facts, policy)
    assert weight.risk == judgement.risk
    assert weight.without_thin == judgement.waterfall.risk_without_thin
    assert policy.threshold_rules[weight.rule].thresholds == judgement.waterfall.thresholds
    assert not conclusive(facts, fired(facts, policy), policy)
    assert weight.run == (facts.run.id if facts.run else "")
    return True


@MODEST
@given(behaving)
def test_under_the_policy_that_it_was_made_under_the_gist_agrees(facts):
    certain = agrees(facts, SHIPPED)
    settled_by = {signal.code for signal in fired(facts, SHIPPED) if signal.ours} & set(SHIPPED.conclusive)
    assert certain == (not settled_by)


@MODEST
@given(behaving, policies)
def test_under_any_other_policy_the_gist_agrees_or_asks_for_the_facts(facts, policy):
    agrees(facts, policy)


@MODEST
@given(behaving, policies, policies)
def test_whatever_policy_the_gist_was_made_under(facts, made_under, policy):
    agrees(facts, policy, made_under)


@MODEST
@given(behaving, policies)
def test_a_backtest_asks_what_a_judgement_asks(facts, policy):
    question, judgement = question_of(facts, policy), judge(facts, policy)
    assert question.waterfall == judgement.waterfall
    assert question.conclusive == judgement.conclusive


def test_the_worlds_of_the_trial_are_certain_unless_evidence_is_conclusive():
    certain = [agrees(facts, SHIPPED) for facts in (sample(), payments(), reports(), trainer(), agent(), leaked())]
    assert certain == [True, True, True, True, True, False]


def test_a_policy_that_names_other_chains_asks_for_the_facts_of_a_trail_and_of_no_other():
    other = replace(SHIPPED, chains=(("data.read", "secret.read"),))
    after_a_read = sample(trail=(StepFacts(action="data.read"),))
    assert agrees(sample(), other)
    assert not agrees(after_a_read, other)
    assert agrees(after_a_read, SHIPPED)


def test_another_weight_for_an_action_matters_only_where_a_signal_asked_for_it():
    other = replace(SHIPPED, consequences={**SHIPPED.consequences, "secret.read": 0.3})
    assert agrees(sample(), other)


def test_dormancy_is_counted_in_whole_days_as_the_posture_counts_it():
    for hours in (24 * 90 - 1, 24 * 90, 24 * 90 + 1):
        facts = sample()
        facts = replace(facts, identity=replace(facts.identity, last_active_at=facts.at - timedelta(hours=hours)))
        assert agrees(facts, SHIPPED)
        assert read(gist_of(facts, SHIPPED)).dormant == hours // 24


def test_a_gist_names_no_secret_and_nothing_that_changes_from_event_to_event():
    facts = sample()
    later = replace(facts, now=facts.now + timedelta(seconds=1), detection=detection(id="another"))
    assert gist_of(later, SHIPPED) == gist_of(facts, SHIPPED)
    assert SOURCE_CLAIM not in gist_of(facts, SHIPPED)
