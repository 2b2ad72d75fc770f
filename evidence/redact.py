"""Redaction on the way in: what looks like a secret is replaced before the digest is taken and the seal is put on.

Works on bytes, so that text in any encoding close to ASCII and the text parts of binary files are covered alike. JSON is read as JSON as
well: the value of a member whose name says it is a secret goes, however it is written.
"""

from __future__ import annotations

import json
import re
from typing import Any

MARK = "[redacted]"
_MARK = MARK.encode()

_NAMES = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret|credential|authorization|cookie"
)
_SECRET_NAME = re.compile(rf"(?:^|[_\-.\s])(?:{_NAMES}|rolpassword|pgpassword|verifier)s?$", re.IGNORECASE)
_NAMED = rb"((?:" + _NAMES.encode() + rb")s?"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# what is kept before and after the secret stands in groups 1 and 2
_SHAPES: list[tuple[re.Pattern[bytes], bytes]] = [
    (re.compile(rb"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL), rb"\1" + _MARK + rb"\2"),
    (re.compile(rb"(SCRAM-SHA-256\$)\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+"), rb"\1" + _MARK),
    (re.compile(rb"\b(md5)[0-9a-f]{32}\b"), rb"\1" + _MARK),
    (re.compile(rb"\b(hf_)[A-Za-z0-9_]{8,}"), rb"\1" + _MARK),
    (re.compile(rb"\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|[sr]k_(?:live|test)_)[A-Za-z0-9_\-]{10,}"), rb"\1" + _MARK),
    (re.compile(rb"\b(AKIA|ASIA)[A-Z0-9]{16}\b"), rb"\1" + _MARK),
    (re.compile(rb"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"), _MARK),
    (re.compile(rb"([a-zA-Z][a-zA-Z0-9+.\-]*://[^\s:/@\"']*:)[^\s@/\"']+(@)"), rb"\1" + _MARK + rb"\2"),
    (re.compile(rb"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE), rb"\1" + _MARK),
    (re.compile(rb"(\bPASSWORD\s+E?')(?:[^'\\]|''|\\.)*(')", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    # name = "value", name: 'value', and \"name\": \"value\" inside a string
    (re.compile(_NAMED + rb"\"?\s*[=:]\s*\")(?:[^\"\\]|\\.)*(\")", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    (re.compile(_NAMED + rb"'?\s*[=:]\s*')(?:[^'\\]|''|\\.)*(')", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    (re.compile(_NAMED + rb"(?:\\\")?\s*[=:]\s*\\\")(?:[^\"\\]|\\[^\"])*(\\\")", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    # name=value
    (re.compile(_NAMED + rb"\s*[=:]\s*)(?!\[redacted\]|(?:Bearer|Basic)\b)[^\s\"'\\&;,{}\[\]()]+", re.IGNORECASE), rb"\1" + _MARK),
]


def redact(content: bytes, media_type: str) -> tuple[bytes, int]:
    """The content without what looks like a secret, and how many were found."""
    if media_type.partition(";")[0].strip().endswith("json"):
        try:
            return _redact_json(content)
        except (ValueError, RecursionError):
            pass  # not JSON after all
    return _redact_bytes(content)


def _redact_bytes(content: bytes) -> tuple[bytes, int]:
    total = 0
    for shape, kept in _SHAPES:
        content, count = shape.subn(kept, content)
        total += count
    return content, total


def _redact_json(content: bytes) -> tuple[bytes, int]:
    """Untouched, to the byte, when nothing was found."""
    value, count = _without_secrets(json.loads(content))
    return (json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass"), count) if count else (content, 0)


def _without_secrets(value: Any) -> tuple[Any, int]:
    match value:
        case str():
            clean, count = _redact_bytes(value.encode("utf-8", "surrogatepass"))
            return (clean.decode("utf-8", "surrogatepass"), count) if count else (value, 0)
        case list():
            pairs = [_without_secrets(item) for item in value]
            return [item for item, _ in pairs], sum(count for _, count in pairs)
        case dict():
            members = {name: _member(name, item) for name, item in value.items()}
            return {name: item for name, (item, _) in members.items()}, sum(count for _, count in members.values())
    return value, 0


def _member(name: str, value: Any) -> tuple[Any, int]:
    is_secret = isinstance(value, str) and value not in {"", MARK} and _SECRET_NAME.search(_CAMEL.sub("_", name))
    return (MARK, 1) if is_secret else _without_secrets(value)
