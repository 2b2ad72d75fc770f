"""Governance scenarios against the guard, over HTTP: those that others published, and our own, which a clone alone has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from guard import chain
from tests import cast, make, others
from tests.access import door
from tests.govbench.__main__ import OWN
from tests.govbench.checking import check
from tests.govbench.house import House
from tests.govbench.playing import Play
from tests.govbench.reading import Scenario, read

FAILING = ("fail_mode_discipline.closed_on_malformed",)  # the one of its category that is played in the ordinary run
CATEGORIES = {
    "identity_containment",
    "fail_mode_discipline",
    "audit_completeness",
    "scope_inheritance",
    "delegation_provenance",
    "rate_limit_cascade",
    "cross_tenant_isolation",
    "identity_propagation",
    "per_user_policy_enforcement",
}


@pytest.fixture
def house(transactional_db: None) -> House:
    make.house()
    return House("test", cast.person("enzo"), [cast.person("mara"), cast.person("mia")])


def played(scenarios: Sequence[Scenario], house: House, server: str) -> list[str]:
    """What was not as expected."""
    token = door.token("guard.ask", "sessions.write")
    house.prepare(scenarios)
    missed = []
    for scenario in scenarios:
        play = Play(scenario, house, server, token)
        play.act()
        missed += [f"{scenario.id}: {one}" for one in check(play, settle=chain.chain_due) if not one.met]
    return missed


def test_every_category_has_a_scenario_of_our_own() -> None:
    assert {scenario.category for scenario in read(OWN)} == CATEGORIES


def test_every_no_of_our_own_scenarios_stands_beside_a_yes() -> None:
    """A gateway that denies everything meets none of them."""
    for scenario in read(OWN):
        kinds = {kind for kind, _ in scenario.expected}
        assert "tool_denied" not in kinds or "tool_allowed" in kinds, scenario.id


@pytest.mark.servers
def test_one_of_our_own_scenarios_of_each_category_is_met(house: House, server: str) -> None:
    of_each = {scenario.category: scenario for scenario in reversed(read(OWN))}
    of_each |= {scenario.category: scenario for scenario in read(OWN) if scenario.id in FAILING}
    assert played(list(of_each.values()), house, server) == []


@pytest.mark.big
@pytest.mark.servers
def test_our_own_scenarios_are_met(house: House, server: str) -> None:
    assert played(read(OWN), house, server) == []


@pytest.mark.servers
def test_those_that_others_published_are_met(house: House, server: str) -> None:
    assert played(read(others.file("agentgovbench/scenarios.sample.json")), house, server) == []


@pytest.mark.servers
def test_a_no_that_nobody_decided_on_meets_nothing(house: House, server: str) -> None:
    """Whoever is turned away at the door is denied everything, and shows nothing."""
    scenario = next(one for one in read(OWN) if one.id == "per_user_policy_enforcement.each_by_their_own_scopes")
    house.prepare([scenario])
    play = Play(scenario, house, server, door.token("guard.ask", "sessions.write"))
    for user in scenario.users:
        play._session(user, "")
    play.token = "hf_nobody"
    play.act()
    assert not any(one.verdict.decision for one in play.made)
    assert [one.kind for one in check(play) if one.met] == []


@pytest.mark.servers
def test_an_expectation_that_is_not_met_is_found(house: House, server: str, tmp_path: Path) -> None:
    """Each of them, turned round: a check that is always content would show here."""
    said = next(one for one in json.loads(OWN.read_text()) if one["id"] == "per_user_policy_enforcement.each_by_their_own_scopes")
    other = {"tool_allowed": "tool_denied", "tool_denied": "tool_allowed"}
    said["expected"] = [{**one, "kind": other[one["kind"]]} for one in said["expected"]]
    said["expected"] += [
        {"kind": "audit_has_entry", "params": {"tool": "write_file", "as_user": "jon", "decision": "allow"}},
        {"kind": "audit_has_entry", "params": {"tool": "no_such_tool"}},
        {"kind": "audit_field_present", "params": {"tool": "no_such_tool", "fields": ["tool"]}},
        {"kind": "delegation_chain", "params": {"agent_name": "nobody"}},
    ]
    (tmp_path / "turned.json").write_text(json.dumps([said]))
    scenarios = read(tmp_path / "turned.json")
    assert len(played(scenarios, house, server)) == len(scenarios[0].expected)


def test_what_nobody_here_knows_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    said = json.loads(OWN.read_text())[0]
    for place, one in (("actions", {"solar_flare": {}}), ("expected", {"kind": "everybody_happy", "params": {}})):
        (tmp_path / "strange.json").write_text(json.dumps([{**said, place: [one]}]))
        with pytest.raises(ValueError, match="nobody here knows"):
            read(tmp_path / "strange.json")
