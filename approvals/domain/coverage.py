"""What an exception spares: does its scope cover what was seen, and which signals lie outside it? Pure.

A scope names any of identity, session, credential, action, resource, tenant (text) and signals (a list of codes). Everything it names must
fit; what it leaves out is not looked at. Actions and resources may end in a wildcard (`data.*`, `vault.*`); the others are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.refusals import Fault

EXACT = ("identity", "session", "credential", "tenant")
PATTERNS = ("action", "resource")
LONGEST_WORD = 300
MOST_SIGNALS = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decision is about, in the words that scopes use. Empty: not known, so a scope that names it does not fit."""

    identity: str = ""
    session: str = ""
    credential: str = ""
    action: str = ""
    resource: str = ""
    signals: frozenset[str] = frozenset()
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    covers: bool
    outside: frozenset[str] = frozenset()  # signals that the scope does not name
    because: str = ""

    @property
    def spares(self) -> bool:
        return self.covers and not self.outside


def covers(scope: Mapping[str, Any], seen: Seen) -> Coverage:
    for name in (*EXACT, *PATTERNS):
        wanted, found = scope.get(name, ""), getattr(seen, name)
        if wanted and not _fits(name, wanted, found):
            return Coverage(False, because=f"it is for the {name} {wanted}, not {found or 'an unknown one'}")
    if "signals" not in scope:
        return Coverage(True)
    outside = seen.signals - set(scope["signals"])
    return Coverage(True, outside, f"outside it: {', '.join(sorted(outside))}" if outside else "")


def _fits(name: str, wanted: str, found: str) -> bool:
    if not found:
        return False
    return found.startswith(wanted[:-1]) if name in PATTERNS and wanted.endswith("*") else found == wanted


def faults(scope: Any) -> list[Fault]:
    """Everything wrong with a scope that somebody asks for, with paths. An exception for everything is no exception."""
    if not isinstance(scope, Mapping) or not scope:
        return [Fault("scope", "empty", "Say what is to be spared: an identity, session, credential, action, resource, tenant or signals.")]
    found: list[Fault] = []
    for name, value in scope.items():
        found += _faults_of(str(name), value)
    if not found and not any(_narrows(name, value) for name, value in scope.items()):
        found.append(Fault("scope", "too_wide", "It would spare everything. Name what is to be spared."))
    return found


def _faults_of(name: str, value: Any) -> list[Fault]:
    path = f"scope.{name}"
    if name == "signals":
        if (
            not isinstance(value, list)
            or not value
            or len(value) > MOST_SIGNALS
            or not all(_is_word(code) and "*" not in code for code in value)
        ):
            return [Fault(path, "invalid", f"Name between 1 and {MOST_SIGNALS} signal codes.")]
        return []
    if name not in (*EXACT, *PATTERNS):
        return [Fault(path, "unknown", "A scope has no such part.")]
    if not _is_word(value):
        return [Fault(path, "invalid", f"It must be text of 1 to {LONGEST_WORD} characters.")]
    if name in EXACT and "*" in value:
        return [Fault(path, "wildcard", f"A wildcard cannot stand for a {name}.")]
    if "*" in value[:-1]:
        return [Fault(path, "wildcard", "Only one wildcard, and at the end: data.*")]
    return []


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.strip() == value and 0 < len(value) <= LONGEST_WORD


def _narrows(name: str, value: Any) -> bool:
    return name == "signals" or any(sign.isalnum() for sign in value)
