"""Python values as JSON that the service takes: no NUL, no lone surrogate, no number that readers disagree about, no endless nesting.

What is told may lose by that; what is asked about may not. `unsayable` is asked first: what the guard sees has to be what is done.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

DEEPEST = 20
SAFE = 2**53 - 1
MOST_TEXTS, LONGEST_TEXT = 20, 8_000
LONGEST_KEY, LONGEST_PATH = 60, 300

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
        return _bytes(bytes(value))
    return text(value)


def _bytes(value: bytes) -> Any:
    """As text where it is some; otherwise as what says exactly which bytes these are."""
    try:
        said = value.decode("utf-8")
    except UnicodeDecodeError:
        said = "\0"
    return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()} if _UNSTORABLE.search(said) else said


def unsayable(arguments: Any, called: str = "arguments") -> str:
    """Where and why these cannot be said exactly, in one sentence; empty when they can. Such a call is refused, not asked about."""
    try:
        return _unsayable(arguments, called, 0)
    except Exception as error:  # whatever is in there is not ours: a value may fail to say what it is
        return f"{called} cannot be read ({type(error).__name__})."


def _unsayable(value: Any, path: str, depth: int) -> str:
    if depth > DEEPEST:
        return f"{path} is nested more than {DEEPEST} levels deep."
    if value is None or isinstance(value, bool | bytes | bytearray | memoryview):
        return ""
    if isinstance(value, int):
        return "" if abs(value) <= SAFE else f"{path} is a number beyond 2^53, which not all read alike. Send it as text."
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{path} is no finite number."
    if isinstance(value, Mapping):
        return _unsayable_object(value, path, depth)
    if isinstance(value, list | tuple | set | frozenset):
        found = (_unsayable(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
        return next((why for why in found if why), "")
    return f"{path} has a character that no JSON text may have." if _UNSTORABLE.search(str(value)) else ""


def _unsayable_object(value: Mapping[Any, Any], path: str, depth: int) -> str:
    seen: set[str] = set()
    for key, item in value.items():
        name = str(key)
        if _UNSTORABLE.search(name):
            return f"{path} has a key with a character that no JSON text may have."
        if name in seen:
            return f"{path} has the key {name[:LONGEST_KEY]} more than once."
        seen.add(name)
        if why := _unsayable(item, f"{path}.{name[:LONGEST_KEY]}"[:LONGEST_PATH], depth + 1):
            return why
    return ""


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
