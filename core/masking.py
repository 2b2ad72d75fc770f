"""Masking: what looks like a secret is replaced, in bytes of any kind, in values as JSON has them, and in what people write.

Shapes and names only. A word that is a secret and looks like none is not found; whoever keeps text keeps as little of it as they can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MARK = "[redacted]"
_MARK = MARK.encode()

_PASSWORDS = rb"pass(?:word|wd|phrase)?|pwd"
_OTHERS = rb"secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret|credential|authorization|cookie"
_NAMES = _PASSWORDS + b"|" + _OTHERS
_SECRET_NAME = re.compile(rf"(?:^|[_\-.\s])(?:{_NAMES.decode()}|rolpassword|pgpassword|verifier)s?$", re.IGNORECASE)
_NAMED = rb"((?:" + _NAMES + rb")s?"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VALUE = rb"(?!\[redacted\]|(?:Bearer|Basic)\b)[^\s\"'\\&;,{}\[\]()]+"

Shape = tuple[re.Pattern[bytes], bytes]  # what is kept before and after the secret stands in groups 1 and 2
Masked = tuple[Any, int]  # the value, and how many secrets were found in it

_KEY = re.compile(rb"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL)
_CUT_OFF_KEY = re.compile(rb"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_BEARER = re.compile(rb"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE)
_BEARER_IN_PROSE = re.compile(rb"(\b(?:Bearer|Basic)\s+)(?=\S*\d)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE)

_EVERYWHERE: list[Shape] = [
    (re.compile(rb"(SCRAM-SHA-256\$)\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+"), rb"\1" + _MARK),
    (re.compile(rb"\b(md5)[0-9a-f]{32}\b"), rb"\1" + _MARK),
    (re.compile(rb"\b(hf_)[A-Za-z0-9_]{8,}"), rb"\1" + _MARK),
    (re.compile(rb"\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|[sr]k_(?:live|test)_)[A-Za-z0-9_\-]{10,}"), rb"\1" + _MARK),
    (re.compile(rb"\b(AKIA|ASIA)[A-Z0-9]{16}\b"), rb"\1" + _MARK),
    (re.compile(rb"(?<![\w\-])eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"), _MARK),
    (re.compile(rb"([a-zA-Z][a-zA-Z0-9+.\-]{0,30}://[^\s:/@\"']*:)[^\s@/\"']+(@)"), rb"\1" + _MARK + rb"\2"),
    (re.compile(rb"(\bPASSWORD\s+E?')(?:[^'\\]|''|\\.)*(')", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    # name = "value", name: 'value', and \"name\": \"value\" inside a string
    (re.compile(_NAMED + rb"\"?\s*[=:]\s*\")(?:[^\"\\]|\\.)*(\")", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    (re.compile(_NAMED + rb"'?\s*[=:]\s*')(?:[^'\\]|''|\\.)*(')", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
    (re.compile(_NAMED + rb"(?:\\\")?\s*[=:]\s*\\\")(?:[^\"\\]|\\[^\"])*(\\\")", re.IGNORECASE), rb"\1" + _MARK + rb"\2"),
]
_SHAPES: list[Shape] = [
    (_KEY, rb"\1" + _MARK + rb"\2"),
    *_EVERYWHERE,
    (_BEARER, rb"\1" + _MARK),
    (re.compile(_NAMED + rb"\s*[=:]\s*)" + _VALUE, re.IGNORECASE), rb"\1" + _MARK),
]
# “The token: we rotated it” and “Basic authentication” are sentences: there, only what could not be a word is taken for a secret.
_PROSE: list[Shape] = [
    (_CUT_OFF_KEY, rb"\1" + _MARK + rb"\2"),
    *_EVERYWHERE,
    (_BEARER_IN_PROSE, rb"\1" + _MARK),
    (re.compile(rb"((?:" + _PASSWORDS + rb")s?\s*[=:]\s*)" + _VALUE, re.IGNORECASE), rb"\1" + _MARK),
    (re.compile(rb"((?:" + _OTHERS + rb")s?\s*=\s*)" + _VALUE, re.IGNORECASE), rb"\1" + _MARK),
    (re.compile(rb"((?:" + _OTHERS + rb")s?\s*:\s+)(?=\S*\d)" + _VALUE, re.IGNORECASE), rb"\1" + _MARK),
]


def in_bytes(content: bytes) -> tuple[bytes, int]:
    """Text in any encoding close to ASCII, and the text parts of binary files."""
    return _without(_SHAPES, content)


def in_text(text: str) -> str:
    """What a person or a detector wrote."""
    clean, count = _without(_PROSE, text.encode("utf-8", "surrogatepass"))
    return clean.decode("utf-8", "surrogatepass") if count else text


def in_values(value: Any) -> Masked:
    """Every string of a JSON value; and the whole of a member whose name says that it is a secret."""

    def clean(text: str) -> Masked:
        found, count = in_bytes(text.encode("utf-8", "surrogatepass"))
        return (found.decode("utf-8", "surrogatepass"), count) if count else (text, 0)

    return _walked(value, clean, lambda secret: MARK)


def in_message(value: Any, called: Callable[[str], str] | None = None) -> Any:
    """The same for what a program sent, with sentences in it. With `called`, every string that holds a secret becomes what it says."""

    def clean(text: str) -> Masked:
        found = in_text(text)
        return (text, 0) if found == text else (called(text) if called else found, 1)

    return _walked(value, clean, called or (lambda secret: MARK))[0]


def _without(shapes: list[Shape], content: bytes) -> tuple[bytes, int]:
    total = 0
    for shape, kept in shapes:
        content, count = shape.subn(kept, content)
        total += count
    return content, total


def _walked(value: Any, clean: Callable[[str], Masked], called: Callable[[str], str]) -> Masked:
    match value:
        case str():
            return clean(value)
        case list():
            pairs = [_walked(item, clean, called) for item in value]
            return [item for item, _ in pairs], sum(count for _, count in pairs)
        case dict():
            members = {name: _member(name, item, clean, called) for name, item in value.items()}
            return {name: item for name, (item, _) in members.items()}, sum(count for _, count in members.values())
    return value, 0


def _member(name: str, value: Any, clean: Callable[[str], Masked], called: Callable[[str], str]) -> Masked:
    is_secret = isinstance(value, str) and value not in {"", MARK} and _SECRET_NAME.search(_CAMEL.sub("_", name))
    return (called(value), 1) if is_secret else _walked(value, clean, called)
