"""Canonical JSON and the digests over it: sorted keys, no spaces, UTF-8, no NaN; dates as ISO 8601 in UTC with microseconds.

Two records with the same facts have the same bytes, on every machine and Python version that we support, and also after a database kept
them as JSON: there is no negative zero, and a number of 16 digits and more has no exponent. What to do with a value is looked up once for
each of its classes: this runs in every decision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

_Way = Callable[[Any], Any]

_LARGE = 1e16  # from here on a float is written with an exponent, and a database's JSON without one


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None."""
    return (_PLAIN.get(type(value)) or _learned(_PLAIN, type(value), _plainly))(value)


def sparse(value: Any) -> Any:
    """Like plain, without the members of records that hold their default: a record that gains a member keeps its digest."""
    return (_SPARSE.get(type(value)) or _learned(_SPARSE, type(value), _sparsely))(value)


def canonical(value: Any) -> bytes:
    return _written(plain(value))


def digest(value: Any) -> str:
    """`sha256:` and 64 hex digits over the canonical bytes."""
    return digest_of_bytes(canonical(value))


def digest_of_sparse(value: Any) -> str:
    """The digest of sparse(value): as digest(sparse(value)), looked at once."""
    return digest_of_bytes(_written(sparse(value)))


def digest_of_bytes(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _written(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False)
_PLAIN: dict[type, _Way] = {}
_SPARSE: dict[type, _Way] = {}


def _learned(ways: dict[type, _Way], of: type, how: Callable[[type], _Way]) -> _Way:
    ways[of] = way = how(of)
    return way


def _plainly(of: type) -> _Way:
    if issubclass(of, Enum):
        return lambda value: value.value
    if of is type(None) or issubclass(of, bool | int | str):
        return lambda value: value
    if issubclass(of, float):
        return _number
    if issubclass(of, datetime):
        return _moment
    if issubclass(of, dict):
        return lambda value: {str(plain(key)): plain(item) for key, item in value.items()}
    if issubclass(of, set | frozenset):
        return lambda value: sorted(map(plain, value))
    if issubclass(of, list | tuple):
        return lambda value: [plain(item) for item in value]
    if issubclass(of, UUID):
        return str
    if issubclass(of, bytes):
        return lambda value: value.hex()
    if is_dataclass(of):
        names = tuple(one.name for one in fields(of))
        return lambda value: {name: plain(getattr(value, name)) for name in names}
    return str


def _sparsely(of: type) -> _Way:
    if is_dataclass(of):
        return _sparse_record(tuple((one.name, _default(one)) for one in fields(of)))
    if issubclass(of, Enum):
        return _plainly(of)
    if issubclass(of, dict):
        return lambda value: {str(plain(key)): sparse(item) for key, item in value.items()}
    if issubclass(of, list | tuple):
        return lambda value: [sparse(item) for item in value]
    return _plainly(of)


def _default(member: Field[Any]) -> Any:
    """MISSING where it has none."""
    return member.default if member.default_factory is MISSING else member.default_factory()


def _sparse_record(members: tuple[tuple[str, Any], ...]) -> _Way:
    def without_defaults(record: Any) -> dict[str, Any]:
        kept = {}
        for name, default in members:
            item = getattr(record, name)
            if item is default or (type(item) is type(default) and item == default):
                continue
            kept[name] = sparse(item)
        return kept

    return without_defaults


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _number(value: float) -> float | int:
    if -_LARGE < value < _LARGE:
        return value + 0.0  # -0.0 becomes 0.0
    return int(Decimal(repr(value))) if value - value == 0 else value  # what is infinite or no number is refused when it is written
