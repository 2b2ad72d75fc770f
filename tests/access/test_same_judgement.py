"""One fact through three doors: posted alone, in a batch, and asked about beforehand. Judgement sees the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from audit import clock
from containment import flow
from containment.domain import policy as documents
from containment.domain.judge import judge
from containment.domain.replay import restore
from containment.models import Decision, Detection, Resource
from tests import make
from tests.access import door
from tests.guard import stage

pytestmark = pytest.mark.django_db

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
MOMENT = "2026-11-22T10:00:00+00:00"

Fact = dict[str, Any]
FACTS: dict[str, Fact] = {
    "a tool that nobody approved": {"action": "tool.call", "tool": "files.delete", "arguments": {"path": "books/1"}},
    "a secret under another tool": {
        "action": "secret.read",
        "tool": "vault.peek",
        "arguments": {"name": "cards"},
        "resource": {"kind": "table", "id": "vault.card_tokens"},
    },
    "an amount beyond its bound, from an odd address": {
        "action": "tool.call",
        "tool": "payments.book",
        "arguments": {"amount": 5000, "to": "DE89 3704 0044 0532 0130 00"},
        "context": {"source_ip": "203.0.113.9", "environment": "prod", "tenant": "acme"},
    },
}


@pytest.fixture(params=list(FACTS.values()), ids=list(FACTS))
def fact(request: pytest.FixtureRequest) -> Fact:
    found: Fact = request.param
    return found


def posted(fact: Fact) -> dict[str, Any]:
    action = {"name": fact["action"], "tool": fact["tool"], "arguments": fact["arguments"]}
    return {
        "external_id": "f-1",
        "occurred_at": clock.now().isoformat(),
        "title": "The same fact",
        "severity": "low",
        "confidence": 0.0,
        "identity": {"kind": "ai_agent", "provider": "holdfast", "subject": "clerk"},
        "session": {"id": "run-1"},
        "action": action,
        **({"resource": fact["resource"]} if "resource" in fact else {}),
        **({"context": fact["context"]} if "context" in fact else {}),
    }


def alone(fact: Fact, bearer: str) -> None:
    assert send("/api/v1/detections", posted(fact), bearer) == 201


def in_a_batch(fact: Fact, bearer: str) -> None:
    assert send("/api/v1/detections/batch", [posted(fact)], bearer) == 202
    flow.decide(Detection.objects.get().pk)


def asked(fact: Fact, bearer: str) -> None:
    resource = fact.get("resource", {"kind": "tool", "id": fact["tool"]})
    question = {
        "subject": {"type": "ai_agent", "id": "clerk"},
        "action": {"name": fact["action"], "properties": {"tool": fact["tool"], "arguments": fact["arguments"]}},
        "resource": {"type": resource["kind"], "id": resource["id"]},
        "context": {"session": "run-1", **fact.get("context", {})},
    }
    assert send(door.EVALUATION, question, bearer) == 200


def send(to: str, body: Any, bearer: str) -> int:
    said = {"Authorization": f"Bearer {bearer}"}
    return int(Client().post(to, json.dumps(body), content_type="application/json", headers=said).status_code)


def fresh() -> Iterator[str]:
    """The same house for every door, gone afterwards."""
    before = transaction.savepoint()
    make.house()
    stage.agent(approved={"bounds": {"payments.book": {"amount": {"max": 100}}}})
    assert Resource.objects.filter(key="vault.card_tokens").exists()
    yield door.token("detections.write", "guard.ask", source="edr-prod")
    transaction.savepoint_rollback(before)


def test_one_fact_is_judged_alike_at_every_door(fact: Fact) -> None:
    doors: list[Callable[[Fact, str], None]] = [alone, in_a_batch, asked]
    stored: list[dict[str, Any]] = []
    verdicts: list[tuple[str, str, float]] = []
    for way in doors:
        house = fresh()
        way(fact, next(house))
        decision = Decision.objects.get()
        stored.append(normal(decision.facts))
        verdicts.append((decision.verdict, decision.stage, float(decision.risk)))
        next(house, None)
    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert stored[0] == stored[1] == stored[2]
    policy = documents.parse(documents.shipped_text())
    assert len({judge(restore(facts), policy).digest for facts in stored}) == 1


def normal(facts: dict[str, Any]) -> dict[str, Any]:
    """Ids by the order in which they are met, and all of it at one moment."""
    names: dict[str, str] = {}
    text = json.dumps(facts, sort_keys=True)
    text = _ID.sub(lambda found: names.setdefault(found[0], f"00000000-0000-7000-8000-{len(names):012d}"), text)
    made: dict[str, Any] = json.loads(_MOMENT.sub(MOMENT, text))
    return made
