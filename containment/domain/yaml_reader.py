"""Reads a YAML document member by member and collects every fault with its path and line. Used by policy.py.

Stricter than YAML: no anchors, no tags, no member twice, no member that nobody asked for. A faulty member reads as some harmless value, so
that the rest is still looked at; `read` raises before anybody sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import yaml

from core.refusals import BadInput, Fault

MOST = 256 * 1024
DEEPEST = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built so: ten times as fast
Plain = str | float | bool
T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)


def read(text: str, build: Callable[[Reader], T]) -> T:
    """What `build` makes of the document in `text`; BadInput with every fault found on the way."""
    faults: list[Fault] = []
    built = build(Reader(_compose(text), "", faults))
    if faults:
        raise BadInput(faults)
    return built


def _compose(text: str) -> yaml.Node:
    if len(text) > MOST:
        raise BadInput([Fault("", "too_large", f"line 1: the document is longer than {MOST} characters")])
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
                raise BadInput([Fault("", "anchor", f"line {line}: anchors and aliases are not allowed")])
            if depth > DEEPEST:
                raise BadInput([Fault("", "too_deep", f"line {line}: more than {DEEPEST} levels deep")])
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise BadInput([Fault("", "not_yaml", f"line {line}: {getattr(error, 'problem', None) or 'this is not YAML'}")]) from None
    if node is None:
        raise BadInput([Fault("", "empty", "line 1: the document is empty")])
    return node


class Reader:
    """One node of the document, and where it stands."""

    def __init__(self, node: yaml.Node, path: str, faults: list[Fault]) -> None:
        self._node = node
        self._path = path
        self._faults = faults

    def fault(self, code: str, sentence: str) -> None:
        self._faults.append(Fault(self._path, code, f"line {self._node.start_mark.line + 1}: {sentence}"))

    def pairs(self) -> Iterable[tuple[str, Reader]]:
        """Every member with its name."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fault("wrong_type", "a mapping (name: value) stands here")
            return
        seen: set[str] = set()
        for key, value in self._node.value:
            name = str(key.value)
            member = Reader(value, f"{self._path}.{name}" if self._path else name, self._faults)
            if name in seen:
                Reader(key, member._path, self._faults).fault("twice", f"`{name}` stands here twice")
                continue
            seen.add(name)
            yield name, member

    def members(self, required: set[str], optional: Iterable[str] = ()) -> Mapping[str, Reader]:
        """The members by name: all required ones, those optional ones that are there, and a fault for any other."""
        found: dict[str, Reader] = {}
        for name, member in self.pairs():
            if name in required or name in optional:
                found[name] = member
            else:
                member.fault("unknown", f"`{name}` is not known here")
        for name in sorted(required - found.keys()):
            absent = _Nothing(self._node, f"{self._path}.{name}" if self._path else name, self._faults)
            if isinstance(self._node, yaml.MappingNode):
                Reader.fault(absent, "missing", f"`{name}` is missing")
            found[name] = absent
        return found

    def table(self, words: type[Word], value: Callable[[Reader], T], *, whole: bool = False) -> Mapping[Word, T]:
        """A mapping whose names are words of one kind; `whole`: every one of them."""
        named = self.named({str(word): None for word in words}, value, whole=whole)
        return {words(name): item for name, item in named.items()}

    def named(self, names: Mapping[str, object], value: Callable[[Reader], T], *, whole: bool = False) -> Mapping[str, T]:
        """A mapping whose names are among `names`; `whole`: every one of them."""
        members = self.members(set(names) if whole else set(), names)
        return {name: value(member) for name, member in members.items()}

    def items(self) -> list[Reader]:
        if not isinstance(self._node, yaml.SequenceNode):
            self.fault("wrong_type", "a list stands here")
            return []
        return [Reader(item, f"{self._path}[{index}]", self._faults) for index, item in enumerate(self._node.value)]

    def text(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode) or not self._node.value.strip():
            self.fault("wrong_type", "a text stands here")
            return ""
        return str(self._node.value)

    def texts(self) -> tuple[str, ...]:
        """One text, or a list of them."""
        return tuple(one.text() for one in self.items()) if self.is_list else (self.text(),)

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def values(self) -> tuple[Plain, ...]:
        """One text, number or yes-or-no, or a list of them."""
        return tuple(one._plain() for one in self.items()) if self.is_list else (self._plain(),)

    def _plain(self) -> Plain:
        if not isinstance(self._node, yaml.ScalarNode):
            self.fault("wrong_type", "a text, a number, true or false stands here")
            return ""
        match self._tag():
            case "bool":
                return str(self._node.value).lower() in ("true", "yes", "on")
            case "int" | "float":
                return self.number(-1e15, 1e15)
        return str(self._node.value)

    def word(self, words: type[Word]) -> Word:
        said = self._scalar()
        if said in {str(word) for word in words}:
            return words(said)
        self.fault("not_one_of", f"one of {', '.join(words)} stands here, not {said!r}")
        return next(iter(words))

    def number(self, low: float, high: float) -> float:
        said = self._scalar()
        try:
            value = float(said) if self._tag() in {"int", "float"} else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            self.fault("not_a_number_between", f"a number from {low:g} to {high:g} stands here, not {said!r}")
            return low
        return value

    def share(self) -> float:
        return self.number(0, 1)

    def whole(self, low: int) -> int:
        value = self.number(low, 10**9)
        if value != int(value):
            self.fault("not_whole", f"a whole number stands here, not {value:g}")
        return int(value)

    def _scalar(self) -> str:
        return str(self._node.value) if isinstance(self._node, yaml.ScalarNode) else "a mapping or a list"

    def _tag(self) -> str:
        return str(self._node.tag).rpartition(":")[2]


class _Nothing(Reader):
    """A required member that is not there. Its absence is already a fault, so that it adds no other."""

    def fault(self, code: str, sentence: str) -> None:
        pass

    def pairs(self) -> Iterable[tuple[str, Reader]]:
        return ()

    def items(self) -> list[Reader]:
        return []

    def members(self, required: set[str], optional: Iterable[str] = ()) -> Mapping[str, Reader]:
        return dict.fromkeys(required, self)

    def named(self, names: Mapping[str, object], value: Callable[[Reader], T], *, whole: bool = False) -> Mapping[str, Any]:
        return {name: value(self) for name in names} if whole else {}

    def word(self, words: type[Word]) -> Word:
        return next(iter(words))

    def number(self, low: float, high: float) -> float:
        return low

    def text(self) -> str:
        return ""
