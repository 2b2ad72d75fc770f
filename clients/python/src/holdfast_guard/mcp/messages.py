"""JSON-RPC as the protocol uses it: one reading of each message, the kinds there are, and the errors that we answer with.

Every message is read once and written out again from what was read, so that whoever stands behind us reads what the guard was asked about.
Knows no transport.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeGuard

Message = dict[str, Any]
Id = str | int

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
DENIED = -32001  # the number that the AuthZEN binding gives a denial; `data.evaluation_id` tells it from other uses of the number
HEADER_MISMATCH = -32020
LONGEST_BATCH = 200
DEEPEST = 100  # what is nested deeper is nobody's message, and would overflow whoever walks it

GATED = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}  # each with the member that names what it is about
PASSED = frozenset(
    {
        *("initialize", "ping", "server/discover", "logging/setLevel"),
        *("tools/list", "resources/list", "resources/templates/list", "prompts/list"),
        *("resources/unsubscribe", "subscriptions/listen"),
        *("tasks/get", "tasks/list", "tasks/result", "tasks/cancel"),
    }
)  # not completion/complete, resources/subscribe and tasks/update: they carry words or ask for data, and nobody is asked about them
PASSED_BACK = frozenset({"ping", "roots/list"})  # of what a server asks; not samples of the client's model, nor answers of its user
TOLD = frozenset({"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed"})
HARMLESS = frozenset(
    {"initialize", "ping", "server/discover", "tools/list", "subscriptions/listen", "tasks/cancel"}
)  # what one that is contained may still say
HARMLESS_TOLD = frozenset({"notifications/initialized", "notifications/cancelled"})


class Unreadable(ValueError):  # noqa: N818 - what it is about is not ours
    """Not a message. `code` and the sentence go back to whoever sent it."""

    def __init__(self, code: int, because: str) -> None:
        super().__init__(because)
        self.code, self.because = code, because


def read(raw: bytes) -> Message | list[Any]:
    """The object or the batch in these bytes. A name that stands twice in one object, or a number that is none, makes it unreadable: two
    readers would read two things."""
    try:
        said = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_number, parse_float=_finite)
    except Unreadable:
        raise
    except (ValueError, RecursionError) as fault:
        raise Unreadable(PARSE_ERROR, "This is not JSON.") from fault
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _is_deep(said):
        raise Unreadable(INVALID_REQUEST, f"A message is nested at most {DEEPEST} deep.")
    if isinstance(said, list):
        if not 0 < len(said) <= LONGEST_BATCH:
            raise Unreadable(INVALID_REQUEST, f"A batch holds 1 to {LONGEST_BATCH} messages.")
        return said
    if not isinstance(said, dict):
        raise Unreadable(INVALID_REQUEST, "A message is an object.")
    return said


def meant(raw: bytes) -> list[Id] | None:
    """Whom these bytes, which nobody can read, meant to answer. None: an answer, and nobody can tell to what."""
    text = raw.decode("utf-8", "replace").lstrip()
    if text[:1] not in ("{", "["):
        return []
    top, depth = (1 if text[0] == "{" else 2), 0
    names: list[str] = []
    said: list[str] = []
    for token in _TOKENS.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0][0], 0)
        if token["name"] is not None and depth == top:
            names.append(token["name"])
            if token["name"] == "id" and (value := _ID.match(text, token.end())):
                said.append(value[0])
    if "method" in names or not {"result", "error"} & {*names}:
        return []
    if not said or len(said) != names.count("id") or (top == 1 and len(said) > 1):
        return None
    return [json.loads(value) for value in said]


def write(message: Message | list[Message]) -> bytes:
    """On one line, in ASCII, so that no line separator of any alphabet can end it early."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")


