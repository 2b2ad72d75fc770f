"""Facts from their plain form, as stored with a decision, so that it can be judged again. The opposite of core.digest.plain.

How each member is read is worked out once from the types in facts.py; a backtest restores many thousands.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from containment.domain.facts import Facts

T = TypeVar("T")
_Way = Callable[[Any], Any]


def restore(stored: Mapping[str, Any]) -> Facts:
    """The same facts: judged under the same policy, they have the same digest. Members added since then take their defaults."""
    facts = _record(Facts)(stored)
    assert isinstance(facts, Facts)  # noqa: S101 - for the type checker
    return facts


def part(stored: Mapping[str, Any], wanted: type[T]) -> T:
    """One record of the facts, where it is stored by itself."""
    record: type = wanted
    made = _record(record)(stored)
    assert isinstance(made, wanted)  # noqa: S101 - for the type checker
    return made


def _way(wanted: Any) -> _Way | None:
    """How to read a value of this type; None where it stays as it is."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _optional(_way(next(one for one in inner if one is not types.NoneType)))
    if origin in (tuple, frozenset):
        return _collection(origin, _way(inner[0]))
    if not isinstance(wanted, type):
        return None
    if is_dataclass(wanted):
        return lambda value: _record(wanted)(value)
    if issubclass(wanted, Enum):
        return {one.value: one for one in wanted}.__getitem__
    if wanted is datetime:
        return datetime.fromisoformat
    return _float if wanted is float else None


def _optional(way: _Way | None) -> _Way | None:
    return way and (lambda value: None if value is None else way(value))


def _collection(made: Callable[[Any], Any], way: _Way | None) -> _Way:
    return made if way is None else lambda value: made([way(item) for item in value])


def _float(value: Any) -> float:
    """A database keeps 1e16 as a whole number."""
    return float(value)


@cache
def _record(wanted: type) -> _Way:
    hints = get_type_hints(wanted)
    as_it_is = frozenset(one.name for one in fields(wanted) if _way(hints[one.name]) is None)
    ways = {one.name: way for one in fields(wanted) if (way := _way(hints[one.name])) is not None}
    return lambda value: wanted(
        **{name: item if name in as_it_is else ways[name](item) for name, item in value.items() if name in as_it_is or name in ways}
    )
