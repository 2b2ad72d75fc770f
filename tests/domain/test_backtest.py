"""A backtest says of every event what a judgement says, and counts what people would have noticed. Compared with the slow way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containment.domain import backtest
from containment.domain.backtest import Event, People, Slice, finish
from containment.domain.decide import Verdict
from containment.domain.facts import ActionFacts, Facts, Kind
from containment.domain.gist import gist_of
from containment.domain.judge import judge
from containment.domain.policy import Budget, Mode, ModeRule, ThresholdRule, Thresholds
from tests.domain.facts_of import DAY, HOUR, NOW, SHIPPED, detection, leaked, payments, reports, sample, trainer
from tests.domain.test_gist import behaving, policies
from tests.domain.test_judgement_properties import MODEST

PEOPLE = People(approvers=2, identities={"service_account": 40})
histories = st.lists(st.tuples(behaving, st.sampled_from(["a", "b"]), st.integers(0, 60), st.booleans()), max_size=12)


def history(drawn) -> list[tuple[Event, Facts]]:
    """Events of two identities over some days, as decided under the shipped policy, with their facts; some without a gist."""
    made = []
    for number, (facts, name, hours, bare) in enumerate(sorted(drawn, key=lambda one: one[2])):
        made.append(decided(facts, f"e{number:02}", name, hours * HOUR, bare=bare))
    return made


def decided(facts, key: str, identity: str = "a", after: timedelta = timedelta(0), *, bare: bool = False):
    judgement = judge(facts, SHIPPED)
    event = Event(
        id=key,
        at=(NOW + after).timestamp(),
        identity=identity,
        source="edr",
        verdict=str(judgement.verdict),
        stage=str(judgement.stage or ""),
        sentence=judgement.choice.sentence,
        risk=round(judgement.risk * 10),
        gist=None if bare else gist_of(facts, SHIPPED),
    )
    return event, facts


def tried(events, policy, people: People = PEOPLE):
    return finish(policy, [tallied(events, policy)], people)


def tallied(events, policy):
    work, facts = Slice(policy), {event.id: its for event, its in events}
    for key in work.needs_facts(event for event, _ in events):
        work.judge(key, facts[key])
    return work.count(event for event, _ in events)


def noticed_slowly(events, policy) -> Counter[str]:
    """Once a day and rule, the first event that would be contained or held, enforced and with budget."""
    enforced = policy.in_mode(Mode.ENFORCE)
    dealt: set[tuple[str, int, int]] = set()
    found: Counter[str] = Counter()
    for event, facts in events:
        judgement = judge(replace(facts, run=None, budget_left=1), enforced)
        rule = [one.thresholds for one in policy.threshold_rules].index(judgement.waterfall.thresholds)
        key = (event.identity, rule, int(event.at // 86_400))
        if judgement.verdict in (Verdict.CONTAIN, Verdict.HOLD) and key not in dealt:
            dealt.add(key)
            found["contained" if judgement.verdict is Verdict.CONTAIN else "held"] += 1
    return found


def whole(policy):
    """The same with thresholds that differ from rule to rule."""
    rules = tuple(
        replace(rule, thresholds=Thresholds(20.0 + number, 50.0 + 2 * number)) for number, rule in enumerate(policy.threshold_rules)
    )
    return replace(policy, threshold_rules=rules, budget=Budget(100, 100, 1.0, 100))


@MODEST
@given(histories)
def test_under_the_policy_in_force_every_event_comes_out_the_very_same(drawn):
    found = tried(history(drawn), SHIPPED)
    assert found["same"] == found["events"] == len(drawn)
    assert found["flips"] == {}
    assert found["other_risk"] == 0


@MODEST
@given(histories, policies)
def test_under_another_policy_every_verdict_is_the_one_that_judging_gives(drawn, policy):
    events = history(drawn)
    found = tried(events, policy)
    judged = {event.id: judge(facts, policy) for event, facts in events}
    assert found["verdicts"]["after"] == Counter(str(one.verdict) for one in judged.values())
    changed = {
        event.id
        for event, _ in events
        if (event.verdict, event.stage) != (str(judged[event.id].verdict), str(judged[event.id].stage or ""))
    }
    assert {flip["decision"] for flip in found["flipped"]} == changed
    for flip in found["flipped"]:
        choice = judged[flip["decision"]].choice
        assert (flip["verdict"], flip["stage"], flip["sentence"]) == (str(choice.verdict), str(choice.stage or ""), choice.sentence)
        assert flip["because"] == choice.because
        assert flip["risk"] == judged[flip["decision"]].risk


@MODEST
@given(histories, policies)
def test_what_people_notice_is_counted_once_a_day(drawn, policy):
    policy, events = whole(policy), history(drawn)
    found = tried(events, policy)["noticed"]
    slowly = noticed_slowly(events, policy)
    assert (found["contained"], found["held"]) == (slowly["contained"], slowly["held"])


@MODEST
@given(histories, st.integers(0, 100), st.integers(0, 100), st.integers(0, 6))
def test_moving_the_slider_counts_what_a_new_backtest_would(drawn, one, other, rule):
    policy, events = whole(SHIPPED), history(drawn)
    rule %= len(policy.threshold_rules)
    slider = tried(events, policy)["slider"]
    soft, hard = max(min(one, other), slider["rules"][rule]["floor"]), max(one, other)
    hard = max(soft, hard)
    moved = list(policy.threshold_rules)
    moved[rule] = replace(moved[rule], thresholds=Thresholds(float(soft), float(hard)))
    again = replace(policy, threshold_rules=tuple(moved))
    dealt = Counter(entry[4] for entry in tallied(events, again)["dealt"] if entry[9] == rule)
    assert backtest.at(slider["cells"], rule, soft, hard) == {"contained": dealt["C"], "held": dealt["H"], "grouped": dealt["B"]}


@MODEST
@given(histories, st.integers(0, 12))
def test_slices_put_together_are_the_whole(drawn, cut):
    events = history(drawn)
    day = events[cut][0].at // 86_400 if cut < len(events) else 0
    parts = [[one for one in events if one[0].at // 86_400 < day], [one for one in events if one[0].at // 86_400 >= day]]
    together = finish(SHIPPED, [tallied(part, SHIPPED) for part in parts], PEOPLE)
    assert together == tried(events, SHIPPED)


def test_a_quiet_history_restores_no_facts_but_near_the_threshold():
    quiet = sample(action=ActionFacts(name="data.read"), detection=detection(claims=(), confidence=0.1))
    events = [decided(quiet, f"e{number}") for number in range(50)]
    found = tried(events, SHIPPED)
    assert found["events"] == 50
    assert found["in_full"] == 0
    assert found["verdicts"] == {"before": {"watch": 50}, "after": {"watch": 50}}


def test_a_flip_names_what_was_decided_and_what_would_be():
    higher = replace(
        SHIPPED,
        threshold_rules=tuple(
            replace(rule, thresholds=Thresholds(90, 95)) if rule.kind is Kind.SERVICE_ACCOUNT else rule for rule in SHIPPED.threshold_rules
        ),
    )
    found = tried([decided(sample(), "e1")], higher)
    assert found["flips"] == {"contain hard > watch": 1}
    assert found["flipped"] == [
        {"decision": "e1", "verdict": "watch", "stage": "", "sentence": 1, "risk": 85.5, "because": "The risk is 85.5, under 90."}
    ]


def test_the_budget_is_spent_again_in_the_order_of_time():
    events = [decided(sample(), f"e{number}", f"i{number}", number * HOUR / 60) for number in range(5)]
    tight = replace(SHIPPED, budget=Budget(per_source_hour=2, per_day=3, share_of_kind=0.0, share_at_least=50))
    found = tried(events, tight)["noticed"]
    assert (found["contained"], found["held"], found["stopped_by_budget"]) == (2, 3, 3)
    assert found["asks"] == 1  # the three are one ask, grouped
    spread = [decided(sample(), f"e{number}", f"i{number}", number * HOUR) for number in range(5)]
    found = tried(spread, tight)["noticed"]
    assert (found["contained"], found["stopped_by_budget"]) == (3, 2)
    none = tried(events, replace(SHIPPED, budget=None))["noticed"]
    assert (none["contained"], none["stopped_by_budget"], none["asks"]) == (0, 5, 1)
    assert none["reasons"] == {"budget": 5}


def test_business_minutes_are_the_patience_of_holds_whose_interim_stage_slows_a_designated_session():
    found = tried([decided(payments(), "e1"), decided(trainer(), "e2", "t")], SHIPPED)["noticed"]
    assert found["business_sessions"] == 2
    assert found["business_minutes"] == 15 + 30


def test_asks_are_per_approver_and_day_and_the_busiest_day_is_named():
    events = [
        decided(payments(), "e1", "p"),
        decided(reports(), "e2", "r"),
        decided(payments(), "e3", "p", DAY),
        decided(sample(), "e4", "s", DAY),
    ]
    found = tried(events, SHIPPED)
    assert found["days"] == 2
    assert found["noticed"]["asks"] == 3
    assert found["noticed"]["asks_per_approver_and_day"] == 0.75
    assert (found["noticed"]["busiest_day"], found["noticed"]["busiest_day_asks"]) == ("2026-11-22", 2)
    assert found["noticed"]["kinds"] == {"service_account": {"held": 2, "contained": 1}}


def test_an_identity_is_dealt_with_once_a_day_and_again_on_the_next():
    events = [
        decided(sample(), f"e{number}", "a", number * 5 * HOUR) for number in range(4)
    ]  # 10:00, 15:00, 20:00 and 01:00 of the next day
    assert tried(events, SHIPPED)["noticed"]["per_day"] == [["2026-11-22", 1, 0, 0], ["2026-11-23", 1, 0, 0]]


def test_a_policy_that_observes_decides_watch_and_is_counted_as_if_it_acted():
    observing = replace(SHIPPED, mode_rules=(ModeRule(Mode.OBSERVE, Kind.SERVICE_ACCOUNT),))
    found = tried([decided(sample(), "e1")], observing)
    assert found["verdicts"]["after"] == {"watch": 1}
    assert found["noticed"]["contained"] == 1


def test_conclusive_evidence_reaches_every_threshold():
    never = replace(SHIPPED, threshold_rules=tuple(ThresholdRule(kind, Thresholds(100, 100)) for kind in Kind))
    found = tried([decided(leaked(), "e1")], never)
    assert found["noticed"]["contained"] == 1
    assert backtest.at(found["slider"]["cells"], 1, 100, 100) == {"contained": 1, "held": 0, "grouped": 0}


@pytest.mark.parametrize("policy", [SHIPPED, replace(SHIPPED, budget=None)])
def test_no_history_is_no_trouble(policy):
    found = tried([], policy)
    assert (found["events"], found["days"], found["noticed"]["asks_per_approver_and_day"]) == (0, 0, None)
