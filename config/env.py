"""Reads the environment, and complains by name about what is missing or malformed.

Any variable may come from a file: `NAME_FILE` names it, as platforms hand out secrets. NAME itself wins where both are set.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


class BadEnvironment(SystemExit):
    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"The environment variable {name} {what}.")


def text(name: str, default: str | None = None) -> str:
    value = _given(name)
    if value is None:
        value = default
    if value is None:
        raise BadEnvironment(name, "is not set. `script/up` sets it for a trial; docs/howto/production.md lists what production needs")
    return value


def _given(name: str) -> str | None:
    if name in os.environ or f"{name}_FILE" not in os.environ:
        return os.environ.get(name)
    try:
        return Path(os.environ[f"{name}_FILE"]).read_text().strip()
    except (OSError, UnicodeDecodeError) as trouble:
        raise BadEnvironment(f"{name}_FILE", f"names a file that cannot be read ({type(trouble).__name__})") from None


def flag(name: str) -> bool:
    value = text(name, "").strip().lower()
    if value not in {"", "0", "1", "no", "yes", "false", "true"}:
        raise BadEnvironment(name, f"is {value!r}; it must be 1 or 0")
    return value in {"1", "yes", "true"}


def number(name: str, default: int) -> int:
    value = text(name, str(default))
    try:
        return int(value)
    except ValueError:
        raise BadEnvironment(name, f"is {value!r}; it must be a whole number") from None


def words(name: str, default: str = "") -> list[str]:
    return [word for word in text(name, default).replace(",", " ").split() if word]


def key(name: str) -> bytes:
    """32 bytes, given as base64."""
    try:
        value = base64.b64decode(text(name), validate=True)
    except binascii.Error:
        raise BadEnvironment(name, "is not base64") from None
    if len(value) != 32:
        raise BadEnvironment(name, f"holds {len(value)} bytes; it must hold 32")
    return value


def database(name: str) -> dict[str, Any]:
    """A Django database entry from `postgresql://user:password@host:port/name?sslmode=…` (host may be a socket folder in `?host=`)."""
    parts = urlsplit(text(name))
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadEnvironment(name, "must begin with postgresql://")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or options.pop("host", "")),
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }
