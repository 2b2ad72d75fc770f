"""Reads YAML into plain values and knows on which line each of them stands, by path (`stages.soft[1].measure`).

Stricter than YAML: no anchors, no tags, no merging, no member twice, nothing that cannot be stored, nothing longer or deeper than a person
reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import yaml

LONGEST = 100_000
MOST_LINES = 2_000
LONGEST_NAME = 200  # of a member
DEEPEST = 20
MOST_FAULTS = 100
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built so: ten times as fast
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UNREAD = (yaml.YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError)  # what making values of a text may raise


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
    if text.count("\n") >= MOST_LINES:
        raise NotReadable(Located(MOST_LINES, "", "too_large", f"The text has more than {MOST_LINES} lines."))
    if found := _UNSTORABLE.search(text):
        raise NotReadable(Located(text.count("\n", 0, found.start()) + 1, "", "unstorable_character", _unstorable(found[0])))
    try:
        _refuse_tricks(text)
        node = yaml.compose(text, Loader=LOADER)
        value = yaml.load(text, Loader=LOADER)  # noqa: S506 - a safe one
    except _UNREAD as error:
        mark = getattr(error, "problem_mark", None)
        said = str(getattr(error, "problem", None) or "this is not YAML")
        raise NotReadable(Located(mark.line + 1 if mark else 1, "", "not_yaml", f"This is not YAML: {said}.")) from None
    if node is None:
        return Lined(None, {})
    lines: dict[str, int] = {}
    if found_in_it := list(islice(_walk(node, "", lines), MOST_FAULTS)):
        raise NotReadable(*found_in_it)
    return Lined(value, lines)


def _refuse_tricks(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
            raise NotReadable(Located(line, "", "anchor", "Anchors and aliases are not allowed: what is approved stands in full."))
        if getattr(event, "tag", None):
            raise NotReadable(Located(line, "", "tag", "Tags are not allowed: a value is what it looks like."))
        if depth > DEEPEST:
            raise NotReadable(Located(line, "", "too_deep", f"More than {DEEPEST} levels deep."))


def _walk(node: yaml.Node, path: str, lines: dict[str, int]) -> Iterator[Located]:
    """Fills in where each member stands, and finds those that stand twice, those that are no names, and what cannot be stored."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, f"{path}[{index}]", lines)
    elif isinstance(node, yaml.ScalarNode):
        if found := _UNSTORABLE.search(node.value):
            yield Located(node.start_mark.line + 1, path, "unstorable_character", _unstorable(found[0]))
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or len(key.value) > LONGEST_NAME or _UNSTORABLE.search(key.value):
                yield Located(line, path, "invalid", f"A member is named by a text of at most {LONGEST_NAME} characters.")
                continue
            member = f"{path}.{key.value}" if path else str(key.value)
            if key.value == "<<":
                yield Located(line, member, "merge", "Members are not merged in: what is approved stands in full.")
            if member in lines:
                yield Located(line, member, "twice", f"`{key.value}` stands here twice.")
            lines[member] = line
            yield from _walk(value, member, lines)


def _unstorable(character: str) -> str:
    return f"Holds {'NUL' if character == chr(0) else 'a lone surrogate'}, which cannot be stored."
