"""Each shipped signal, and beside it a benign twin that stays watch without it; and how claims count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from containment.domain.decide import Verdict
from containment.domain.facts import (
    ActionFacts,
    ArgumentFacts,
    BaselineFacts,
    BudgetRule,
    CallFacts,
    CredentialFacts,
    CredentialUser,
    Drive,
    Facts,
    Finding,
    HistoryFacts,
    IdentityFacts,
    IntentFacts,
    Kind,
    RateFacts,
    ResourceFacts,
    RoleFacts,
    ScopeRule,
    Sensitivity,
    SourceFacts,
    StepFacts,
    ToolRule,
    WorkloadClaim,
    WorkloadFacts,
    lies_inside,
)
from containment.domain.signals import POLICY_SIGNALS, SIGNALS, Standing, fired
from containment.domain.signals.session_ttl import session_ttl
from tests.domain.facts_of import (
    CARD_TOKENS,
    DAY,
    EDR,
    ETL,
    ETL_CREDENTIAL,
    ETL_SESSION,
    HOUR,
    INGEST,
    INSIDE,
    LEAKED,
    MINUTE,
    NETWORKS,
    NIGHTLY,
    NOW,
    OUTSIDE,
    SHIPPED,
    detection,
    judged,
    sample,
)

ORDERS = ResourceFacts(id="sales.orders", sensitivity=Sensitivity.MODERATE)
READ = ActionFacts(name="data.read")
MINT = ActionFacts(name="token.mint")
GRANT_RIGHT = ActionFacts(name="privilege.change")
MAY_ALL = replace(INGEST, scope=(ScopeRule(action="*"),))
KNOWN_WORKLOAD = WorkloadFacts(issuer="https://issuer", attestations=("verified",), images=("etl@sha256:aa*",))


def everyday(**changes: Any) -> Facts:
    """The ETL reader at its work, with a detector that saw something, claims nothing, and has the address inside."""
    world: dict[str, Any] = {"detection": detection(claims=(), source_ip=INSIDE), "action": READ, "resource": ORDERS}
    return sample(**world | changes)


def said(**changes: Any) -> Facts:
    return everyday(detection=detection(claims=(), source_ip=INSIDE, **changes))


def session(**changes: Any) -> Facts:
    return everyday(sessions=(replace(ETL_SESSION, **changes),))


KNOWS = BaselineFacts(
    events=5000,
    days=30,
    resource_known=True,
    rates=(RateFacts(window="minute", count=11, usual=9, upper=14, observations=4000, days=30),),
    pair_known=True,
    pairs=4000,
    pair_days=30,
    systems_joined=True,
    moves=4000,
    move_days=30,
)
BURST = replace(KNOWS.rates[0], count=140)
ELSEWHERE = replace(ORDERS, system="warehouse")


def habit(**changes: Any) -> Facts:
    """Everyday work beside a long baseline, of which the test changes what it is about."""
    world = {"baseline": KNOWS, "trail": (StepFacts(action="data.read", system="sales-db"),)}
    return everyday(**world | changes)


# signal: what makes it fire · its benign twin
TWINS = {
    "unexpected_secret_read": (
        everyday(action=ActionFacts(name="secret.read"), resource=CARD_TOKENS),
        everyday(action=ActionFacts(name="secret.read"), resource=replace(CARD_TOKENS, id="vault.ingest_key")),
    ),
    "token_mint": (everyday(action=MINT), everyday(action=MINT, workflows=(MAY_ALL,))),
    "privilege_change": (everyday(action=GRANT_RIGHT), everyday(action=GRANT_RIGHT, workflows=(MAY_ALL,))),
    "role_confusion": (everyday(roles=(replace(NIGHTLY, workflows=frozenset({"month-end"})),)), everyday()),
    "identity_violation": (said(workload=WorkloadClaim(issuer="https://elsewhere")), said(workload=WorkloadClaim(issuer="https://issuer"))),
    "drive_mismatch": (
        session(drive=Drive.HUMAN),
        replace(session(drive=Drive.HUMAN), workflows=(replace(INGEST, drives=frozenset({Drive.SCRIPT, Drive.HUMAN})),)),
    ),
    "credential_exposed": (everyday(credential=LEAKED), everyday(credential=replace(LEAKED, rotated_at=NOW - MINUTE))),
    "credential_shared": (
        everyday(credential=replace(ETL_CREDENTIAL, users=(*ETL_CREDENTIAL.users, CredentialUser(identity="i-etl", workflow="month-end")))),
        everyday(sessions=(ETL_SESSION, replace(ETL_SESSION, id="s-78"))),
    ),
    "session_ttl": (session(expires_at=NOW - HOUR), session(expires_at=NOW + HOUR)),
    "honeytoken": (everyday(credential=replace(ETL_CREDENTIAL, honeytoken=True)), everyday()),
    "first_access": (
        habit(resource=replace(ORDERS, sensitivity=Sensitivity.HIGH), baseline=replace(KNOWS, resource_known=False)),
        habit(resource=replace(ORDERS, sensitivity=Sensitivity.HIGH)),
    ),
    "volume": (habit(baseline=replace(KNOWS, rates=(BURST,))), habit()),
    "tool_chain": (
        habit(action=ActionFacts(name="data.export"), baseline=replace(KNOWS, pair_known=False)),
        habit(baseline=replace(KNOWS, pair_known=False)),  # reading after reading: neither is of consequence
    ),
    "cross_system": (
        habit(resource=ELSEWHERE, baseline=replace(KNOWS, systems_joined=False)),
        habit(
            resource=ELSEWHERE,
            baseline=replace(KNOWS, systems_joined=False),
            workflows=(replace(INGEST, joins=(("warehouse", "sales-db"),)),),
        ),
    ),
}
MAIL = ToolRule(name="mail.send", writes=True)
INTENT = IntentFacts(
    has_task=True, tools=(MAIL,), resources=("sales.*",), environments=("prod",), budgets=(BudgetRule(what="writes", per="hour", most=10),)
)
CALL = CallFacts(tool="mail.send", writes=True, arguments=(ArgumentFacts(name="to", value="ines@acme.test", kind="address", in_task=True),))


def calling(**changes: Any) -> Facts:
    """The declared call of an approved tool, of which the test changes what it is about."""
    intent = replace(INTENT, **{name: changes.pop(name) for name in ("tools", "budgets") if name in changes})
    return everyday(call=replace(CALL, **changes), intent=intent)


TWINS |= {
    "intent_tool": (calling(tool="mail.forward"), calling()),
    "intent_resource": (everyday(call=CALL, intent=replace(INTENT, resources=("crm.*",))), calling()),
    "intent_budget": (calling(budgets=(replace(INTENT.budgets[0], used=10),)), calling(budgets=(replace(INTENT.budgets[0], used=9),))),
    "intent_environment": (calling(environment="staging"), calling(environment="prod")),
}
TWINS["identity_violation"] = (
    replace(TWINS["identity_violation"][0], identity=replace(ETL, workload=KNOWN_WORKLOAD)),
    replace(TWINS["identity_violation"][1], identity=replace(ETL, workload=KNOWN_WORKLOAD)),
)


def fires(facts: Facts) -> set[str]:
    return {signal.code for signal in fired(facts, SHIPPED) if signal.strength > 0} - {"source_claim"}


def standing(facts: Facts, code: str) -> tuple[Standing, float]:
    signal = next(signal for signal in fired(facts, SHIPPED) if signal.code == code)
    return signal.standing, round(signal.strength, 4)


def test_every_signal_has_a_twin():
    assert set(TWINS) == set(SIGNALS) | set(POLICY_SIGNALS)


@pytest.mark.parametrize("code", TWINS)
def test_a_signal_fires_alone_on_what_it_is_for(code):
    assert fires(TWINS[code][0]) == {code}


@pytest.mark.parametrize("code", TWINS)
def test_its_benign_twin_stays_watch_without_it(code):
    twin = judged(TWINS[code][1])
    assert code not in {signal.code for signal in twin.waterfall.signals}
    assert twin.verdict is Verdict.WATCH


@pytest.mark.parametrize("code", TWINS)
def test_a_signal_raises_the_risk_over_that_of_its_twin(code):
    suspicious, benign = (judged(facts).waterfall.odds for facts in TWINS[code])
    assert suspicious > benign


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (sample(), (Standing.CONFIRMED, 1.0)),
        (sample(workflows=(MAY_ALL,)), (Standing.CONTRADICTED, 0.0)),
        (sample(workflows=()), (Standing.CLAIMED, 0.81)),
        (sample(workflows=(), detection=detection(source=SourceFacts(name="loose", bound=False))), (Standing.CLAIMED, 0.45)),
        (sample(workflows=(), detection=detection(source=replace(EDR, trust=0.2))), (Standing.CLAIMED, 0.18)),
    ],
    ids=["confirmed", "contradicted", "cannot tell", "cannot tell, unbound source", "cannot tell, little trust"],
)
def test_a_claim_counts_as_far_as_our_facts_and_its_source_bear_it(facts, expected):
    assert standing(facts, "unexpected_secret_read") == expected


def test_a_claim_that_our_facts_contradict_is_shown_as_dismissed():
    waterfall = judged(sample(workflows=(MAY_ALL,))).waterfall
    assert [signal.code for signal in waterfall.dismissed] == ["unexpected_secret_read"]
    assert "unexpected_secret_read" not in {signal.code for signal in waterfall.signals}


def test_codes_that_nobody_knows_feed_only_the_source_claim():
    unknown = judged(everyday(detection=detection(claims=("made_up", "source_claim"), source_ip=INSIDE)))
    assert unknown.waterfall.odds == judged(everyday()).waterfall.odds


def test_a_claim_and_our_finding_of_the_same_thing_count_once_the_larger():
    unverified = replace(LEAKED, fingerprint_verified=False)
    own = standing(everyday(credential=unverified), "credential_exposed")
    both = standing(
        everyday(credential=unverified, detection=detection(claims=("credential_exposed",), source_ip=INSIDE)), "credential_exposed"
    )
    weaker = standing(
        everyday(credential=unverified, detection=detection(claims=("credential_exposed",), source_ip=INSIDE, confidence=0.1)),
        "credential_exposed",
    )
    assert (own, both, weaker) == ((Standing.OWN, 0.5), (Standing.CLAIMED, 0.81), (Standing.OWN, 0.5))


@pytest.mark.parametrize(
    "stranger",
    [
        replace(ETL_SESSION, discovered=True, workflow="ingest"),
        replace(ETL_SESSION, workflow="gone"),
    ],
    ids=["only its own word", "workflow not in force"],
)
def test_what_a_session_says_of_itself_excuses_nothing(stranger):
    facts = sample(sessions=(ETL_SESSION, stranger), session="", workflows=(MAY_ALL,))
    assert standing(facts, "unexpected_secret_read") == (Standing.CLAIMED, 0.81)


def test_what_every_vouched_session_may_not_do_is_confirmed_beside_a_stranger_too():
    stranger = replace(ETL_SESSION, id="s-x", discovered=True)
    assert standing(sample(sessions=(ETL_SESSION, stranger), session=""), "unexpected_secret_read") == (Standing.CONFIRMED, 1.0)


def test_an_unknown_session_is_judged_by_the_live_ones():
    assert standing(sample(session=""), "unexpected_secret_read") == (Standing.CONFIRMED, 1.0)


def test_without_live_sessions_the_approved_workflows_are_asked():
    assert standing(sample(session="", sessions=()), "unexpected_secret_read") == (Standing.CONFIRMED, 1.0)


@pytest.mark.parametrize(
    ("steps", "used", "strength"), [(1, False, 0.5), (2, False, 0.75), (1, True, 0.75), (2, True, 1.0), (40, True, 1.0)]
)
def test_a_privilege_change_grows_with_steps_and_with_use(steps, used, strength):
    action = ActionFacts(name="privilege.change", new_right_used=used)
    facts = everyday(action=action, history=HistoryFacts(privilege_steps=steps))
    assert standing(facts, "privilege_change") == (Standing.OWN, strength)


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        (WorkloadClaim(image="etl@sha256:aa01"), True),
        (WorkloadClaim(image="etl@sha256:bb01"), False),
        (WorkloadClaim(attestation="failed"), False),
        (WorkloadClaim(issuer="https://issuer", image="etl@sha256:bb01"), False),
    ],
)
def test_a_workload_is_compared_with_the_inventory(said, fits):
    facts = everyday(
        identity=replace(ETL, workload=KNOWN_WORKLOAD),
        detection=detection(claims=("identity_violation",), workload=said, source_ip=INSIDE),
    )
    expected = (Standing.CONTRADICTED, 0.0) if fits else (Standing.CONFIRMED, 1.0)
    assert standing(facts, "identity_violation") == expected


def test_an_address_says_nothing_where_no_network_is_known():
    assert "identity_violation" not in fires(everyday(identity=replace(ETL, known_networks=()), detection=detection(claims=())))


@pytest.mark.parametrize(
    ("address", "networks", "answer"),
    [
        (INSIDE, NETWORKS, True),
        (OUTSIDE, NETWORKS, False),
        (f"::ffff:{INSIDE}", NETWORKS, True),
        ("not an address", NETWORKS, None),
        (INSIDE, (), None),
        (INSIDE, ("nonsense",), None),
        ("2001:db8::1", ("2001:db8::/32", "10.0.0.0/8"), True),
    ],
)
def test_an_address_lies_inside_outside_or_nobody_can_tell(address, networks, answer):
    assert lies_inside(address, networks) is answer


def test_a_message_cannot_date_itself_beyond_the_life_of_a_session():
    future = detection(claims=(), source_ip=INSIDE, occurred_at=NOW + DAY)
    assert "session_ttl" not in fires(everyday(detection=future, sessions=(replace(ETL_SESSION, expires_at=NOW + HOUR),)))


def test_what_happened_in_time_and_is_reported_late_is_no_overstay():
    late = detection(claims=(), source_ip=INSIDE, occurred_at=NOW - 2 * HOUR)
    assert "session_ttl" not in fires(everyday(detection=late, sessions=(replace(ETL_SESSION, expires_at=NOW - HOUR),)))


def test_acting_without_the_sign_of_life_that_was_promised_is_half_a_reason():
    silent = replace(ETL_SESSION, sign_due_at=NOW - HOUR)
    finding = session_ttl(everyday(sessions=(silent,)))
    assert finding is not None
    assert (finding.strength, "promised a sign of life" in finding.because) == (0.5, True)
    assert "session_ttl" not in fires(everyday(sessions=(replace(silent, sign_due_at=NOW),)))


def test_a_credential_whose_maker_was_stopped_is_used_beyond_its_life():
    made = replace(ETL_CREDENTIAL, minter_stopped="the session b-1, which is paused")
    finding = session_ttl(everyday(credential=made))
    assert finding is not None
    assert (finding.strength, finding.evidence["stopped"]) == (1.0, "the session b-1, which is paused")


def test_a_planted_credential_that_nobody_used_is_no_alarm():
    assert "honeytoken" not in fires(everyday(action=None, credential=replace(ETL_CREDENTIAL, honeytoken=True)))


def test_a_role_used_for_something_it_is_not_for_is_confusion():
    reader = RoleFacts(name="nightly-ingest", scope=(ScopeRule(action="data.read", resource="sales.*"),))
    assert fires(everyday(roles=(reader,), action=ActionFacts(name="data.export"))) == {"role_confusion"}


def test_a_secret_read_outside_a_role_counts_once_and_not_as_confusion_too():
    reader = RoleFacts(name="nightly-ingest", scope=(ScopeRule(action="data.read", resource="sales.*"),))
    assert fires(everyday(roles=(reader,), action=ActionFacts(name="secret.read"), resource=CARD_TOKENS)) == {"unexpected_secret_read"}


def test_a_script_driving_a_persons_account_is_a_mismatch():
    person = IdentityFacts(id="i-etl", kind=Kind.HUMAN, provider="idp", subject="ana")
    assert "drive_mismatch" in fires(everyday(identity=person))
    assert {part.name for part in judged(everyday(identity=person)).waterfall.prior} == {"human", "unlike_drive"}


@pytest.mark.parametrize("code", ["made_up", "source_claim"])
def test_an_observed_finding_of_an_unknown_code_is_a_bug_and_not_a_signal(code):
    with pytest.raises(ValueError, match=code):
        fired(everyday(observed=(Finding(code=code, strength=1, because="?"),)), SHIPPED)


def test_a_leaked_credential_reported_and_unused_condemns_that_credential_only():
    judgement = judged(everyday(action=None, credential=LEAKED, sessions=(), session=""))
    assert [one.against for one in judgement.conclusive] == ["credential"]
    assert (judgement.verdict, judgement.stage, judgement.choice.credential_only) == (Verdict.CONTAIN, "hard", True)
    assert (judgement.cut.level, judgement.cut.names) == ("credential", ("c-etl",))


@pytest.mark.parametrize(
    "change",
    [
        {"detection": detection(claims=(), source_ip=INSIDE)},
        {"detection": detection(claims=(), occurred_at=NOW - 2 * HOUR)},
        {"session": "s-77"},
        {"sessions": (replace(ETL_SESSION, origin=OUTSIDE),)},
        {"identity": replace(ETL, known_networks=())},
    ],
    ids=["from a known network", "before it leaked", "in a known session", "from where a known session is", "no network known"],
)
def test_use_of_a_leaked_credential_condemns_the_identity_only_from_outside_and_after(change):
    world: dict[str, Any] = {"credential": LEAKED, "session": "", "detection": detection(claims=())}
    assert [one.against for one in judged(sample(**world | change)).conclusive] == ["credential"]


@pytest.mark.parametrize("code", ["honeytoken", "credential_exposed"])
def test_a_claim_alone_is_never_conclusive(code):
    loud = detection(claims=(code,), confidence=1.0, source=replace(EDR, trust=1.0))
    nothing_known = sample(detection=loud, credential=None)
    unverified = sample(detection=loud, credential=CredentialFacts(id="c", exposed_at=NOW - timedelta(hours=1)))
    assert judged(nothing_known).conclusive == judged(unverified).conclusive == ()
