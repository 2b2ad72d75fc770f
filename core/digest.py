"""Canonical JSON and the digests over it: sorted keys, no spaces, UTF-8, no NaN; dates as ISO 8601 in UTC with microseconds.

Two records with the same facts have the same bytes, on every machine and Python version that we support.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any
from uuid import UUID


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case dict():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(plain(item) for item in value)
        case list() | tuple():
            return [plain(item) for item in value]
        case UUID():
            return str(value)
        case bytes():
            return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def sparse(value: Any) -> Any:
    """Like plain, without the members of records that hold their default: a record that gains a member keeps its digest."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: sparse(item) for name, default in _members(type(value)) if not _is(item := getattr(value, name), default)}
    if isinstance(value, dict):
        return {str(plain(key)): sparse(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sparse(item) for item in value]
    return plain(value)


@cache
def _members(record: type) -> tuple[tuple[str, Any], ...]:
    """Each member with its default; MISSING where it has none."""
    return tuple((one.name, one.default if one.default_factory is MISSING else one.default_factory()) for one in fields(record))


def _is(value: Any, default: Any) -> bool:
    return default is not MISSING and type(value) is type(default) and bool(value == default)


def canonical(value: Any) -> bytes:
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """`sha256:` and 64 hex digits over the canonical bytes."""
    return digest_of_bytes(canonical(value))


def digest_of_bytes(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
