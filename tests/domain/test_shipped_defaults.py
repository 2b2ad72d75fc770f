"""Every row of the table of cases that the shipped policy was computed from: facts in, and odds, risk and verdict to one decimal out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from containment.domain.decide import Verdict
from containment.domain.facts import (
    ActionFacts,
    CredentialFacts,
    Drive,
    Facts,
    Finding,
    IdentityFacts,
    Kind,
    Reach,
    ResourceFacts,
    ScopeRule,
    Sensitivity,
    SessionFacts,
    Severity,
    Stage,
    WorkflowFacts,
)
from containment.domain.risk import cells, tenth
from tests.domain.facts_of import (
    CARD_TOKENS,
    ETL,
    HOUR,
    INGEST,
    INSIDE,
    NETWORKS,
    NOW,
    SHIPPED,
    agent,
    detection,
    judged,
    leaked,
    payments,
    reports,
    sample,
    trainer,
)

LONG = 1_000_000  # observations: a baseline so long that nothing is thinned


def found(code: str, *, observations: int | None = None, strength: float = 1.0) -> Finding:
    return Finding(code=code, strength=strength, because=f"{code} was found", observations=observations)


def plugin() -> Facts:
    """A plug-in's source-control token, used within minutes of its leak from elsewhere."""
    robot = IdentityFacts(id="i-ci", kind=Kind.CI_PIPELINE, provider="git", subject="release-bot", known_networks=NETWORKS)
    token = CredentialFacts(id="c-ci", kind="api_key", exposed_at=NOW - HOUR, fingerprint_verified=True)
    return leaked(identity=robot, credential=token, sessions=(), workflows=(), roles=())


def unknown(confidence: float) -> Facts:
    """An identity that nobody had heard of, on the word of a detector."""
    stranger = IdentityFacts(id="i-new", kind=Kind.SERVICE_ACCOUNT, provider="postgres", subject="x", discovered=True, first_seen_at=NOW)
    session = SessionFacts(id="s-new", identity="i-new", workflow="ingest", discovered=True)
    return sample(
        identity=stranger,
        detection=detection(confidence=confidence, severity=Severity.MEDIUM),
        credential=None,
        session="s-new",
        sessions=(session,),
    )


def undeclared_write(sensitivity: Sensitivity) -> Facts:
    return agent(
        action=ActionFacts(name="data.write"),
        resource=ResourceFacts(id="invoices.ledger", sensitivity=sensitivity),
        observed=(found("intent_tool"),),
    )


def quiet_activity(action: str, resource: str, sensitivity: Sensitivity, **changes: Any) -> Facts:
    world = {"detection": None, "action": ActionFacts(name=action), "resource": ResourceFacts(id=resource, sensitivity=sensitivity)}
    return sample(**world | changes)


def on_call() -> Facts:
    person = IdentityFacts(id="i-ana", kind=Kind.HUMAN, provider="idp", subject="ana", workflows=("on-call",))
    return quiet_activity(
        "admin.call",
        "cluster",
        Sensitivity.CRITICAL,
        identity=person,
        credential=None,
        session="s-ana",
        sessions=(SessionFacts(id="s-ana", identity="i-ana", workflow="on-call", drive=Drive.HUMAN),),
        workflows=(WorkflowFacts(name="on-call", scope=(ScopeRule(action="*"),)),),
        observed=(
            found("tool_chain", observations=LONG),
            found("first_access", observations=LONG),
            found("cross_system", observations=LONG),
            found("volume", observations=LONG, strength=0.5),
        ),
    )


APPROVED = replace(INGEST, scope=(*INGEST.scope, ScopeRule(action="secret.read", resource="vault.card_tokens")))
HARD, SOFT = Stage.HARD, Stage.SOFT

