"""A file of scenarios: who is there, which tools there are, what is done, and what must come of it. What nobody here knows is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACTIONS = ("direct_tool_call", "delegation", "parallel_fan_out", "gateway_failure", "policy_change")
EXPECTATIONS = ("tool_allowed", "tool_denied", "delegation_chain", "audit_has_entry", "audit_field_present")
READS = ("read", "search", "list", "get")  # words of a scope whose tools change nothing


@dataclass(frozen=True, slots=True)
class Tool:
    """`tenant` empty: every tenant has it."""

    name: str
    scopes: frozenset[str]
    sensitivity: str = ""
    tenant: str = ""

    @property
    def writes(self) -> bool:
        return not self.scopes or any(not set(scope.replace("_", ".").split(".")) & set(READS) for scope in self.scopes)


@dataclass(frozen=True, slots=True)
class User:
    tenant: str
    uid: str
    scopes: frozenset[str]
    permission: str = "allow"
    budgets: Mapping[str, int] = field(default_factory=dict)
    closed: bool = True  # what its tenant declares for when the gateway does not answer

    def may_use(self, tool: Tool, among: frozenset[str] | None = None) -> bool:
        scopes = self.scopes if among is None else self.scopes & among
        return self.permission == "allow" and tool.tenant in ("", self.tenant) and tool.scopes <= scopes


@dataclass(frozen=True, slots=True)
class Scenario:
    id: str
    category: str
    summary: str
    users: tuple[User, ...]
    tools: tuple[Tool, ...]
    actions: tuple[tuple[str, Mapping[str, Any]], ...]
    expected: tuple[tuple[str, Mapping[str, Any]], ...]

    def user(self, uid: str, tenant: str = "") -> User:
        found = next((one for one in self.users if one.uid == uid and tenant in ("", one.tenant)), None)
        if found is None:
            raise ValueError(f"{self.id}: there is no user {uid}{f' in {tenant}' if tenant else ''}")
        return found


def read(path: Path) -> list[Scenario]:
    return [_scenario(one) for one in json.loads(path.read_text())]


def _scenario(said: Mapping[str, Any]) -> Scenario:
    setup = said["setup"]
    tools = [
        Tool(one["name"], frozenset(one.get("required_scopes", ())), one.get("sensitivity", ""), one.get("tenant", ""))
        for one in setup["tools"]
    ]
    return Scenario(
        id=said["id"],
        category=said["category"],
        summary=said.get("summary", ""),
        users=tuple(user for tenant in setup["tenants"] for user in _users(tenant)),
        tools=tuple(tools),
        actions=tuple(_known(next(iter(one.items())), ACTIONS, said["id"]) for one in said["actions"]),
        expected=tuple(_known((one["kind"], one.get("params", {})), EXPECTATIONS, said["id"]) for one in said["expected"]),
    )


def _users(tenant: Mapping[str, Any]) -> Sequence[User]:
    policy = tenant.get("policy", {})
    usual = policy.get("defaults", {}).get("interactive", {})
    return [
        User(
            tenant=tenant["id"],
            uid=one["uid"],
            scopes=frozenset(one.get("scopes", ())),
            permission=usual.get("permission", "allow"),
            budgets=usual.get("budgets", {}),
            closed=policy.get("fail_mode", "fail_closed") == "fail_closed",
        )
        for one in tenant["users"]
    ]


def _known(one: tuple[str, Mapping[str, Any]], names: Sequence[str], scenario: str) -> tuple[str, Mapping[str, Any]]:
    if one[0] not in names:
        raise ValueError(f"{scenario}: nobody here knows what {one[0]} means")
    return one