def kind(message: Any) -> str:
    """request, notification, answer, or "" for what is none of them."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return ""
    if "method" in message:
        if not isinstance(message["method"], str) or not isinstance(message.get("params", {}), dict | list):
            return ""
        if "id" not in message:
            return "notification"
        return "request" if is_id(message["id"]) else ""
    return "answer" if ("result" in message) != ("error" in message) and (is_id(message.get("id")) or message.get("id") is None) else ""


def is_id(said: Any) -> TypeGuard[Id]:
    return isinstance(said, str | int) and not isinstance(said, bool)


def key(said: Id) -> tuple[bool, Id]:
    """1 and "1" are two ids."""
    return isinstance(said, str), said


def params(message: Message) -> Message:
    said = message.get("params")
    return said if isinstance(said, dict) else {}


def progress_token(message: Message) -> Id | None:
    meta = params(message).get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    return token if is_id(token) else None


def request(ident: Id, method: str, said: Mapping[str, Any] | None = None) -> Message:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": dict(said or {})}


def notification(method: str, said: Mapping[str, Any] | None = None) -> Message:
    return {"jsonrpc": "2.0", "method": method} | ({"params": dict(said)} if said is not None else {})


def answer(ident: Id | None, result: Mapping[str, Any]) -> Message:
    return {"jsonrpc": "2.0", "id": ident, "result": dict(result)}


def error(ident: Id | None, code: int, because: str, data: Mapping[str, Any] | None = None) -> Message:
    return {"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": because} | ({"data": dict(data)} if data else {})}


def texts(result: Any, *, most: int = 50, longest: int = 2_000, deepest: int = 8) -> list[str]:
    """The text values in a result, for tracing where later arguments come from. Bounded, and nothing of it is ever acted on."""
    found: list[str] = []
    waiting: list[tuple[Any, int]] = [(result, 0)]
    while waiting and len(found) < most:
        value, depth = waiting.pop(0)
        if isinstance(value, str):
            found.append(value[:longest])
        elif depth < deepest:
            inside: Iterable[Any] = ()
            if isinstance(value, dict):
                inside = (each for name, each in value.items() if name not in _NO_TEXT)
            elif isinstance(value, list):
                inside = value[:most]
            waiting.extend((each, depth + 1) for each in inside)
    return found


def headers_in(schema: Any) -> dict[str, tuple[str, ...]]:
    """The properties of a tool's schema that are to be repeated in headers: the name after the prefix → the way to the argument."""
    found: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[Any, tuple[str, ...]]] = [(schema, ())]
    while waiting:
        said, path = waiting.pop()
        if not isinstance(said, dict):
            continue
        name = said.get("x-mcp-header")
        if path and isinstance(name, str) and _HEADER.fullmatch(name):
            found[name.lower()] = path
        inside = said.get("properties")
        waiting.extend((each, (*path, step)) for step, each in (inside if isinstance(inside, dict) else {}).items())
    return found


def task_of(result: Any) -> str:
    """The name of the task that this result says has begun, in the words of either revision; empty if it began none."""
    said = result.get("task", result) if isinstance(result, dict) else None
    begun = isinstance(said, dict) and (said is not result or result.get("resultType") == "task")
    name = said.get("taskId") if begun and isinstance(said, dict) else None
    return name if isinstance(name, str) else ""


def plain(said: object, longest: int = 300) -> str:
    """Somebody else's words, fit for a log or a terminal: one line, no control characters, not long."""
    text = str(said)
    kept = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:longest])
    return kept + ("…" if len(text) > longest else "")


_TOKENS = re.compile(r'"(?P<name>id|method|result|error)"\s*:|"(?:[^"\\]|\\.)*"|[\[\]{}]')
_ID = re.compile(r'\s*(?P<said>-?\d{1,18}(?![\d.eE])|"[^"\\\x00-\x1f]{0,200}")')
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_NO_TEXT = frozenset({"_meta", "type", "mimeType", "data", "blob", "annotations", "resultType"})  # kinds, and bytes in letters


def _no_name_twice(pairs: list[tuple[str, Any]]) -> Message:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise Unreadable(INVALID_REQUEST, "A name stands twice in one object.")
    return said


def _finite(said: str) -> float:
    number = float(said)
    return number if math.isfinite(number) else _no_number(said)


def _is_deep(said: Any) -> bool:
    waiting: list[tuple[Any, int]] = [(said, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list):
            if depth > DEEPEST:
                return True
            waiting.extend((each, depth + 1) for each in (value.values() if isinstance(value, dict) else value))
    return False


def _no_number(said: str) -> NoReturn:
    raise Unreadable(PARSE_ERROR, f"{said} is not a number in JSON.")
