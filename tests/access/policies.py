"""Plain authorization scenarios, each as a section of a policy and an inventory file: the published ones, and one of our own that a clone
alone can be tested with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from containment.domain.policy import Mode, shipped_text

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
TODOS = """
scope:
  known:
    subjects:
      - id: CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: rick@the-citadel.com, roles: [admin, evil_genius]}
      - id: CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: beth@the-smiths.com, roles: [viewer]}
      - id: CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: morty@the-citadel.com, roles: [editor]}
      - id: CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: summer@the-smiths.com, roles: [editor]}
      - id: CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: jerry@the-smiths.com, roles: [viewer]}
  rules:
    - {name: everybody reads, may: [can_read_user, can_read_todos]}
    - {name: who writes creates, who: {properties: {roles: [editor, admin, evil_genius]}}, may: can_create_todo}
    - {name: a genius changes any, who: {properties: {roles: evil_genius}}, may: can_update_todo}
    - {name: an admin deletes any, who: {properties: {roles: admin}}, may: can_delete_todo}
    - name: one's own
      who: {properties: {roles: [editor, admin]}}
      may: [can_update_todo, can_delete_todo]
      where: [resource.properties.ownerID == subject.properties.email]
    - {name: everybody looks, may: GET, on: {kind: route}}
    - {name: who writes, who: {properties: {roles: [editor, admin]}}, may: [POST, PUT, DELETE], on: {kind: route, id: "/todos*"}}
    - {name: nothing else, may_not: "*"}
"""
CERTIFICATION = """
scope:
  known:
    subjects: [{kind: user, id: bob, properties: {role: admin}}]
    resources:
      - {kind: record, id: record-1, properties: {status: active}}
      - {kind: record, id: record-2, properties: {status: archived}}
  rules:
    - {who: {id: alice}, may: [read, write], on: {id: record-1}}
    - {who: {id: bob}, may: read, on: {id: record-1}}
    - {who: {id: bob}, may_not: write, on: {id: record-1}}
    - {who: {id: alice}, may_not: write, on: {properties: {status: archived}}}
    - {who: {properties: {role: admin}}, may: write, on: {properties: {status: archived}}}
    - {who: {id: alice}, may: delete, with: {soft: true}, on: {id: record-1}}
    - {name: nothing else, may_not: "*"}
"""
LIBRARY = """
scope:
  known:
    subjects:
      - {kind: user, id: vera, properties: {desk: front}}
      - {kind: user, id: otto, properties: {desk: archive}}
  rules:
    - {name: all may look, who: {kind: user}, may: read, on: {kind: book}}
    - {name: the front desk lends, who: {properties: {desk: front}}, may: lend, on: {kind: book}, where: [resource.properties.copies > 1]}
    - {name: the archive mends, who: {properties: {desk: archive}}, may: "can_update_*", with: {gloves: true}, on: {id: "/shelves/*"}}
    - {name: nothing else, may_not: "*"}
"""


TODO_PEOPLE = """
identities:
  - {kind: human, provider: holdfast, subject: CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs, name: Rick Sanchez}
  - {kind: human, provider: holdfast, subject: CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs, name: Beth Smith}
  - {kind: human, provider: holdfast, subject: CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs, name: Morty Smith}
  - {kind: human, provider: holdfast, subject: CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs, name: Summer Smith}
  - {kind: human, provider: holdfast, subject: CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs, name: Jerry Smith}
"""
CERTIFIED = """
identities:
  - {kind: human, provider: holdfast, subject: alice, name: Alice}
  - {kind: human, provider: holdfast, subject: bob, name: Bob}
resources:
  - {kind: record, id: record-1, sensitivity: moderate}
  - {kind: record, id: record-2, sensitivity: moderate}
"""
READERS = """
identities:
  - {kind: human, provider: holdfast, subject: vera, name: Vera}
  - {kind: human, provider: holdfast, subject: otto, name: Otto}
resources:
  - {kind: book, id: b-1, sensitivity: low}
