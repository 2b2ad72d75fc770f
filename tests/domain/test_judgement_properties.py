"""What is true of every judgement, whatever the facts: drawn from a world of strangers, sharers, grants, runs and ceilings."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from containment.domain.decide import SENTENCES, Choice, Question, Verdict
from containment.domain.facts import (
    ActionFacts,
    Ceiling,
    CoolOffFacts,
    CredentialFacts,
    CredentialUser,
    DetectionFacts,
    Drive,
    Facts,
    Finding,
    GrantFacts,
    HistoryFacts,
    IdentityFacts,
    Kind,
    Reach,
    ResourceFacts,
    RunFacts,
    Sensitivity,
    SessionFacts,
    Severity,
    SourceFacts,
    Stage,
)
from containment.domain.families import FAMILIES, SOURCE_CLAIM
from containment.domain.judge import judge
from containment.domain.policy import Mode
from containment.domain.replay import restore
from core import digest
from tests.domain.facts_of import (
    DAY,
    INGEST,
    INSIDE,
    MINUTE,
    NETWORKS,
    NIGHTLY,
    NOW,
    OUTSIDE,
    PAYMENTS_DESIGNATION,
    PAYMENTS_WORKFLOW,
    SHIPPED,
)
from tests.examples import some

CODES = sorted(set(FAMILIES) - {SOURCE_CLAIM})
MODEST = settings(max_examples=some(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

moments = st.integers(-3000, 3000).map(lambda minutes: NOW + minutes * MINUTE)
maybe = st.booleans()
addresses = st.sampled_from(["", INSIDE, OUTSIDE, "nonsense"])
workflow_names = st.sampled_from(["", "ingest", "payments", "unheard-of"])
findings = st.builds(
    Finding,
    code=st.sampled_from(CODES),
    strength=st.floats(0, 1),
    because=st.just("seen"),
    observations=st.none() | st.integers(0, 500),
)
sources = st.builds(SourceFacts, name=st.just("edr"), bound=maybe, trust=st.none() | st.floats(0, 1), ceiling=st.sampled_from(Ceiling))
detections = st.builds(
    DetectionFacts,
    id=st.just("d"),
    source=sources,
    occurred_at=moments,
    severity=st.sampled_from(Severity),
    confidence=st.floats(0, 1),
    claims=st.lists(st.sampled_from([*CODES, "made_up"]), max_size=4).map(tuple),
    claimed_workflow=workflow_names,
    source_ip=addresses,
)
identities = st.builds(
    IdentityFacts,
    id=st.just("i"),
    kind=st.sampled_from(Kind),
    provider=st.just("postgres"),
    subject=st.just("someone"),
    environment=st.sampled_from(["", "prod"]),
    reach=st.none() | st.sampled_from(Reach),
    has_owner=maybe,
    protected=maybe,
    discovered=maybe,
    first_seen_at=st.none() | moments,
    last_active_at=st.none() | st.just(NOW - 100 * DAY),
    known_networks=st.sampled_from([(), NETWORKS]),
    workflows=st.sampled_from([(), ("ingest",), ("ingest", "payments")]),
)
sessions = st.builds(
    SessionFacts,
    id=st.sampled_from(["s-1", "s-2", "s-3"]),
    identity=st.sampled_from(["i", "i", "other"]),
    credential=st.sampled_from(["", "c"]),
    role=st.sampled_from(["", "nightly-ingest"]),
    workflow=workflow_names,
    drive=st.none() | st.sampled_from(Drive),
    origin=addresses,
    expires_at=st.none() | moments,
    discovered=maybe,
    designation=st.none() | st.just(PAYMENTS_DESIGNATION),
    cut_by=st.frozensets(st.sampled_from(Stage)),
)
credentials = st.builds(
    CredentialFacts,
    id=st.just("c"),
    protected=maybe,
    honeytoken=maybe,
    expires_at=st.none() | moments,
    exposed_at=st.none() | moments,
    fingerprint_verified=maybe,
    rotated_at=st.none() | moments,
    users=st.lists(st.builds(CredentialUser, identity=st.sampled_from(["i", "other"]), workflow=workflow_names), max_size=3).map(tuple),
)
grants = st.builds(
    GrantFacts,
    id=st.just("g"),
    starts_at=st.just(NOW - DAY),
    ends_at=moments,
    identity=st.sampled_from(["", "i", "other"]),
    signals=st.frozensets(st.sampled_from(CODES), max_size=6),
    times_left=st.none() | st.integers(0, 2),
    risk_left=st.none() | st.floats(0, 100),
)
histories = st.builds(
    HistoryFacts,
    cool_off=st.none() | st.builds(CoolOffFacts, at=moments, codes=st.frozensets(st.sampled_from(CODES)), generation=st.integers(0, 1)),
    privilege_steps=st.integers(0, 9),
)
worlds = st.builds(
    Facts,
    now=st.just(NOW),
    identity=identities,
    detection=st.none() | detections,
    action=st.none() | st.builds(ActionFacts, name=st.sampled_from(["secret.read", "token.mint", "privilege.change", "data.read", "x.y"])),
    resource=st.none()
    | st.builds(ResourceFacts, id=st.just("vault.x"), sensitivity=st.none() | st.sampled_from(Sensitivity), honeytoken=maybe),
    credential=st.none() | credentials,
    session=st.sampled_from(["", "s-1", "unheard-of"]),
    sessions=st.lists(sessions, max_size=3, unique_by=lambda session: session.id).map(tuple),
    workflows=st.sampled_from([(), (INGEST,), (INGEST, PAYMENTS_WORKFLOW)]),
    roles=st.sampled_from([(), (NIGHTLY,)]),
    grants=st.lists(grants, max_size=1).map(tuple),
    run=st.none() | st.builds(RunFacts, id=st.just("r"), stage=st.sampled_from(Stage), waiting=maybe),
    history=histories,
    observed=st.lists(findings, max_size=4).map(tuple),
    budget_left=st.integers(0, 2),
    generation=st.integers(0, 2),
)
OBSERVING = SHIPPED.in_mode(Mode.OBSERVE)
ACTS = {Verdict.WATCH: 0, Verdict.COVERED: 0, Verdict.EXEMPT: 0, Verdict.HOLD: 1, Verdict.CONTAIN: 2}


def acts_by_itself(choice: Choice) -> bool:
    return choice.spends or choice.raises


@MODEST
@given(worlds)
def test_the_same_facts_have_the_same_digest_also_after_storage(facts):
    judgement = judge(facts, SHIPPED)
    stored = json.loads(digest.canonical(facts))
    assert judge(restore(stored), SHIPPED) == judgement
    assert judge(facts, SHIPPED).digest == judgement.digest


@MODEST
@given(worlds)
def test_other_facts_have_another_digest(facts):
    later = replace(facts, now=facts.now + timedelta(microseconds=1))
    assert judge(facts, SHIPPED).digest != judge(later, SHIPPED).digest


@MODEST
@given(worlds, findings)
def test_more_evidence_never_lowers_the_risk(facts, more):
    assume(more.strength > 0)  # a finding of strength 0 is evidence of the contrary
    before, after = judge(facts, SHIPPED), judge(replace(facts, observed=(*facts.observed, more)), SHIPPED)
    assert after.risk >= before.risk


@MODEST
@given(worlds, st.floats(0, 1))
def test_a_surer_detection_never_lowers_the_risk(facts, confidence):
    assume(facts.detection is not None and facts.detection.confidence <= confidence)
    surer = replace(facts, detection=replace(facts.detection, confidence=confidence))
    assert judge(surer, SHIPPED).risk >= judge(facts, SHIPPED).risk


@MODEST
@given(worlds)
def test_the_risk_lies_between_0_and_100_and_no_deciban_of_a_signal_is_negative(facts):
    waterfall = judge(facts, SHIPPED).waterfall
    assert 0 <= waterfall.risk <= 100
    assert -30 <= waterfall.odds <= 30
    assert all(signal.decibans >= 0 for signal in waterfall.signals)
    assert waterfall.risk_without_thin <= waterfall.risk


@MODEST
@given(worlds)
def test_the_first_true_sentence_wins(facts):
    judgement = judge(facts, SHIPPED)
    question = Question(facts=facts, policy=SHIPPED, waterfall=judgement.waterfall, conclusive=judgement.conclusive)
    true = [number for number, sentence in enumerate(SENTENCES) if sentence(question) is not None]
    assert judgement.choice.sentence == true[0]


@MODEST
@given(worlds)
def test_what_is_protected_is_never_contained_by_itself(facts):
    assume(facts.identity.protected or (facts.credential is not None and facts.credential.protected))
    choice = judge(facts, SHIPPED).choice
    assert choice.verdict is not Verdict.CONTAIN
    assert not acts_by_itself(choice)


@MODEST
@given(worlds)
def test_without_budget_nothing_is_contained_by_itself(facts):
    choice = judge(replace(facts, budget_left=0), SHIPPED).choice
    assert choice.verdict is not Verdict.CONTAIN
    assert not choice.spends
    assert not choice.raises


@MODEST
@given(worlds)
def test_observing_does_holds_and_spends_nothing(facts):
    choice = judge(facts, OBSERVING).choice
    assert choice.verdict in (Verdict.WATCH, Verdict.COVERED)
    assert not acts_by_itself(choice)


@MODEST
@given(worlds, st.sampled_from([Ceiling.WATCH, Ceiling.HOLD]))
def test_a_ceiling_never_raises_and_nothing_under_it_acts_by_itself(facts, top):
    assume(facts.detection is not None)
    free, capped = (
        judge(replace(facts, detection=replace(facts.detection, source=replace(facts.detection.source, ceiling=ceiling))), SHIPPED).choice
        for ceiling in (Ceiling.CONTAIN, top)
    )
    assert ACTS[capped.verdict] <= min(ACTS[free.verdict], {Ceiling.WATCH: 0, Ceiling.HOLD: 1}[top])
    assert not acts_by_itself(capped)


@MODEST
@given(worlds)
def test_a_hold_knows_its_stage_its_reason_and_its_time(facts):
    choice = judge(facts, SHIPPED).choice
    assume(choice.verdict is Verdict.HOLD)
    assert choice.stage is not None
    assert choice.hold_reason is not None
    assert choice.patience is not None
    assert choice.patience > timedelta(0)


@MODEST
@given(worlds)
def test_who_is_held_is_not_cut_at_once_and_nobody_elses_session_is(facts):
    choice = judge(facts, SHIPPED).choice
    own = {session.id for session in facts.own_sessions}
    assert set(choice.at_once) <= own - {one.session for one in choice.bystanders}


@MODEST
@given(worlds)
def test_what_a_session_says_of_itself_never_lowers_the_verdict(facts):
    """The same sessions, once as strangers who say all that they say, once as strangers who say nothing."""
    talking = tuple(replace(session, discovered=True, designation=None) for session in facts.sessions)
    silent = tuple(replace(session, workflow="", role="") for session in talking)
    told, untold = (judge(replace(facts, sessions=sessions, credential=None), SHIPPED) for sessions in (talking, silent))
    assert told.risk >= untold.risk
