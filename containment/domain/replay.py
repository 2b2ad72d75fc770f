"""Facts from their plain form, as stored with a decision, so that it can be judged again. The opposite of core.digest.plain."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from containment.domain.facts import Facts


def restore(stored: Mapping[str, Any]) -> Facts:
    """The same facts: judged under the same policy, they have the same digest. Members added since then take their defaults."""
    facts = _restored(stored, Facts)
    assert isinstance(facts, Facts)  # noqa: S101 - for the type checker
    return facts


def _restored(value: Any, wanted: Any) -> Any:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return None if value is None else _restored(value, next(one for one in inner if one is not types.NoneType))
    if origin is tuple:
        return tuple(_restored(item, inner[0]) for item in value)
    if origin is frozenset:
        return frozenset(_restored(item, inner[0]) for item in value)
    if is_dataclass(wanted) and isinstance(wanted, type):
        hints = get_type_hints(wanted)
        return wanted(**{field.name: _restored(value[field.name], hints[field.name]) for field in fields(wanted) if field.name in value})
    if wanted is datetime:
        return datetime.fromisoformat(value)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted(value)
    return value
