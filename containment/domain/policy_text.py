"""A policy's text with other thresholds in it: what people wrote around them stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from containment.domain.policy import Thresholds


def with_thresholds(text: str, wanted: Mapping[int, Thresholds]) -> str:
    """`wanted`: the number of a threshold rule, as it stands in the text, and what it shall say. Whatever is not there stays."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    rules = _member(root, "thresholds")
    if not isinstance(rules, yaml.SequenceNode):
        return text
    places: list[tuple[int, int, float]] = []
    for number, rule in enumerate(rules.value):
        if number not in wanted:
            continue
        for name, value in (("soft", wanted[number].soft), ("hard", wanted[number].hard)):
            if (node := _member(rule, name)) is not None:
                places.append((node.start_mark.index, node.end_mark.index, value))
    for start, end, value in sorted(places, reverse=True):  # from the end, so that the places before stay where they are
        text = f"{text[:start]}{value:g}{text[end:]}"
    return text


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)
