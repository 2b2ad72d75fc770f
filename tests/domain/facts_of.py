"""Builders of facts for the tests of judgement: the world of the trial estate in a few lines, each test changing what it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from containment.domain.facts import (
    ActionFacts,
    BusinessClass,
    CredentialFacts,
    CredentialUser,
    DesignationFacts,
    DetectionFacts,
    Drive,
    Facts,
    IdentityFacts,
    Kind,
    Reach,
    ResourceFacts,
    RoleFacts,
    ScopeRule,
    Sensitivity,
    SessionFacts,
    Severity,
    SourceFacts,
    WorkflowFacts,
)
from containment.domain.judge import Judgement, judge
from containment.domain.policy import RiskPolicy, parse, shipped_text

NOW = datetime(2026, 11, 22, 10, 0, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHIPPED: RiskPolicy = parse(shipped_text())
EDR = SourceFacts(name="edr-prod")

INSIDE = "10.1.0.9"
OUTSIDE = "203.0.113.9"
NETWORKS = ("10.1.0.0/16",)

CARD_TOKENS = ResourceFacts(id="vault.card_tokens", kind="table", sensitivity=Sensitivity.CRITICAL)
SECRET_READ = ActionFacts(name="secret.read", count=3)

INGEST = WorkflowFacts(
    name="ingest",
    scope=(ScopeRule(action="data.read", resource="sales.*"), ScopeRule(action="secret.read", resource="vault.ingest_*")),
)
NIGHTLY = RoleFacts(name="nightly-ingest", workflows=frozenset({"ingest"}))
ETL = IdentityFacts(
    id="i-etl",
    kind=Kind.SERVICE_ACCOUNT,
    provider="postgres",
    subject="etl_reader",
    environment="prod",
    known_networks=NETWORKS,
    workflows=("ingest",),
)
ETL_SESSION = SessionFacts(
    id="s-77", identity="i-etl", credential="c-etl", role="nightly-ingest", workflow="ingest", drive=Drive.SCRIPT, origin=INSIDE
)
ETL_CREDENTIAL = CredentialFacts(id="c-etl", kind="db_role", users=(CredentialUser(identity="i-etl", workflow="ingest"),))


def detection(**changes: Any) -> DetectionFacts:
    """The detection of the contract's example."""
    example: dict[str, Any] = {
        "id": "a-1001",
        "source": EDR,
        "occurred_at": NOW - timedelta(seconds=5),
        "severity": Severity.HIGH,
        "confidence": 0.9,
        "claims": ("unexpected_secret_read",),
        "session_named": "s-77",
        "claimed_role": "nightly-ingest",
        "claimed_workflow": "ingest",
        "source_ip": OUTSIDE,
        "environment": "prod",
        "tenant": "acme",
    }
    return DetectionFacts(**example | changes)


def sample(**changes: Any) -> Facts:
    """What is known when the contract's example arrives."""
    world: dict[str, Any] = {
        "now": NOW,
        "identity": ETL,
        "detection": detection(),
        "action": SECRET_READ,
        "resource": CARD_TOKENS,
        "credential": ETL_CREDENTIAL,
        "session": "s-77",
        "sessions": (ETL_SESSION,),
        "workflows": (INGEST,),
        "roles": (NIGHTLY,),
        "budget_left": 50,
    }
    return Facts(**world | changes)


PAYMENTS_DESIGNATION = DesignationFacts(
    id="d-pay",
    service="Payments",
    business_class=BusinessClass.PAYMENT,
    must_go_on=("schema payments", "reconnecting"),
    origins=NETWORKS,
)
PAYMENTS_WORKFLOW = WorkflowFacts(
    name="payments", scope=(ScopeRule(action="data.write", resource="payments.*"),), designation=PAYMENTS_DESIGNATION
)
PAY_MAIN = SessionFacts(id="pay-main", identity="i-pay", credential="c-pay", workflow="payments", drive=Drive.SCRIPT, origin=INSIDE)


