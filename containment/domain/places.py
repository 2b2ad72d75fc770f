"""Places: what a name or an address leads to, in one spelling, so that no detour leads out of what was approved.

An address keeps its host, whatever its path says: `https://evil.com/../good.com/x` lies on evil.com. Where programs read an address in
different ways, it is read as the one that leads furthest away.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

from core.names import MOST_DETOURS, decoded

_WEB = re.compile(r"\s*(https?|wss?|ftp):[/\\]*([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)  # browsers mind no number of slashes
_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]*):[/\\]{2}([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443", "ftp": ":21"}
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_ASTRAY = frozenset("/\\?#@")


@lru_cache(maxsize=4_000)
def place_of(name: str) -> str:
    """`/todos/%2e%2e//users` is `/users`, and `HTTPS://me@Evil.com:443/a/../b` is `https://evil.com/b`."""
    for spelt in (name, unicodedata.normalize("NFKC", name)):
        for _ in range(MOST_DETOURS):
            if found := _WEB.fullmatch(spelt) or _ADDRESS.fullmatch(spelt):
                return _address(*found.groups())
            if (shorter := unquote(spelt)) == spelt:
                break
            spelt = shorter
    plain = unicodedata.normalize("NFKC", decoded(unicodedata.normalize("NFKC", name))).strip()
    return _shortest(plain) if "/" in plain or "\\" in plain else plain


@lru_cache(maxsize=4_000)
def spellings(text: str) -> tuple[str, ...]:
    """A text as it stands, and, where it is an address or climbs, the place that it leads to: what keeps to a pattern does so in both."""
    plain = decoded(unicodedata.normalize("NFKC", text)).replace("\\", "/")
    climbs = ".." in plain.split("/")
    return (text, place_of(text)) if climbs or "://" in plain or _WEB.match(plain) else (text,)


def _address(scheme: str, authority: str, rest: str) -> str:
    authority, slash, more = authority.partition("\\") if "@" not in authority else (authority, "", "")
    host = _host(authority.rpartition("@")[2], scheme.lower())
    cut = re.search(r"[?#]", rest := f"{slash}{more}{rest}")
    path, asked = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    path = unicodedata.normalize("NFKC", decoded(unicodedata.normalize("NFKC", path)))
    return f"{scheme.lower()}://{host}{_shortest(f'/{path}') if path else ''}{asked}"


def _host(said: str, scheme: str) -> str:
    """One that is none once it is decoded stays as it was said, and is like nothing that anybody approved."""
    plain = unicodedata.normalize("NFKC", decoded(said).translate(_DOTS))
    plain = "".join(one for one in plain if unicodedata.category(one) != "Cf").casefold().strip()
    if _ASTRAY & set(plain):
        return f"?{said}"
    plain = plain.removesuffix(_DEFAULT_PORTS.get(scheme, "\0")).removesuffix(":")
    return plain.rstrip(".")


def _shortest(path: str) -> str:
    """No `.`, `..` and `//`; a slash at the end stays, because some tell a folder by it."""
    path = path.replace("\\", "/")
    made = posixpath.normpath(path)
    made = f"/{made.lstrip('/')}" if path.startswith("/") else made
    return f"{made}/" if path.endswith("/") and not made.endswith("/") else made
