"""The gate in front of every body: only small, shallow, unambiguous UTF-8 JSON gets in.

Parsers disagree about duplicate keys, numbers beyond 2^53 and lone surrogates, and a database refuses NUL; so what two readers could read
in two ways is refused here, each fault with its path. Digests are over the bytes received, never over JSON that was written again.

Views of DRF come in by StrictJSONParser, others call `read_json` or `read_batch`. FrontDoor stands before the whole web server.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from core.refusals import BadInput, Fault, Refusal

KIB, MIB = 1024, 1024 * 1024
LIMIT = MIB
BATCH_LIMIT = 8 * MIB
MOST_ITEMS = 1000
MOST_VALUES = 250_000  # a list of empty lists takes thirty times its size in memory
MOST_FAULTS = 50
DEEPEST = 32
SAFE = 2**53 - 1  # RFC 8259 section 6: beyond it, readers disagree
JSON = "application/json"
NDJSON = "application/x-ndjson"

_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)  # possessive: linear, whatever comes
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


class Malformed(BadInput):
    """Not JSON, or JSON that two readers could read in two ways."""

    code = "malformed"
    kind = "malformed"


class Unsupported(Refusal):
    code = "unsupported_media_type"
    kind = "unsupported"


class TooLarge(Refusal):
    code = "too_large"
    kind = "too_large"


@dataclass(frozen=True, slots=True)
class Item:
    """One member of a batch: its value, or what is wrong with it."""

    value: Any = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Stands in the parsed tree where a number could not be taken."""

    code: str
    detail: str


class _Twice(dict[str, Any]):
    """An object in which some keys came more than once."""

    keys_twice: tuple[str, ...] = ()


# -- ways in -----------------------------------------------------------------------------------------------------------------------------
def read_json(request: HttpRequest, *, limit: int = LIMIT) -> Any:
    check_type(request.headers.get("Content-Type", ""), JSON)
    return parse(read_body(request, request.META, limit))


def read_batch(request: HttpRequest, *, limit: int = BATCH_LIMIT) -> list[Item]:
    """A JSON array, or NDJSON. A broken array is refused whole; a broken line is that line's fault alone."""
    kind = check_type(request.headers.get("Content-Type", ""), JSON, NDJSON)
    body = read_body(request, request.META, limit)
    items = list(_lines(body)) if kind == NDJSON else _members(parse(body))
    if not items:
        raise BadInput([Fault("", "required", "The batch is empty.")], "The batch is empty.")
    return items


class StrictJSONParser(BaseParser):
    """For DRF: `request.data` comes through the gate."""

    media_type = JSON
    limit = LIMIT

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        meta: Mapping[str, Any] = (parser_context or {})["request"].META
        check_type(meta.get("CONTENT_TYPE", ""), JSON)
        return parse(read_body(stream, meta, self.limit))


# -- the outside of a body ---------------------------------------------------------------------------------------------------------------
def check_type(header: str, *accepted: str) -> str:
    """The accepted media type that `header` names. A charset other than UTF-8 is refused, said in whatever way."""
    kind, *parameters = (part.strip() for part in header.split(";"))
    if kind.lower() not in accepted:
        raise Unsupported(f"Send {' or '.join(accepted)}; this is {_shown(kind) or 'of no stated type'}.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower().startswith("charset") and (
            name.strip().lower() != "charset" or value.strip().strip('"').lower() not in {"utf-8", "utf8"}
        ):
            raise Unsupported(f"JSON is UTF-8; this says {_shown(parameter)}.")
    return kind.lower()


