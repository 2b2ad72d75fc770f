"""The text of a policy with a mode or thresholds changed and nothing else: comments, order and spelling stay as their author wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import yaml

from containment.domain.facts import Kind
from containment.domain.policy import Mode, ModeRule, RiskPolicy, Thresholds, parse

_BARE = re.compile(r"[A-Za-z][\w-]*")
_MEANT_OTHERWISE = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def with_mode(text: str, kind: Kind, environment: str, mode: Mode) -> str:
    """`kind` in `environment` is in `mode`; in every other place nothing changes. Without an environment: wherever no rule
    names kind and environment."""
    before = parse(text)
    rule = ModeRule(mode, kind, environment)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    modes = _member(root, "modes")
    rules = _member(modes, "rules")
    if (found := _rule_node(rules, kind, environment)) is not None:
        changed = _put(text, found, str(mode))
    elif rules is None:
        changed = _with_rules(text, modes, rule)
    else:
        changed = _with_rule(text, rules, rule)
    _only_this_changed(before, parse(changed), rule)
    return changed


def with_thresholds(text: str, wanted: Mapping[int, Thresholds]) -> str:
    """`wanted`: the number of a threshold rule, as it stands in the text, and what it shall say. Whatever is not there stays."""
    rules = _member(yaml.compose(text, Loader=yaml.SafeLoader), "thresholds")
    places: list[tuple[yaml.Node, float]] = []
    for number, rule in enumerate(rules.value if isinstance(rules, yaml.SequenceNode) else ()):
        if number in wanted:
            said = (("soft", wanted[number].soft), ("hard", wanted[number].hard))
            places += [(node, value) for name, value in said if (node := _member(rule, name)) is not None]
    for node, value in sorted(places, key=lambda place: -place[0].start_mark.index):  # from the end: the places before stay where they are
        text = _put(text, node, f"{value:g}")
    return text


def _only_this_changed(before: RiskPolicy, after: RiskPolicy, rule: ModeRule) -> None:
    others = tuple(one for one in before.mode_rules if (one.kind, one.environment) != (rule.kind, rule.environment))
    kept = tuple(one for one in after.mode_rules if (one.kind, one.environment) != (rule.kind, rule.environment))
    same = replace(after, mode_rules=()) == replace(before, mode_rules=()) and set(kept) == set(others)
    if not same or rule not in after.mode_rules:
        raise ValueError("the text of this policy cannot be changed by itself; a person has to")


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _rule_node(rules: yaml.Node | None, kind: Kind, environment: str) -> yaml.Node | None:
    """Where the mode of exactly this kind and environment stands, if a rule gives it."""
    for one in rules.value if isinstance(rules, yaml.SequenceNode) else ():
        said = {key.value: value.value for key, value in one.value} if isinstance(one, yaml.MappingNode) else {}
        if said.get("kind") == kind and said.get("environment", "") == environment:
            return _member(one, "mode")
    return None


def _put(text: str, node: yaml.Node, word: str) -> str:
    return text[: node.start_mark.index] + word + text[node.end_mark.index :]


def _with_rules(text: str, modes: yaml.Node | None, rule: ModeRule) -> str:
    """There is no list of rules yet."""
    if not isinstance(modes, yaml.MappingNode):
        raise ValueError("the policy says nothing about modes")
    if modes.flow_style:
        end = modes.end_mark.index - 1
        return text[:end].rstrip() + f", rules: [{_flow(rule)}]" + text[end:]
    first = modes.value[0][0]
    line_end = text.find("\n", modes.value[0][1].end_mark.index)
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{' ' * first.start_mark.column}rules: [{_flow(rule)}]{text[line_end:]}"


def _with_rule(text: str, rules: yaml.Node, rule: ModeRule) -> str:
    if not isinstance(rules, yaml.SequenceNode):
        raise ValueError("the rules of the modes are no list")
    if rules.flow_style or not rules.value:
        end = rules.end_mark.index - 1
        before = text[:end].rstrip()
        comma = ", " if rules.value and not before.endswith(",") else " " if rules.value else ""
        return before + comma + _flow(rule) + text[end:]
    last = rules.value[-1]
    line_end = text.find("\n", _end_of(last))
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{' ' * rules.start_mark.column}- {_flow(rule)}{text[line_end:]}"


def _end_of(node: yaml.Node) -> int:
    """Where its last word ends; a block ends only where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end_of(node.value[-1][1])
    return int(node.end_mark.index)


def _flow(rule: ModeRule) -> str:
    where = f", environment: {_quoted(rule.environment)}" if rule.environment else ""
    return f"{{kind: {rule.kind}{where}, mode: {rule.mode}}}"


def _quoted(word: str) -> str:
    if _BARE.fullmatch(word) and word.lower() not in _MEANT_OTHERWISE:
        return word
    return "'" + word.replace("'", "''") + "'"
