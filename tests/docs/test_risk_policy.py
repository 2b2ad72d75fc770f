"""The reference of the risk policy names every member that a policy can have, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

from containment.domain.families import FAMILIES
from containment.domain.policy import parse, shipped_text

PAGE = (Path(settings.ROOT) / "docs" / "reference" / "risk-policy.md").read_text()
WHOLE = (
    shipped_text()
    .replace("rules: []", "rules: [{kind: human, environment: prod, mode: observe}]")
    .replace("thresholds:\n", "thresholds:\n  - {kind: human, drive: script, environment: prod, soft: 1, hard: 2}\n")
    + """
ramp: {backtest_days: 14, protected_days: 90, preflight_hours: 24, approvers: 2}
scope:
  known: {subjects: [{id: a, properties: {p: 1}}], resources: [{id: b, properties: {p: 1}}]}
  rules:
    - {name: x, who: {id: a}, may: y, with: {p: 1}, on: {id: b}, where: [subject.id == resource.id], because: z}
    - {may_not: y}
    - {may_if_approved: y}
"""
)
BY_NAME = {  # their names are kinds, signals, actions … and no members
    *("priors", "weights", "severities", "consequences", "sensitivities", "reach", "conclusive", "patience_minutes", "trust.sources"),
    *("scope.rules[].who", "scope.rules[].on", "scope.rules[].with", "scope.known.subjects", "scope.known.resources"),
}


def members(value: Any, path: str = "") -> set[str]:
    match value:
        case dict() if path not in BY_NAME:
            return {found for name, item in value.items() for found in members(item, f"{path}.{name}" if path else name)}
        case [dict(), *_] if path not in BY_NAME:
            return {found for item in value for found in members(item, f"{path}[]")}
    return {path}


def test_every_member_has_a_row_and_every_row_a_member():
    parse(WHOLE)
    rows = re.findall(r"^\| `([a-z_.\[\]]+)` \|", PAGE, flags=re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == members(yaml.load(WHOLE, Loader=yaml.BaseLoader))  # noqa: S506 - every word stays a text: `on` is no yes


def test_every_row_says_its_unit_its_meaning_and_what_holds_without_it():
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[a-z_.\[\]]+` \|", line)]
    assert all(len([cell for cell in row.strip("|").split(" | ") if cell.strip()]) == 4 for row in rows)


def test_the_example_is_a_policy_and_the_signals_are_signals():
    example = PAGE[PAGE.index("    scope:\n") : PAGE.index("- A **match**")]
    assert len(parse(shipped_text() + "\n" + re.sub(r"(?m)^    ", "", example)).scope.rules) == 4
    named = re.findall(r"`(unexpected_secret_read|token_mint|privilege_change|role_confusion)`", PAGE)
    assert set(named) <= FAMILIES.keys()
    assert len(set(named)) == 4