CASES = {
    "the sample detection, address outside the known networks": (sample(), 25.9, 85.5, Verdict.CONTAIN, HARD),
    "the sample detection, address inside": (sample(detection=detection(source_ip=INSIDE)), 11.9, 80.5, Verdict.CONTAIN, HARD),
    "payments_writer": (payments(), 11.9, 80.5, Verdict.HOLD, HARD),
    "reports_shared": (reports(), 17.9, 75.4, Verdict.HOLD, HARD),
    "trainer, token.mint on high": (trainer(), 9.9, 60.7, Verdict.HOLD, SOFT),
    "leaked database secret, login from outside": (leaked(), 26.9, 63.9, Verdict.CONTAIN, HARD),
    "plug-in token used elsewhere": (plugin(), 26.9, 63.9, Verdict.CONTAIN, HARD),
    "agent: secret outside intent": (agent(observed=(found("intent_resource"),)), 26.0, 76.4, Verdict.CONTAIN, HARD),
    "agent: mail outside with a named chain": (
        agent(
            action=ActionFacts(name="message.send"),
            resource=ResourceFacts(id="mail:elsewhere", sensitivity=Sensitivity.HIGH),
            observed=(found("intent_resource"), found("tool_chain")),
        ),
        12.0,
        57.2,
        Verdict.CONTAIN,
        SOFT,
    ),
    "agent: undeclared write tool, moderate": (undeclared_write(Sensitivity.MODERATE), 6.0, 37.1, Verdict.CONTAIN, SOFT),
    "agent: undeclared write tool, high": (undeclared_write(Sensitivity.HIGH), 6.0, 45.7, Verdict.CONTAIN, SOFT),
    "detector confidence .6 on a discovered identity": (unknown(0.6), 1.1, 48.4, Verdict.CONTAIN, SOFT),
    "detector confidence .3 on a discovered identity": (unknown(0.3), -6.4, 15.9, Verdict.WATCH, None),
    "twin: secret inside scope though a detector claims it": (
        sample(detection=detection(source_ip=INSIDE), workflows=(APPROVED,)),
        -12.1,
        4.9,
        Verdict.WATCH,
        None,
    ),
    "twin: etl read": (quiet_activity("data.read", "sales.orders", Sensitivity.MODERATE), -17.0, 0.7, Verdict.WATCH, None),
    "twin: payments write": (
        payments(detection=None, action=ActionFacts(name="data.write"), resource=replace(CARD_TOKENS, id="payments.ledger", kind="table")),
        -17.0,
        1.4,
        Verdict.WATCH,
        None,
    ),
    "twin: declared agent write": (
        agent(action=ActionFacts(name="data.write"), resource=ResourceFacts(id="invoices.ledger", sensitivity=Sensitivity.HIGH)),
        -14.0,
        2.2,
        Verdict.WATCH,
        None,
    ),
    "twin: etl first access and volume on high": (
        quiet_activity(
            "data.read",
            "sales.orders",
            Sensitivity.HIGH,
            observed=(found("first_access", observations=LONG), found("volume", observations=LONG)),
        ),
        -5.0,
        11.3,
        Verdict.WATCH,
        None,
    ),
    "twin: on-call human with four behaviour signals on critical": (on_call(), -3.0, 27.5, Verdict.WATCH, None),
    "twin: same claim on a low-sensitivity resource": (
        sample(detection=detection(source_ip=INSIDE), resource=replace(CARD_TOKENS, sensitivity=Sensitivity.LOW)),
        11.9,
        37.4,
        Verdict.WATCH,
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_shipped_policy_gives_these_odds_risks_and_verdicts(case):
    facts, odds, risk, verdict, stage = CASES[case]
    judgement = judged(facts)
    assert (tenth(judgement.waterfall.odds), judgement.risk, judgement.verdict, judgement.stage) == (odds, risk, verdict, stage)


@pytest.mark.parametrize("facts", [leaked(), plugin()])
def test_a_leaked_credential_used_from_outside_condemns_whoever_uses_it(facts):
    assert [(one.code, one.against) for one in judged(facts).conclusive] == [("credential_exposed", "identity")]


def test_the_answer_to_the_sample_detection_is_the_one_in_the_contract():
    judgement = judged(sample())
    read = next(signal for signal in judgement.waterfall.signals if signal.code == "unexpected_secret_read")
    assert (read.family, read.strength, read.decibans) == ("scope", 1.0, 24.0)
    assert (judgement.waterfall.thresholds.soft, judgement.waterfall.thresholds.hard) == (40, 70)


@pytest.mark.parametrize(
    ("change", "risk", "verdict", "stage"),
    [
        ({"identity": replace(ETL, reach=Reach.NARROW)}, 67.9, Verdict.CONTAIN, SOFT),
        ({"action": ActionFacts(name="data.read")}, 51.5, Verdict.CONTAIN, SOFT),
        ({"resource": replace(CARD_TOKENS, sensitivity=Sensitivity.LOW)}, 39.7, Verdict.WATCH, None),
    ],
    ids=["reach", "action", "resource"],
)
def test_identity_action_and_resource_each_change_the_verdict_alone(change, risk, verdict, stage):
    judgement = judged(sample(**change))
    assert (judgement.risk, judgement.verdict, judgement.stage) == (risk, verdict, stage)


def test_the_policy_page_can_list_what_never_reaches_a_threshold():
    never_soft = {(cell.action, cell.sensitivity) for cell in cells(SHIPPED) if cell.kind is Kind.HUMAN and not cell.reaches_soft}
    assert ("data.read", Sensitivity.LOW) in never_soft
    assert ("secret.read", Sensitivity.CRITICAL) not in never_soft
