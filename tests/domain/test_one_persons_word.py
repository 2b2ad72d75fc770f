"""Whatever one person may put in force contains nothing that was not contained before: policies changed at random, events of every sort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from containment.domain.decide import Choice, Verdict
from containment.domain.facts import (
    BaselineFacts,
    Drive,
    Facts,
    Kind,
    RateFacts,
    Reach,
    Sensitivity,
    Stage,
    StepFacts,
)
from containment.domain.judge import judge
from containment.domain.policy import (
    Budget,
    Minimum,
    Mode,
    ModeRule,
    Needs,
    RiskPolicy,
    ThresholdRule,
    Thresholds,
    Trust,
    parse,
    shipped_text,
)
from containment.domain.tightening import changes, people_needed
from tests.domain.facts_of import MINUTE, SHIPPED
from tests.domain.test_judgement_properties import worlds
from tests.examples import some

shares = st.sampled_from([0.0, 0.05, 0.2, 0.4, 0.6, 0.9, 1.0])
decibans = st.sampled_from([0.0, 1.0, 6.0, 12.0, 20.0, 30.0, 45.0, 60.0])
spans = st.sampled_from([1, 5, 30, 240, 10_080]).map(lambda minutes: minutes * MINUTE)
environments = st.sampled_from(["", "prod", "dev"])
bounds = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda pair: Thresholds(min(pair), max(pair)))


def some_of(table: Mapping[Any, Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    """The table with up to three of its values changed."""
    return st.dictionaries(st.sampled_from(list(table)), values, max_size=3).map(lambda changed: {**table, **changed})


SCOPES = {
    "none": SHIPPED.scope,
    **{
        name: parse(f"{shipped_text()}\nscope: {{rules: [{rules}]}}\n").scope
        for name, rules in {
            "shut": "{name: shut, may_not: 'secret.*'}",
            "open": "{name: open, may: 'secret.*'}",
            "open, then shut": "{name: open, may: secret.read}, {name: shut, may_not: '*'}",
            "shut, then open": "{name: shut, may_not: '*'}, {name: open, may: secret.read}",
            "all shut": "{name: shut, may_not: '*'}",
        }.items()
    },
}
# member of a policy -> other values of it
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "default_mode": st.sampled_from(Mode),
    "mode_rules": st.lists(
        st.builds(ModeRule, st.sampled_from(Mode), st.none() | st.sampled_from(Kind), environments),
        max_size=3,
        unique_by=lambda rule: (rule.kind, rule.environment),
    ).map(tuple),
    "priors": some_of(SHIPPED.priors, decibans.map(lambda one: -one)),
    "posture": st.builds(
        lambda some, days: replace(SHIPPED.posture, dormant_days=days, **some),
        st.dictionaries(st.sampled_from(["unlike_drive", "discovered", "dormant", "no_owner", "at_most"]), decibans, max_size=3),
        st.sampled_from([1, 99, 101, 900]),
    ),
    "weights": some_of(SHIPPED.weights, decibans),
    "odds_at_most": st.sampled_from([1.0, 10.0, 29.0, 31.0, 60.0]),
    "thinning": st.sampled_from([0.0, 5.0, 100.0, 10_000.0]),
    "minimum": st.builds(Minimum, st.sampled_from([0, 50, 1000]), st.sampled_from([0, 3, 30])),
    "chains": st.lists(
        st.sampled_from([*SHIPPED.chains, ("data.read", "secret.read"), ("data.read", "data.read"), ("x.y", "token.mint")]),
        max_size=4,
        unique=True,
    ).map(tuple),
    "severities": some_of(SHIPPED.severities, shares),
    "trust": st.builds(Trust, shares, shares, st.dictionaries(st.just("edr"), shares, max_size=1)),
    "consequences": st.dictionaries(st.sampled_from([*SHIPPED.consequences, "x.y"]), shares, max_size=4).map(
        lambda changed: {**SHIPPED.consequences, **changed}
    ),
    "sensitivities": some_of(SHIPPED.sensitivities, shares),
    "unknown_sensitivity": st.sampled_from(Sensitivity),
    "reach": some_of(SHIPPED.reach, shares),
    "unknown_reach": st.sampled_from(Reach),
    "threshold_rules": st.lists(
        st.builds(ThresholdRule, st.sampled_from(Kind), bounds, st.none() | st.sampled_from(Drive), environments),
        max_size=3,
        unique_by=lambda rule: (rule.kind, rule.drive, rule.environment),
    ).map(
        lambda rules: (
            *(one for one in SHIPPED.threshold_rules if not any((r.kind, r.drive, r.environment) == (one.kind, None, "") for r in rules)),
            *rules,
        )
    ),
    "conclusive": st.dictionaries(
        st.sampled_from(["honeytoken", "credential_exposed", "token_mint", "volume"]), st.sampled_from(Needs), max_size=3
    ),
    "cool_off": spans | st.just(timedelta(0)),
    "discovered_soft": spans | st.just(timedelta(0)),
    "budget": st.none() | st.builds(Budget, *[st.sampled_from([0, 60, 900])] * 2, shares, st.just(50)),
    "patience": some_of(SHIPPED.patience, spans),
    "exposed_patience": spans,
    "scope": st.sampled_from(list(SCOPES.values())),
    "ramp": st.integers(0, 30).map(lambda days: replace(SHIPPED.ramp, backtest_days=days)),
}


@st.composite
def histories_of(draw: st.DrawFn, facts: Facts) -> Facts:
    """The same with what the identity usually does, and what this session did before."""
    counts = st.sampled_from([0, 3, 40, 250, 2000])
    baseline = st.builds(
        BaselineFacts,
        events=counts,
        days=st.sampled_from([0, 3, 9]),
        resource_known=st.none() | st.booleans(),
        pair_known=st.none() | st.booleans(),
        pairs=counts,
        pair_days=st.sampled_from([0, 9]),
        rates=st.lists(
            st.builds(
                RateFacts,
                window=st.sampled_from(["minute", "hour", "day"]),
                count=st.floats(0, 900),
                usual=st.just(5.0),
                upper=st.just(20.0),
                observations=counts,
            ),
            max_size=2,
            unique_by=lambda rate: rate.window,
        ).map(tuple),
    )
    trail = st.lists(st.builds(StepFacts, action=st.sampled_from(["secret.read", "data.export", "data.read", "x.y"])), max_size=3).map(
        tuple
    )
    return replace(facts, baseline=draw(st.none() | baseline), trail=draw(trail))


@st.composite
def policies(draw: st.DrawFn, member: str) -> tuple[RiskPolicy, RiskPolicy]:
    """A policy, and another that differs in `member` and perhaps in one more."""
    base = replace(
        SHIPPED, **{name: draw(VALUES[name]) for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True))}
    )
    more = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=1))
    return base, replace(base, **{name: draw(VALUES[name]) for name in {member, *more}})


def by_itself(choice: Choice) -> tuple[int, timedelta]:
    """How much happens without a person, and for how long where an interim stage runs meanwhile.

    A hold whose interim stage runs ranks with the soft stage: sessions that are nobody's bystander get that at once, and where nobody lies
    inside the soft cut, the soft stage is no more than this.
    """
    if choice.raises:
        return 5, timedelta(0)
    if choice.verdict is Verdict.CONTAIN or choice.releases:
        return 5 if choice.stage is Stage.HARD and not choice.credential_only else 4, timedelta(0)
    if choice.verdict is Verdict.HOLD:
        return (4, choice.patience or timedelta(0)) if choice.spends else (2, timedelta(0))
    return (0 if choice.verdict is Verdict.WATCH else 1), timedelta(0)


EITHER_WAY = {"conclusive", "odds_at_most", "thinning", "trust", "exposed_patience"}  # no change of these takes one person alone
MANY = settings(
    max_examples=some(80),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def test_every_member_of_a_policy_has_other_values():
    assert VALUES.keys() == {one.name for one in fields(RiskPolicy) if one.init} - {"version", "name"}


@pytest.mark.parametrize("member", sorted(VALUES.keys() - EITHER_WAY))
@MANY
@given(data=st.data())
def test_what_takes_one_person_contains_nothing_that_was_not_contained_before(member, data):
    old, new = data.draw(policies(member))
    assume(people_needed(changes(old, new)) == 1)
    facts = data.draw(worlds.flatmap(histories_of))
    before, after = judge(facts, old).choice, judge(facts, new).choice
    (most, until), (now, now_until) = by_itself(before), by_itself(after)
    assert now <= most, (before, after, changes(old, new))
    if now_until and until:
        assert now_until <= until, (before, after, changes(old, new))