"""
BOOK: Mapping[str, Any] = {"type": "book", "id": "b-1"}
COPIES: Mapping[str, Any] = {**BOOK, "properties": {"copies": 2}}
SHELF: Mapping[str, Any] = {"type": "shelf", "id": "/shelves/7"}
MEND = "can_update_spine"
LIBRARY_CASES: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any], bool]] = (
    ("vera", {"name": "read"}, BOOK, True),
    ("nobody-knows-her", {"name": "read"}, BOOK, True),
    ("vera", {"name": "read"}, {"type": "till", "id": "t-1"}, False),
    ("vera", {"name": "lend"}, COPIES, True),
    ("vera", {"name": "lend"}, {**BOOK, "properties": {"copies": 1}}, False),
    ("vera", {"name": "lend"}, BOOK, False),
    ("otto", {"name": "lend"}, COPIES, False),
    ("otto", {"name": MEND, "properties": {"gloves": True}}, SHELF, True),
    ("otto", {"name": MEND, "properties": {"gloves": False}}, SHELF, False),
    ("otto", {"name": MEND, "properties": {"gloves": True}}, {"type": "shelf", "id": "/shelves/../tills/1"}, False),
    ("otto", {"name": MEND, "properties": {"gloves": True}}, {"type": "shelf", "id": "/shelves/%2e%2e/tills/1"}, False),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One request as it is sent, and what must come back: a status, and one decision or several."""

    name: str
    to: str
    body: str
    status: int = 200
    decisions: tuple[bool, ...] = ()
    content_type: str = "application/json"

    def is_met(self, status: int, answer: Mapping[str, Any]) -> bool:
        said = [one.get("decision") for one in answer.get("evaluations", [answer])]
        return status == self.status and (not self.decisions or said == list(self.decisions))


@dataclass(frozen=True, slots=True)
class Scenario:
    """`published`: the file below shared data that its cases stand in; empty for our own."""

    name: str
    section: str
    inventory: str
    published: str = ""

    def cases(self, published: Mapping[str, Any] | None = None) -> list[Case]:
        if published is None:
            return [_library(*case) for case in LIBRARY_CASES]
        if "cases" in published:
            return [_certified(case) for case in published["cases"]]
        one = [
            Case(f"{self.name} {number}", ONE, json.dumps(case["request"]), decisions=(case["expected"],))
            for number, case in _all(published, "evaluation")
        ]
        many = [
            Case(
                f"{self.name} at once {number}",
                MANY,
                json.dumps(case["request"]),
                decisions=tuple(each["decision"] for each in case["expected"]),
            )
            for number, case in _all(published, "evaluations")
        ]
        return one + many


SCENARIOS = (
    Scenario("library", LIBRARY, READERS),
    Scenario("certification", CERTIFICATION, CERTIFIED, "authzen/certification-basic.json"),
    Scenario("todo", TODOS, TODO_PEOPLE, "authzen/todo-decisions-authorization-api-1_0-02.json"),
    Scenario("gateway", TODOS, TODO_PEOPLE, "authzen/api-gateway-decisions.json"),
)


def _all(published: Mapping[str, Any], name: str) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(published.get(name, []), 1))


def _library(subject: str, action: Mapping[str, Any], resource: Mapping[str, Any], allowed: bool) -> Case:
    request = {"subject": {"type": "user", "id": subject}, "action": action, "resource": resource}
    return Case(f"library: {subject} {action['name']} {resource['id']}", ONE, json.dumps(request), decisions=(allowed,))


def _certified(case: Mapping[str, Any]) -> Case:
    body = case["raw_body"] if "raw_body" in case else json.dumps(case["request"])
    decisions = (case["expect"]["decision"],) if "decision" in case["expect"] else ()
    return Case(case["id"], case["endpoint"], body, case["expect"]["status"], decisions, case.get("content_type", "application/json"))


def text(section: str) -> str:
    """The shipped policy, enforced everywhere, with these rules in it."""
    return shipped_text(Mode.ENFORCE) + section