def read_body(stream: Any, meta: Mapping[str, Any], limit: int) -> bytes:
    """Never holds more than `limit` bytes and a bit, whatever the length said."""
    declared = str(meta.get("CONTENT_LENGTH") or "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 15 or int(declared) > limit):
        _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while chunk := stream.read(64 * KIB):
        size += len(chunk)
        if size > limit:
            _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


# -- the inside of a body ----------------------------------------------------------------------------------------------------------------
def parse(body: bytes, at: str = "") -> Any:
    """What `body` says, as dicts, lists, strings, numbers, booleans and None; or Malformed, with every fault and its path below `at`."""
    text = _text(body, at)
    _measure(text, at)
    try:
        tree = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda word: _Wrong("not_a_number", f"{word} is not a JSON number."),
            parse_int=_integer,
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        _malformed(at, "syntax", f"{error.msg} at line {error.lineno}, column {error.colno}.")
    faults: list[Fault] = []
    for fault in _faults(tree, at):
        faults.append(fault)
        if len(faults) == MOST_FAULTS:
            break
    if faults:
        raise Malformed(faults)
    return tree


def path_to(parent: str, key: str | int) -> str:
    """`identity.kind`, `[3].severity`; a key that is no plain word is quoted and escaped, and cut when it is long."""
    if isinstance(key, int):
        return f"{parent}[{key}]"
    if _PLAIN_KEY.fullmatch(key):
        return f"{parent}.{key}" if parent else key
    return f"{parent}[{json.dumps(key[:64])}]"


def _text(body: bytes, at: str) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        _malformed(at, "byte_order_mark", "The body begins with a byte order mark.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        _malformed(at, "not_utf8", f"Byte {error.start} is not UTF-8.")
    if not text.strip(" \t\r\n"):
        _malformed(at, "empty", "The body is empty.")
    return text


def _measure(text: str, at: str) -> None:
    """Depth and number of values, before anything is built from them."""
    depth = values = 0
    for match in _TOKENS.finditer(text):
        match text[match.start()]:
            case "[" | "{":
                depth += 1
                values += 1
            case "]" | "}":
                depth -= 1
            case ",":
                values += 1
        if depth > DEEPEST:
            _malformed(at, "too_deep", f"Nested more than {DEEPEST} levels deep.")
        if values > MOST_VALUES:
            raise TooLarge(f"More than {MOST_VALUES:,} values.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    twice = _Twice(members)
    twice.keys_twice = tuple(dict.fromkeys(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return twice


def _integer(digits: str) -> int | _Wrong:
    if len(digits) > 17 or abs(int(digits)) > SAFE:
        return _Wrong("out_of_range", "Whole numbers must lie between -(2^53 - 1) and 2^53 - 1.")
    return int(digits)


def _float(digits: str) -> float | _Wrong:
    value = float(digits)
    if not math.isfinite(value):
        return _Wrong("out_of_range", "The number is too large.")
    return value + 0.0  # -0.0 becomes 0.0


def _faults(value: Any, at: str) -> Iterator[Fault]:
    match value:
        case str():
            yield from _storable(value, at)
        case _Wrong():
            yield Fault(at, value.code, value.detail)
        case list():
            for index, item in enumerate(value):
                yield from _faults(item, path_to(at, index))
        case dict():
            if isinstance(value, _Twice):
                yield from (Fault(path_to(at, key), "duplicate_key", "This key comes more than once.") for key in value.keys_twice)
            for key, item in value.items():
                below = path_to(at, key)
                yield from _storable(key, below)
                yield from _faults(item, below)


def _storable(text: str, at: str) -> Iterator[Fault]:
    if found := _UNSTORABLE.search(text):
        what = "NUL" if found[0] == "\0" else "a lone surrogate"
        yield Fault(at, "unstorable_character", f"Holds {what} at position {found.start()}.")


def _lines(body: bytes) -> Iterator[Item]:
    number = 0
    for line in body.split(b"\n"):
        if not line.strip():
            continue
        if number == MOST_ITEMS:
            _too_many()
        yield _line(line, number)
        number += 1


def _line(line: bytes, number: int) -> Item:
    try:
        return Item(parse(line, at=f"[{number}]"))
    except BadInput as refusal:
        return Item(faults=tuple(refusal.faults))


def _members(value: Any) -> list[Item]:
    if not isinstance(value, list):
        raise BadInput([Fault("", "not_a_list", "A batch is a list of detections.")], "A batch is a list of detections.")
    if len(value) > MOST_ITEMS:
        _too_many()
    return [Item(item) for item in value]


def _shown(text: str) -> str:
    """For an error message: printable ASCII, and not much of it."""
    return text[:80].encode("ascii", "replace").decode()


def _malformed(at: str, code: str, detail: str) -> NoReturn:
    raise Malformed([Fault(at, code, detail)], detail)


def _too_large(limit: int) -> NoReturn:
    raise TooLarge(f"The body is larger than {limit // MIB} MiB.")


def _too_many() -> NoReturn:
    raise TooLarge(f"A batch holds at most {MOST_ITEMS:,} detections.")


# -- in front of the web server ----------------------------------------------------------------------------------------------------------
Message = Mapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class FrontDoor:
    """ASGI: keeps out what Django cannot bear before any view of ours sees it.

    It writes a whole body to a file first, so none longer than the longest we take gets that far; and it falls over a Content-Type in the
    extended notation of RFC 2231, which no client of ours needs.
    """

    def __init__(self, application: Application, limit: int = BATCH_LIMIT) -> None:
        self.application = application
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
        elif b"*" in _header(scope, b"content-type"):
            asks = str(scope["path"]).startswith("/access/")  # where AuthZEN knows no 415
            status, title = (400, "Bad Request") if asks else (415, "Unsupported Media Type")
            await _refuse(send, status, title, Unsupported.code, "Write the content type plainly.")
        elif _length(scope) > self.limit:
            await self._refuse_length(send)
        else:
            await self._counting(scope, receive, send)

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0
        refused = False

        async def counted() -> Message:
            nonlocal size, refused
            if refused:
                return {"type": "http.disconnect"}
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limit:
                refused = True
                await self._refuse_length(send)
                return {"type": "http.disconnect"}
            return message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self.application(scope, counted, unless_refused)

    async def _refuse_length(self, send: Send) -> None:
        await _refuse(send, 413, "Content Too Large", TooLarge.code, f"The body is larger than {self.limit // MIB} MiB.")


def _header(scope: Mapping[str, Any], wanted: bytes) -> bytes:
    return b"".join(value for name, value in scope["headers"] if name.lower() == wanted)


def _length(scope: Mapping[str, Any]) -> int:
    said = _header(scope, b"content-length")[:20]
    return int(said) if said.isdigit() else 0


async def _refuse(send: Send, status: int, title: str, code: str, detail: str) -> None:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})
