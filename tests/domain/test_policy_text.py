"""One mode is changed in the text of a policy, and nothing else: however its author wrote the rules."""

from __future__ import annotations

import difflib

import pytest

from containment.domain.facts import Kind
from containment.domain.policy import Mode, parse, shipped_text
from containment.domain.policy_text import with_mode

MODES = shipped_text()[shipped_text().index("modes:") : shipped_text().index("# How likely")]
WRITTEN = {
    "an empty list": "modes:\n  default: observe  # for now\n  rules: []\n",
    "no list": "modes:\n  default: observe  # for now\n",
    "on one line": "modes: {default: observe}\n",
    "a flow list": "modes:\n  default: observe\n  rules: [{kind: human, mode: observe}, {environment: dev, mode: observe}]  # two\n",
    "a flow list with a comma": "modes:\n  default: observe\n  rules: [\n    {kind: human, mode: observe},\n  ]\n",
    "a block list": "modes:\n  default: observe\n  rules:\n    - kind: human\n      mode: observe  # people\n    # machines follow\n",
    "rules first": "modes:\n  rules:\n  - {kind: human, mode: observe}\n  default: observe\n",
    "on one line with rules": "modes: {default: observe, rules: [{kind: human, mode: observe}]}\n",
}


def text(modes: str) -> str:
    return shipped_text().replace(MODES, modes + "\n", 1)


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("environment", ["prod", "", "no", "eu west: 'one'"])
def test_one_cell_is_enforced_and_the_way_back_leads_to_the_same_modes(written, environment):
    before = text(written)
    enforced = with_mode(before, Kind.AI_AGENT, environment, Mode.ENFORCE)
    policy = parse(enforced)
    assert policy.mode(Kind.AI_AGENT, environment) is Mode.ENFORCE
    assert {policy.mode(kind, where) for kind in Kind if kind is not Kind.AI_AGENT for where in ("prod", "dev", "")} == {Mode.OBSERVE}
    back = with_mode(enforced, Kind.AI_AGENT, environment, Mode.OBSERVE)
    assert parse(back).mode(Kind.AI_AGENT, environment) is Mode.OBSERVE
    assert len(back.splitlines()) == len(enforced.splitlines())


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_at_most_one_line_is_different_and_one_new_and_every_comment_stays(written):
    before = text(written)
    after = with_mode(before, Kind.AI_AGENT, "prod", Mode.ENFORCE)
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:1] in "+-"]
    assert 1 <= len(lines) <= 3
    assert [line.partition("#")[2] for line in after.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in before.splitlines() if "#" in line
    ]


def test_a_rule_that_gives_the_mode_already_is_changed_in_its_place():
    before = text("modes:\n  default: observe\n  rules:\n    - {environment: prod, mode: observe, kind: ai_agent}  # soon\n")
    after = with_mode(before, Kind.AI_AGENT, "prod", Mode.ENFORCE)
    assert after == before.replace("mode: observe, kind", "mode: enforce, kind")