def payments(**changes: Any) -> Facts:
    """The same detection for payments_writer, no session named, from an address that it is known to use."""
    writer = replace(ETL, id="i-pay", subject="payments_writer", workflows=("payments",))
    world: dict[str, Any] = {
        "identity": writer,
        "detection": detection(session_named="", claimed_role="", claimed_workflow="", source_ip=INSIDE),
        "credential": CredentialFacts(id="c-pay", kind="db_role", users=(CredentialUser(identity="i-pay", workflow="payments"),)),
        "session": "",
        "sessions": (PAY_MAIN,),
        "workflows": (PAYMENTS_WORKFLOW,),
        "roles": (),
    }
    return sample(**world | changes)


def reports(**changes: Any) -> Facts:
    """One credential in three workflows, of which one misbehaves."""
    names = ("daily", "monthly", "audit-export")
    scope = (ScopeRule(action="data.read", resource="reports.*"),)
    world: dict[str, Any] = {
        "identity": replace(ETL, id="i-rep", subject="reports_shared", workflows=names, reach=Reach.TEAM),
        "detection": detection(session_named="r-monthly", claimed_role="", claimed_workflow="", source_ip=INSIDE),
        "credential": CredentialFacts(id="c-rep", users=tuple(CredentialUser(identity="i-rep", workflow=name) for name in names)),
        "session": "r-monthly",
        "sessions": tuple(
            SessionFacts(id=f"r-{name}", identity="i-rep", credential="c-rep", workflow=name, drive=Drive.SCRIPT, origin=INSIDE)
            for name in names
        ),
        "workflows": tuple(WorkflowFacts(name=name, scope=scope) for name in names),
        "roles": (),
    }
    return sample(**world | changes)


def trainer(**changes: Any) -> Facts:
    """A long model job mints a token that nobody approved."""
    designation = DesignationFacts(id="d-train", service="Model training", business_class=BusinessClass.LONG_RUNNING_JOB)
    world: dict[str, Any] = {
        "identity": replace(ETL, id="i-train", subject="trainer", workflows=("training",), reach=Reach.TEAM),
        "detection": detection(session_named="train-7", claims=("token_mint",), claimed_role="", claimed_workflow="", source_ip=INSIDE),
        "action": ActionFacts(name="token.mint"),
        "resource": ResourceFacts(id="model-registry", sensitivity=Sensitivity.HIGH),
        "credential": None,
        "session": "train-7",
        "sessions": (
            SessionFacts(id="train-7", identity="i-train", workflow="training", drive=Drive.SCRIPT, origin=INSIDE, designation=designation),
        ),
        "workflows": (WorkflowFacts(name="training", scope=(ScopeRule(action="data.*", resource="features.*"),)),),
        "roles": (),
    }
    return sample(**world | changes)


LEAKED = CredentialFacts(
    id="c-etl",
    kind="db_role",
    exposed_at=NOW - HOUR,
    exposed_where="a public repository",
    fingerprint_verified=True,
    users=(CredentialUser(identity="i-etl", workflow="ingest"),),
)


def leaked(**changes: Any) -> Facts:
    """A database secret found in public is used to log in from outside."""
    world: dict[str, Any] = {
        "detection": detection(claims=("credential_exposed",), session_named="", claimed_role="", claimed_workflow=""),
        "action": ActionFacts(name="session.start"),
        "resource": None,
        "credential": LEAKED,
        "session": "",
    }
    return sample(**world | changes)


def agent(**changes: Any) -> Facts:
    """An agent's call that the guard is asked about: no detection, findings of the intent check handed in."""
    world: dict[str, Any] = {
        "identity": IdentityFacts(
            id="i-agent",
            kind=Kind.AI_AGENT,
            provider="agents",
            subject="invoice-agent",
            environment="prod",
            reach=Reach.TEAM,
            workflows=("invoices",),
        ),
        "detection": None,
        "credential": None,
        "session": "inv-1",
        "sessions": (SessionFacts(id="inv-1", identity="i-agent", workflow="invoices", drive=Drive.AUTONOMOUS),),
        "workflows": (WorkflowFacts(name="invoices", scope=(ScopeRule(action="data.*", resource="invoices.*"),)),),
        "roles": (),
    }
    return sample(**world | changes)


def judged(facts: Facts, policy: RiskPolicy = SHIPPED) -> Judgement:
    return judge(facts, policy)
