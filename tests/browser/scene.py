"""What a busy hour looks like: a payment that is held, an agent that is held, a leaked credential that is dead with proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from approvals.models import Hold
from containment.models import Case
from tests import make


@dataclass(frozen=True)
class Scene:
    payment: Hold
    agent: Hold
    contained: Case


def payment(role: Callable[..., Any], drive: Callable[..., Any], name: str = "payments_writer") -> Any:
    """A payment session and a foreign one on the same role: the foreign one is cut at once, the payment waits for a person."""
    identity = make.identity(name, known_networks=[], owner_team="payments-team")
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(identity, "pay-main", workflow="payments")
    make.session(identity, "psql-7c1", application="psql", discovered_at=identity.created_at)
    make.designation(identity, "pay-main", schemas=["payments"], reconnect=True)
    writer = role(name, ledger=True)
    writer.connect("pay-main")
    writer.connect("psql")
    decision: Any = make.detected(name, session=None, title="Secret read by the payment writer")
    drive(decision.run.pk)
    return decision


def agent(drive: Callable[..., Any]) -> Any:
    """An agent that serves customers, and read a secret outside what it was approved for."""
    identity = make.identity("support-copilot", provider="holdfast", kind="ai_agent", name="support-copilot", owner_team="soc")
    make.workflow("support", [{"action": "data.read", "resource": "tickets.*"}, {"action": "message.send", "resource": "customers.reply"}])
    make.session(identity, "chat-118", workflow="support")
    make.designation(identity, "chat-118", kind="customer_facing")
    decision: Any = make.detected(
        "support-copilot",
        identity={"kind": "ai_agent", "provider": "holdfast", "subject": "support-copilot"},
        credential={"kind": "api_key", "id": "support-copilot"},
        session=None,
        title="Agent read a secret outside its task",
    )
    drive(decision.run.pk)
    return decision


def contained(role: Callable[..., Any], drive: Callable[..., Any]) -> Any:
    make.workflow("ingest", [{"action": "data.read", "resource": "ingest.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    role("etl_reader").connect("etl-main")
    decision: Any = make.detected("etl_reader", title="Leaked database secret used from outside")
    drive(decision.run.pk)
    return decision


def build(role: Callable[..., Any], drive: Callable[..., Any]) -> Scene:
    make.house()
    dead = contained(role, drive)
    held = payment(role, drive)
    paused = agent(drive)
    return Scene(held.hold, paused.hold, dead.case)
