"""What a baseline learns, in which room, and what it then says: properties over drawn histories, and the twins of the shipped defaults."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containment.domain import baseline as usual
from containment.domain import trail as trails
from containment.domain.baseline import Baseline, Habit
from containment.domain.decide import Verdict
from containment.domain.event import Event
from containment.domain.facts import (
    ActionFacts,
    BaselineFacts,
    Drive,
    Facts,
    IdentityFacts,
    Kind,
    Reach,
    ResourceFacts,
    ScopeRule,
    Sensitivity,
    SessionFacts,
    StepFacts,
    WorkflowFacts,
)
from containment.domain.policy import HoldReason
from containment.domain.signals import Fired, fired
from containment.domain.trail import Trail
from tests.domain.facts_of import DAY, ETL, HOUR, MINUTE, NOW, SHIPPED, agent, judged, sample
from tests.examples import some

MONDAY = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
MODEST = settings(max_examples=some(60), deadline=None)

moments = st.integers(0, 20 * 24 * 60 * 60).map(lambda second: MONDAY + timedelta(seconds=second))
events = st.builds(
    Event,
    occurred_at=moments,
    action=st.sampled_from(["data.read", "data.write", "secret.read", "message.send"]),
    count=st.integers(1, 50),
    resource_kind=st.just("table"),
    resource=st.sampled_from(["", "a", "b", "c"]),
    system=st.sampled_from(["", "one", "two"]),
    session=st.sampled_from(["s", "t"]),
)
histories = st.lists(events, min_size=1, max_size=60)


def learned(history: list[Event], into: Baseline | None = None, walked: dict[str, Trail] | None = None) -> Baseline:
    """As the rows do it: in order of time, each after the step before it in its session."""
    baseline, walked = into or Baseline(), walked if walked is not None else {}
    for event in usual.in_order(history):
        trail = walked.setdefault(event.session, Trail())
        usual.learn(baseline, event, trails.before(trail, event), in_order=trails.is_on_time(trail, event))
        trails.add(trail, event, usual.step_of(event))
    return baseline


def work(days: int, per_day: int, *, every: timedelta = MINUTE, **what: Any) -> list[Event]:
    """The same work on so many days, the last one the day before NOW."""
    nine = NOW.replace(hour=9, minute=0, second=0, microsecond=0)
    made: dict[str, Any] = {
        "action": "data.read",
        "resource_kind": "table",
        "resource": "sales.orders",
        "system": "sales-db",
        "session": "s",
    }
    return [
        Event(occurred_at=nine - timedelta(days=days - day) + number * every, **made | what)
        for day in range(days)
        for number in range(per_day)
    ]


def said_of(event: Event, baseline: Baseline, *, after: StepFacts | None = None) -> BaselineFacts:
    return usual.facts_of(baseline, event, after)


def codes(facts: Facts) -> set[str]:
    return {signal.code for signal in fired(facts, SHIPPED) if signal.ours}


# -- properties --------------------------------------------------------------------------------------------------------------------------


@MODEST
@given(histories, st.randoms(use_true_random=False))
def test_the_order_in_which_a_batch_is_told_does_not_matter(history, random):
    told = [replace(event, occurred_at=MONDAY + place * MINUTE) for place, event in enumerate(history)]  # no two at the same moment
    shuffled = list(told)
    random.shuffle(shuffled)
    one, other = learned(told), learned(shuffled)
    assert one.gained == other.gained
    assert usual.written(one) == usual.written(other)


@MODEST
@given(histories, histories)
def test_what_was_used_and_when_does_not_depend_on_the_order_of_batches(first, second):
    def sets(baseline: Baseline) -> dict[Habit, Any]:
        return {habit: use for habit, use in baseline.gained.items() if habit.about in (usual.RESOURCE, usual.ACTION)}

    one, other = learned(second, learned(first)), learned(first, learned(second))
    assert sets(one) == sets(other)
    assert (one.events, one.days, one.oldest_at, one.newest_at) == (other.events, other.days, other.oldest_at, other.newest_at)


@MODEST
@given(histories)
def test_a_baseline_is_read_as_it_was_written(history):
    baseline = learned(history)
    stored = json.loads(json.dumps(usual.written(baseline)))
    columns = {"events": baseline.events, "newest_at": baseline.newest_at, "oldest_at": baseline.oldest_at}
    assert usual.written(usual.restored(stored, **columns)) == usual.written(baseline)


@MODEST
@given(histories)
def test_a_trail_is_read_as_it_was_written(history):
    trail = Trail()
    for event in usual.in_order(history):
        trails.add(trail, event, usual.step_of(event))
    stored = json.loads(json.dumps(trails.written(trail)))
    assert trails.restored(stored, newest_at=trail.newest_at, loose=False, now=NOW + 60 * DAY) == trail


@MODEST
@given(histories, st.integers(21, 31))
def test_no_signal_fires_for_an_identity_that_repeats_exactly_what_it_did(history, days):
    """Three weeks of work again and again, within a month each: nothing of the behaviour family fires, but for chains that the policy
    names. A volume that came once has to come a second time before it is usual."""
    walked: dict[str, Trail] = {}
    baseline = learned(history, walked=walked)
    unnamed = replace(SHIPPED, chains=())
    for months, event in ((months, event) for months in (1, 2) for event in usual.in_order(history)):
        again = replace(event, occurred_at=event.occurred_at + months * days * DAY, session=f"{event.session} again {months}")
        trail = walked.setdefault(again.session, Trail())
        before = trails.before(trail, again)
        resource = ResourceFacts(id=again.resource, kind="table", system=again.system) if again.resource else None
        facts = sample(
            detection=None,
            action=ActionFacts(name=again.action, count=again.count),
            resource=resource,
            baseline=usual.facts_of(baseline, again, before),
            trail=trails.steps(trail, again),
        )
        found = {signal.code for signal in fired(facts, unnamed) if signal.ours and signal.family == "behaviour"}
        assert not found - ({"volume"} if months == 1 else set()), found
        usual.learn(baseline, again, before)
        trails.add(trail, again, usual.step_of(again))


@MODEST
@given(st.integers(1, 400), st.integers(1, 90))
def test_what_a_baseline_keeps_besides_its_habits_stays_small_however_long_the_history(per_day, days):
    baseline = Baseline()
    for event in work(days, min(per_day, 40), every=HOUR / 10):
        usual.learn(baseline, event, None)
    assert len(json.dumps(usual.written(baseline))) < 4_000
    assert len(baseline.days) <= usual.MOST_DAYS


def test_a_trail_stays_small_and_still_knows_the_ends_of_a_chain():
    trail = Trail()
    first = Event(occurred_at=MONDAY, action="secret.read", resource="vault.key")
    trails.add(trail, first, usual.step_of(first))
    for number in range(5_000):
        event = Event(occurred_at=MONDAY + number * MINUTE, action=f"other.{number % 900}", resource=f"r{number}")
        trails.add(trail, event, usual.step_of(event))
    assert len(json.dumps(trails.written(trail))) < 30_000
    end = Event(occurred_at=MONDAY + 6_000 * MINUTE, action="message.send")
    assert any(step.action == "secret.read" for step in trails.steps(trail, end, named=["secret.read"]))


def test_a_full_baseline_lets_a_tenth_go_at_once():
    baseline = Baseline()
    for number in range(usual.MOST[usual.RESOURCE] + 1):
        usual.learn(baseline, Event(occurred_at=MONDAY, action="data.read", resource_kind="t", resource=str(number)), None)
    gone = usual.let_go(baseline)
    assert gone == {usual.RESOURCE: 501}
    assert baseline.kept[usual.RESOURCE] == 4_500
    assert not usual.let_go(baseline)


# -- late, thin, whose -------------------------------------------------------------------------------------------------------------------


def test_a_late_event_says_nothing_about_pairs_moves_or_the_windows_that_are_over():
    baseline, trail = learned(work(5, 30)), Trail()
    newest = work(5, 30)[-1]
    trails.add(trail, newest, usual.step_of(newest))
    late = replace(newest, occurred_at=newest.occurred_at - DAY, system="elsewhere", action="data.export")
    assert trails.before(trail, late) is None
    said = said_of(late, baseline, after=trails.before(trail, late))
    assert (said.pair_known, said.systems_joined) == (None, None)
    assert not said.rates


def test_the_baseline_of_a_workflow_counts_once_it_knows_thirty_events():
    own = learned(work(20, 30))
    thin, enough = learned(work(1, 29)), learned(work(1, 30))
    assert usual.chosen(thin, own, enough=SHIPPED.thinning) is own
    assert usual.chosen(enough, own, enough=SHIPPED.thinning) is enough
    assert usual.chosen(thin, None, enough=SHIPPED.thinning) is thin
    assert usual.chosen(None, None, enough=SHIPPED.thinning) is None


def test_steps_outside_any_session_belong_together_for_an_hour():
    trail = Trail(loose=True)
    first = Event(occurred_at=MONDAY, action="secret.read")
    trails.add(trail, first, usual.step_of(first))
    soon, later = (Event(occurred_at=MONDAY + after, action="message.send") for after in (HOUR, HOUR + MINUTE))
    assert trails.steps(trail, soon, named=["secret.read"])
    assert not trails.steps(trail, later, named=["secret.read"])
    assert trails.before(trail, later) is None


# -- the band ----------------------------------------------------------------------------------------------------------------------------


def test_a_burst_shows_its_band_and_grows_with_how_far_it_lies_outside():
    """Ten a minute for half an hour on twenty days; then so many in one minute."""
    baseline = learned([replace(event, count=10) for event in work(20, 30)])

    def volume_of(count: int) -> Fired | None:
        said = said_of(Event(occurred_at=NOW, action="data.read", count=count), baseline)
        found = fired(sample(detection=None, action=ActionFacts(name="data.read"), baseline=said), SHIPPED)
        return next((one for one in found if one.code == "volume"), None)

    assert volume_of(15) is None
    small, large = volume_of(31), volume_of(500)
    assert small is not None
    assert large is not None
    assert 0.25 < small.strength < large.strength == 1.0
    assert large.evidence == {"sort": "burst", "window": "minute", "count": 500.0, "usual": 10.0, "upper": 15.0, "baseline": "identity"}
    assert large.observations == 599 + 1
    assert large.because == "500 in this minute; usually 10, at most 15 (from 600 such minutes on 20 days)."


def test_a_burst_does_not_make_the_next_one_usual_before_it_came_on_two_days():
    baseline = learned(work(days=20, per_day=30))
    minute = work(days=1, per_day=1)[0].occurred_at + DAY

    def burst(after: timedelta) -> Any:
        event = replace(work(days=1, per_day=1)[0], occurred_at=minute + after, count=100)
        found = next(rate for rate in said_of(event, baseline).rates if rate.window == "minute")
        usual.learn(baseline, event, None)
        return found

    first, next_minute, next_day, third_day = burst(0 * DAY), burst(MINUTE), burst(DAY), burst(2 * DAY)
    assert first.count > 10 * first.upper
    assert next_minute.count > 10 * next_minute.upper
    assert next_day.count > 5 * next_day.upper
    assert third_day.count <= third_day.upper


def test_a_drift_shows_in_the_day_where_no_minute_is_unusual():
    baseline = learned(work(40, 60))
    today = [replace(event, occurred_at=event.occurred_at + DAY) for event in work(1, 600)]
    for event in today[:-1]:
        usual.learn(baseline, event, None)
    said = said_of(today[-1], baseline)
    over = {rate.window for rate in said.rates if rate.count > rate.upper}
    assert over == {"day"}


# -- the twins of the shipped defaults, with baselines that were learned -------------------------------------------------------------------


def full(events: int = 6_000, days: int = 20) -> Baseline:
    return learned(work(days, events // days))


def etl_at_night(baseline: Baseline) -> Facts:
    """A first access to a table of high sensitivity, five hundred reads at once."""
    before = StepFacts(action="data.read", system="sales-db", resource="sales.orders")
    event = Event(occurred_at=NOW, action="data.read", count=500, resource_kind="table", resource="sales.forecast", system="sales-db")
    return sample(
        detection=None,
        identity=ETL,
        action=ActionFacts(name="data.read", count=500),
        resource=ResourceFacts(id="sales.forecast", kind="table", sensitivity=Sensitivity.HIGH, system="sales-db"),
        baseline=usual.facts_of(baseline, event, before),
        trail=(before,),
    )


def test_twin_first_access_and_volume_of_an_etl_reader_stay_watch():
    """Section 13 says −5.0 and 11.3 for endless history. With 6,000 events on 20 days: 8 × 6000/6030 + ½ · 8 × 6000/6030 − 17."""
    judgement = judged(etl_at_night(full()))
    fall = judgement.waterfall
    assert {signal.code: signal.observations for signal in fall.signals} == {"first_access": 6_000, "volume": 6_000}
    assert fall.odds == pytest.approx(-17 + 12 * 6000 / 6030)
    assert (fall.risk, judgement.verdict) == (11.2, Verdict.WATCH)
    assert not any(signal.thin for signal in fall.signals)


def on_call(baseline: Baseline) -> Facts:
    """A person on call: an admin API never used, after something never followed by it, in another system, rather fast."""
    before = StepFacts(action="data.read", system="tickets")
    event = Event(occurred_at=NOW, action="admin.call", count=12, resource_kind="cluster", resource="prod", system="cluster")
    said = usual.facts_of(baseline, event, before)
    return sample(
        detection=None,
        identity=IdentityFacts(id="i-ana", kind=Kind.HUMAN, provider="idp", subject="ana", workflows=("on-call",)),
        action=ActionFacts(name="admin.call", count=12),
        resource=ResourceFacts(id="prod", kind="cluster", sensitivity=Sensitivity.CRITICAL, admin_api=True, system="cluster"),
        credential=None,
        session="s-ana",
        sessions=(SessionFacts(id="s-ana", identity="i-ana", workflow="on-call", drive=Drive.HUMAN),),
        workflows=(WorkflowFacts(name="on-call", scope=(ScopeRule(action="*"),)),),
        roles=(),
        baseline=said,
        trail=(before,),
    )


def test_twin_a_person_on_call_with_four_behaviour_signals_on_critical_stays_watch():
    """Section 13 says −3.0 and 27.5 for endless history and half a volume. 6,000 events on 20 days, 12 in a minute where 6 are the most."""
    baseline = full()
    judgement = judged(on_call(baseline))
    fall = judgement.waterfall
    found = {signal.code: (signal.strength, signal.observations) for signal in fall.signals}
    assert found == {"tool_chain": (1.0, 5_999), "first_access": (1.0, 6_000), "cross_system": (1.0, 5_999), "volume": (0.5, 6_000)}
    assert fall.odds == pytest.approx(-20 + 10 * 5999 / 6029 + (4 + 1) * 6000 / 6030 + 2 * 5999 / 6029, abs=1e-6)
    assert (fall.risk, judgement.verdict) == (27.2, Verdict.WATCH)


# -- too little history --------------------------------------------------------------------------------------------------------------------


def leaving_intent(baseline: Baseline) -> Facts:
    """An agent mails from another system after something it never mailed after: alone enough, if the history bears it."""
    before = StepFacts(action="data.read", system="invoices-db")
    event = Event(occurred_at=NOW, action="message.send", count=400, resource_kind="mail", resource="mail:out", system="mail")
    return agent(
        action=ActionFacts(name="message.send", count=400),
        resource=ResourceFacts(id="mail:out", kind="mail", sensitivity=Sensitivity.CRITICAL, system="mail"),
        baseline=usual.facts_of(baseline, event, before),
        trail=(before,),
        identity=replace(agent().identity, reach=Reach.ESTATE),
    )


@pytest.mark.parametrize(
    ("events", "days", "thin"),
    [(210, 7, False), (199, 7, True), (210, 6, True)],
)
def test_the_same_signals_contain_on_full_knowledge_and_ask_on_less(events, days, thin):
    """Sentence 6: without what rests on under 200 events or 7 days, the risk is under soft."""
    per_day = -(-events // days)
    history = work(days, per_day)[:events]
    facts = leaving_intent(learned(history))
    assert facts.baseline is not None
    known = replace(facts.baseline, rates=())
    facts = replace(facts, baseline=known)
    assert codes(facts) == {"tool_chain", "first_access", "cross_system"}
    policy = replace(SHIPPED, weights=dict(SHIPPED.weights) | {"tool_chain": 16.0, "first_access": 16.0})
    judgement = judged(facts, policy)
    assert (known.events, known.days) == (events, days)
    assert judgement.waterfall.risk >= judgement.waterfall.thresholds.soft
    if thin:
        assert (judgement.verdict, judgement.choice.sentence, judgement.choice.hold_reason) == (Verdict.HOLD, 6, HoldReason.THIN)
    else:
        assert judgement.verdict is Verdict.CONTAIN
        assert judgement.choice.sentence in (8, 9)


def test_a_chain_that_the_policy_names_needs_no_history():
    trail = (StepFacts(action="secret.read", resource="vault.key"), StepFacts(action="data.read"))
    facts = agent(action=ActionFacts(name="message.send"), resource=ResourceFacts(id="mail:out"), trail=trail)
    (chain,) = [signal for signal in fired(facts, SHIPPED) if signal.code == "tool_chain"]
    assert (chain.strength, chain.observations, chain.evidence["named"]) == (1.0, None, True)
    assert "secret.read on vault.key, then message.send on mail:out" in chain.because
    assert "tool_chain" not in codes(replace(facts, trail=trail[1:]))


def test_days_are_lived_and_not_told():
    """Nine days told on one are one; a feed that rests over a weekend loses none; what comes later than that has no day of its own."""
    told_at_once = Baseline()
    for event in work(9, 3):
        usual.learn(told_at_once, event, None, received_at=NOW)
    assert len(told_at_once.days) == 1
    daily, rested, too_late = Baseline(), Baseline(), Baseline()
    for event in work(9, 3):
        usual.learn(daily, event, None, received_at=event.occurred_at + HOUR)
    assert (len(daily.days), len(daily.windows["hour"].days)) == (9, 8)  # the last hour still runs
    for baseline, late in ((rested, 3), (too_late, 4)):
        first, *others = work(6, 1)
        usual.learn(baseline, first, None, received_at=first.occurred_at)
        for event in others:
            usual.learn(baseline, event, None, received_at=event.occurred_at + late * DAY)
    assert (len(rested.days), len(too_late.days)) == (6, 1)


def test_a_band_of_which_a_long_silence_left_nothing_begins_anew():
    baseline = learned(work(20, 30))
    for window in baseline.windows.values():
        window.weight = window.total = window.squares = 0.0  # as it is written after a year
    later = replace(work(1, 1)[0], occurred_at=NOW + 400 * DAY)
    assert usual.facts_of(baseline, later, None).rates
