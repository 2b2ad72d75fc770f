"""The arithmetic: families, thinning, posture, clamp, and that the waterfall can be recomputed by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from containment.domain.facts import Finding, IdentityFacts, Kind
from containment.domain.judge import Judgement
from containment.domain.risk import likelihood, tenth
from tests.domain.facts_of import ETL, NOW, SHIPPED, agent, judged, sample


def observed(*codes: str, observations: int | None = None) -> tuple[Finding, ...]:
    return tuple(Finding(code=code, strength=1, because="seen", observations=observations) for code in codes)


def family(judgement: Judgement, name: str) -> float:
    return next(one.decibans for one in judgement.waterfall.families if one.family == name)


@pytest.mark.parametrize(
    ("codes", "decibans"),
    [(("intent_tool",), 20), (("intent_tool", "intent_environment"), 29), (("intent_tool", "intent_environment", "intent_resource"), 33)],
)
def test_a_family_counts_its_largest_half_its_second_and_a_quarter_of_each_further(codes, decibans):
    assert family(judged(agent(observed=observed(*codes))), "intent") == decibans


@pytest.mark.parametrize(("observations", "decibans"), [(0, 0), (30, 4), (90, 6), (270, 7.2)])
def test_a_baseline_signal_is_thinned_by_how_much_history_it_rests_on(observations, decibans):
    judgement = judged(sample(observed=observed("volume", observations=observations)))
    assert family(judgement, "behaviour") == pytest.approx(decibans)
    assert judgement.waterfall.observations == observations


def test_a_named_chain_is_not_thinned():
    assert family(judged(sample(observed=observed("tool_chain"))), "behaviour") == 10


@pytest.mark.parametrize(
    ("changes", "posture"),
    [
        ({}, 0),
        ({"discovered": True}, 3),
        ({"has_owner": False}, 1),
        ({"last_active_at": NOW - timedelta(days=91)}, 3),
        ({"last_active_at": NOW - timedelta(days=89)}, 0),
        ({"discovered": True, "has_owner": False, "last_active_at": NOW - timedelta(days=400)}, 6),
    ],
)
def test_the_posture_of_an_identity_adds_to_its_prior_up_to_a_bound(changes, posture):
    assert sum(part.decibans for part in judged(sample(identity=replace(ETL, **changes))).waterfall.prior) == -17 + posture


def test_the_odds_are_clamped_and_the_sum_before_it_is_kept():
    everything = observed("honeytoken", "intent_tool", "identity_violation", "tool_chain", "privilege_change")
    waterfall = judged(sample(observed=everything)).waterfall
    assert waterfall.sum > 30
    assert waterfall.odds == 30


def test_what_is_unknown_weighs_as_the_policy_cautions_and_says_so():
    factors = {factor.name: factor for factor in judged(sample(resource=None)).waterfall.factors}
    assert (factors["reach"].of, factors["reach"].known) == ("wide", False)
    assert (factors["sensitivity"].of, factors["sensitivity"].known) == ("high", False)
    assert factors["consequence"].known


def test_anyone_can_recompute_the_risk_from_the_waterfall():
    waterfall = judged(sample()).waterfall
    odds = sum(part.decibans for part in waterfall.prior) + sum(one.decibans for one in waterfall.families)
    impact = math.prod(factor.value for factor in waterfall.factors) ** (1 / 3)
    assert tenth(100 / (1 + 10 ** (-odds / 10)) * impact) == waterfall.risk


@pytest.mark.parametrize(("value", "rounded"), [(39.95, 40.0), (39.949999999, 39.9), (0.05, 0.1), (69.9499999999999, 70.0), (0, 0)])
def test_halves_round_up_and_noise_behind_the_ninth_digit_does_not_count(value, rounded):
    assert tenth(value) == rounded


def test_even_odds_are_a_coin():
    assert likelihood(0) == 0.5


def test_the_rounded_risk_is_what_is_compared():
    stranger = IdentityFacts(id="i", kind=Kind.SERVICE_ACCOUNT, provider="p", subject="s")
    judgement = judged(sample(identity=stranger))
    at = replace(
        SHIPPED,
        threshold_rules=tuple(replace(r, thresholds=replace(r.thresholds, soft=1, hard=judgement.risk)) for r in SHIPPED.threshold_rules),
    )
    assert judged(sample(identity=stranger), at).stage == "hard"
