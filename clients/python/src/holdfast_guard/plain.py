"""Python values as JSON that the service takes: no NUL, no lone surrogate, no number that readers disagree about, no endless nesting."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

DEEPEST = 20
SAFE = 2**53 - 1
MOST_TEXTS, LONGEST_TEXT = 20, 8_000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def text(value: object) -> str:
    return _UNSTORABLE.sub("\ufffd", str(value))


def plain(value: Any, depth: int = 0) -> Any:
    """What is no JSON becomes its text."""
    if depth > DEEPEST:
        return "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return value if abs(value) <= SAFE else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {text(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return text(bytes(value).decode("utf-8", "replace"))
    return text(value)


def texts(value: Any) -> list[str]:
    """The texts in what a tool returned, so that it can be seen later where an argument came from. A bounded number, each cut."""
    found: list[str] = []
    _collect(value, found, 0)
    return found


def _collect(value: Any, found: list[str], depth: int) -> None:
    if len(found) >= MOST_TEXTS or depth > DEEPEST or value is None or isinstance(value, bool):
        return
    if isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _collect(item, found, depth + 1)
    elif isinstance(value, str | bytes | int | float):
        said = plain(value)
        if str(said).strip():
            found.append(str(said)[:LONGEST_TEXT])


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
