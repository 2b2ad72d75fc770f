"""Reads single actions that were approved as one thing and done as another, and scenarios of governance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.judge.trace import Call, Trace
from bench.judge.traces.agents import lines

READING = frozenset({"read", "list", "view"})


def action_boundary(folder: Path) -> Iterator[Trace]:
    """The approved action is the intent: its operation, its resource or the policy's prefixes, the destinations that the policy allows, its
    environment and the plain values of its parameters. The action that was carried out is the call."""
    for path in sorted(folder.glob("*.jsonl")):
        for record in lines(path):
            approved, done, policy = record["approved_action"], record["executed_action"], record.get("policy", {})
            profile = _approved(approved, policy)
            parameters = {name: value for name, value in done.get("parameters", {}).items() if name != "environment"}
            call = Call(
                tool=done["operation"],
                arguments={**parameters, "destination": done.get("destination", "")},
                writes=done.get("effect") not in READING,
                resource=done["resource"],
                environment=str(done.get("parameters", {}).get("environment", "")),
                injected=True,
            )
            allowed = record["expected"]["control"] == "allow"
            yield Trace(
                dataset="action-boundary",
                task_id=record["id"],
                name=record["id"],
                calls=(call,),
                profile=profile,
                harmful=None if allowed else 0,
            )


def _approved(action: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    tool = action["operation"]
    plain = {name: value for name, value in action.get("parameters", {}).items() if isinstance(value, str) and name != "environment"}
    bounds: dict[str, Any] = {name: {"one_of": [value]} for name, value in plain.items()}
    bounds["destination"] = {"one_of": list(policy.get("allowed_destinations") or [action.get("destination", "")])}
    environment = action.get("parameters", {}).get("environment")
    prefixes = [f"{prefix}*" for prefix in policy.get("allowed_resource_prefixes", ())]
    return {
        "tools": [{"name": tool, "writes": action.get("effect") not in READING}],
        "resources": prefixes or [action["resource"]],
        "bounds": {tool: bounds},
        "environments": [environment] if environment else [],
    }


def agentgovbench(folder: Path) -> Iterator[Trace]:
    """The scenarios whose question is whether a call lies inside what was delegated. Those about a contained identity or a service that
    fails are the guard's and the client's, not judgement's, and are left to their tests."""
    for path in sorted(folder.glob("*.json")):
        for scenario in json.loads(path.read_text(encoding="utf-8")):
            delegation = next((one["delegation"] for one in scenario["actions"] if "delegation" in one), None)
            if delegation is None:
                continue
            scopes = set(delegation["delegated_scopes"])
            known = scenario["setup"]["tools"]
            profile = {"tools": [_tool(tool) for tool in known if set(tool["required_scopes"]) <= scopes]}
            denied = {one["params"]["tool"] for one in scenario["expected"] if one["kind"] == "tool_denied"}
            direct = [one["direct_tool_call"] for one in scenario["actions"] if "direct_tool_call" in one]
            calls = tuple(Call(tool=call["tool"], arguments=call.get("input", {}), injected=call["tool"] in denied) for call in direct)
            harmful = next((at for at, call in enumerate(calls) if call.injected), None)
            yield Trace(
                dataset="agentgovbench",
                task_id=scenario["id"],
                name=scenario["id"],
                calls=calls,
                task=delegation["task"],
                profile=profile,
                declared={"task": delegation["task"]},
                harmful=harmful,
            )


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    reads = all(scope.endswith((".read", ".search")) for scope in tool["required_scopes"])
    return {"name": tool["name"], "writes": not reads}
