"""The detection of the contract and its answer, as the documentation shows them. A test posts the one and compares the other's members."""

from __future__ import annotations

from typing import Any

from sources.native import KINDS, SEVERITIES

DETECTION: dict[str, Any] = {
    "source": "edr-prod",
    "external_id": "a-1001",
    "occurred_at": "2026-11-22T10:00:00Z",
    "title": "Secret read outside task scope",
    "severity": "high",
    "confidence": 0.9,
    "claims": ["unexpected_secret_read"],
    "identity": {"kind": "service_account", "provider": "postgres", "subject": "etl_reader"},
    "session": {"id": "s-77", "role": "nightly-ingest", "workflow": "ingest"},
    "credential": {"kind": "db_role", "id": "etl_reader"},
    "action": {"name": "secret.read", "count": 3},
    "resource": {"kind": "table", "id": "vault.card_tokens"},
    "context": {"environment": "prod", "tenant": "acme", "source_ip": "203.0.113.9"},
}

ANSWER: dict[str, Any] = {
    "id": "0193a2f0-5f6a-7c3e-9b1d-2f4c8a7e6d10",
    "duplicate": False,
    "decision": {
        "id": "0193a2f0-5f7b-7d11-8a22-6b0c1d2e3f40",
        "verdict": "contain",
        "stage": "hard",
        "risk": 85.5,
        "thresholds": {"soft": 40, "hard": 70},
        "signals": [
            {
                "code": "unexpected_secret_read",
                "family": "scope",
                "strength": 1.0,
                "decibans": 24.0,
                "because": "secret.read on vault.card_tokens lies outside the workflow ingest",
            }
        ],
        "because": "risk 85.5 is at or over 70",
        "would_have": "",
        "policy_version": 1,
        "digest": "sha256:" + "0" * 64,
    },
    "case": {
        "id": "0193a2f0-5f7b-7d11-8a22-6b0c1d2e3f41",
        "state": "open",
        "url": "/cases/0193a2f0-5f7b-7d11-8a22-6b0c1d2e3f41/",
    },
    "run": {"id": "0193a2f0-5f7b-7d11-8a22-6b0c1d2e3f42", "state": "pending", "stage": "hard", "proof_level": ""},
    "hold": None,
}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _text(longest: int, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest, **more}


DETECTION_SCHEMA: dict[str, Any] = _object(
    ["external_id", "occurred_at", "title", "severity", "confidence", "identity", "action"],
    source=_text(100, description="The token's source; another one is refused."),
    external_id=_text(200, description="The sender's own id: the same one again finds the first answer."),
    occurred_at={"type": "string", "format": "date-time"},
    title=_text(300),
    severity={"type": "string", "enum": list(SEVERITIES)},
    confidence={"type": "number", "minimum": 0, "maximum": 1},
    claims={"type": "array", "maxItems": 50, "items": _text(100, description="a signal code")},
    identity=_object(
        ["kind", "provider", "subject"], kind={"type": "string", "enum": list(KINDS)}, provider=_text(100), subject=_text(500)
    ),
    session=_object(["id"], id=_text(200), role=_text(200), workflow=_text(200)),
    credential=_object(["kind", "id"], kind=_text(50), id=_text(500)),
    action=_object(
        ["name"],
        name=_text(100),
        count={"type": "integer", "minimum": 1, "maximum": 1_000_000},
        tool=_text(300, description="the tool that was called; what follows here is about that call"),
        arguments={"type": "object", "description": "compared with the intent of the session, kept without texts and secrets"},
        writes={"type": "boolean", "description": "whether it changes something, where no approved profile says so"},
        bytes={"type": "integer", "minimum": 0},
        money={"type": "number", "minimum": 0},
        returned={"type": ["string", "array"], "description": "texts that came back; only fingerprints of their values are kept"},
    ),
    resource=_object(
        ["kind", "id"], kind=_text(50), id=_text(500), system=_text(200, description="where it lives: a database, a mail service")
    ),
    workload=_object(
        [], **{name: {"type": "string"} for name in ("attestation", "image", "issuer", "subject", "audience", "network", "environment")}
    ),
    context={"type": "object", "additionalProperties": True},
)

EVENTS: list[dict[str, Any]] = [
    {
        "id": "ev-1",
        "occurred_at": "2026-11-22T09:59:58Z",
        "identity": {"kind": "service_account", "provider": "postgres", "subject": "etl_reader"},
        "session": {"id": "s-77"},
        "action": {"name": "data.read", "count": 40},
        "resource": {"kind": "table", "id": "sales.orders", "system": "sales-db"},
        "context": {"environment": "prod", "source_ip": "10.1.0.9"},
    },
    {
        "id": "ev-2",
        "occurred_at": "2026-11-22T10:00:00Z",
        "identity": {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"},
        "session": {"id": "inv-1"},
        "action": {"name": "tool.call", "tool": "send_mail", "writes": True, "bytes": 1200},
    },
]

EVENT_SCHEMA: dict[str, Any] = _object(
    ["occurred_at", "identity", "action"],
    id=_text(200, description="The sender's own id: the same one again from this source is not learned twice."),
    source=_text(100, description="The token's source; another one is refused."),
    occurred_at={
        "type": "string",
        "format": "date-time",
        "description": "A late event counts for what was used and when, not for how fast or in which order; a future one is as of now.",
    },
    identity=DETECTION_SCHEMA["properties"]["identity"],
    session=_object(["id"], id=_text(200)),
    action=_object(
        ["name"],
        name=_text(100),
        count={"type": "integer", "minimum": 1, "maximum": 1_000_000},
        tool=_text(200),
        writes={"type": "boolean"},
        arguments={"type": "object", "maxProperties": 50},
        bytes={"type": "integer", "minimum": 0},
        money={"type": "number", "minimum": 0},
        returned={"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 2000}},
    ),
    resource=DETECTION_SCHEMA["properties"]["resource"],
    context={"type": "object", "additionalProperties": True},
)
