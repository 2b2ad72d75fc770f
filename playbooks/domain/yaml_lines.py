"""Reads YAML into plain values and knows on which line each of them stands, by path (`stages.soft[1].measure`).

Stricter than YAML: no anchors, no member twice, nothing longer or deeper than a person reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

LONGEST = 100_000
DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Located:
    """One thing wrong with a text: the line, the path of the member, the rule it breaks, and a sentence."""

    line: int
    path: str
    code: str
    detail: str


class NotReadable(Exception):  # noqa: N818 - becomes a refusal where it is known what the text was for
    def __init__(self, *faults: Located) -> None:
        super().__init__(faults[0].detail)
        self.faults = list(faults)


@dataclass(frozen=True, slots=True)
class Lined:
    value: Any
    lines: Mapping[str, int]

    def line_of(self, path: str) -> int:
        """The line of the member, or of the nearest one around it: what is missing has no line of its own."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)


def load(text: str) -> Lined:
    """Raises NotReadable with what keeps it from being read at all."""
    if len(text) > LONGEST:
        raise NotReadable(Located(1, "", "too_large", f"The text is longer than {LONGEST} characters."))
    try:
        _refuse_tricks(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        said = str(getattr(error, "problem", None) or "this is not YAML")
        raise NotReadable(Located(mark.line + 1 if mark else 1, "", "not_yaml", f"This is not YAML: {said}.")) from None
    if node is None:
        return Lined(None, {})
    lines: dict[str, int] = {}
    if twice := list(_walk(node, "", lines)):
        raise NotReadable(*twice)
    return Lined(value, lines)


def _refuse_tricks(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
            raise NotReadable(Located(line, "", "anchor", "Anchors and aliases are not allowed: what is approved stands in full."))
        if depth > DEEPEST:
            raise NotReadable(Located(line, "", "too_deep", f"More than {DEEPEST} levels deep."))


def _walk(node: yaml.Node, path: str, lines: dict[str, int]) -> Iterator[Located]:
    """Fills in where each member stands, and finds those that stand twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, f"{path}[{index}]", lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            member = f"{path}.{key.value}" if path else str(key.value)
            line = key.start_mark.line + 1
            if member in lines:
                yield Located(line, member, "twice", f"`{key.value}` stands here twice.")
            lines[member] = line
            yield from _walk(value, member, lines)
