"""What identities do, one event at a time (API v1): JSON in, an Observed out, or every fault with its path.

Close to a detection, and no claim: it says neither how bad something is nor how sure anybody is of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.refusals import BadInput
from sources.base import Reading
from sources.native import Reader

MEMBERS = {"id", "source", "occurred_at", "identity", "session", "action", "resource", "context"}
MOST_ARGUMENTS, MOST_RETURNED, LONGEST_TEXT = 50, 50, 2_000
MOST_BYTES, MOST_MONEY = 2**53 - 1, 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One event. `reading` names who, what and on what, as a detection would; `id` empty: the sender gives none."""

    id: str
    reading: Reading
    tool: str = ""
    writes: bool | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    money: float = 0.0
    returned: tuple[str, ...] = ()


def read(message: Any) -> Observed:
    """BadInput when the message is no event; it then carries all faults, not the first."""
    reader = _Reader()
    observed = reader.observed(message)
    if observed is None:
        raise BadInput(reader.faults)
    return observed


class _Reader(Reader):
    parts = {
        "identity": ({"kind", "provider", "subject"}, set()),
        "session": ({"id"}, set()),
        "action": ({"name"}, {"count", "tool", "writes", "arguments", "bytes", "money", "returned", "minted"}),
        "resource": ({"kind", "id"}, {"system"}),
    }

    def observed(self, raw: Any) -> Observed | None:
        if not isinstance(raw, dict):
            self.fault("", "wrong_type", "An event is a JSON object.")
            return None
        for name in sorted(set(raw) - MEMBERS):
            self.fault(str(name), "unknown_member", "There is no such member. Free facts go into context.")
        identity, session, action, resource = (self.part(raw, name) for name in self.parts)
        for name in ("identity", "action"):
            if name not in raw:
                self.fault(name, "missing", "This member is needed.")
        made: dict[str, Any] = {
            "external_id": "",
            "title": "",
            "severity": "low",
            "confidence": 0.0,
            "occurred_at": self.moment(raw, "occurred_at"),
            "identity_kind": self.kind(identity),
            "identity_provider": self.text(identity, "provider", "identity.provider", 100) if identity else "",
            "identity_subject": self.text(identity, "subject", "identity.subject", 500) if identity else "",
            "action": self.action(action),
            "action_count": self.count(action),
            "source": self.text(raw, "source", "source", 100) if "source" in raw else "",
            "session": self.text(session, "id", "session.id", 200) if session else "",
            "resource_kind": self.text(resource, "kind", "resource.kind", 50) if resource else "",
            "resource_id": self.text(resource, "id", "resource.id", 500) if resource else "",
            "resource_system": self.text(resource, "system", "resource.system", 200) if "system" in resource else "",
            "context": self.context(raw),
            **self.minted(action),
        }
        key = self.text(raw, "id", "id", 200) if "id" in raw else ""
        call = self._call(action)
        return None if self.faults else Observed(id=key, reading=Reading(**made), **call)

    def _call(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """What a tool call adds: which tool, whether it writes, with what, how much, and the texts that came back."""
        return {
            "tool": self.text(action, "tool", "action.tool", 200) if "tool" in action else "",
            "writes": self._writes(action),
            "arguments": self._arguments(action),
            "bytes": int(self._amount(action, "bytes", MOST_BYTES, whole=True)),
            "money": self._amount(action, "money", MOST_MONEY),
            "returned": self._returned(action),
        }

    def _writes(self, action: Mapping[str, Any]) -> bool | None:
        value = action.get("writes")
        if value is not None and not isinstance(value, bool):
            self.fault("action.writes", "wrong_type", "true, false, or left out where nobody knows.")
            return None
        return value

    def _arguments(self, action: Mapping[str, Any]) -> Mapping[str, Any]:
        value = action.get("arguments", {})
        if not isinstance(value, dict) or len(value) > MOST_ARGUMENTS:
            self.fault("action.arguments", "wrong_type", f"An object of at most {MOST_ARGUMENTS} members.")
            return {}
        return value

    def _amount(self, action: Mapping[str, Any], member: str, most: float, *, whole: bool = False) -> float:
        value = action.get(member, 0)
        fits = isinstance(value, int) if whole else isinstance(value, int | float)
        if isinstance(value, bool) or not fits or not 0 <= value <= most:
            self.fault(f"action.{member}", "out_of_range", f"A{' whole' if whole else ''} number from 0 to {most:,.0f}.")
            return 0.0
        return value if whole else float(value)

    def _returned(self, action: Mapping[str, Any]) -> tuple[str, ...]:
        value = action.get("returned", [])
        texts = isinstance(value, list) and all(isinstance(one, str) and len(one) <= LONGEST_TEXT for one in value)
        if not texts or len(value) > MOST_RETURNED:
            self.fault("action.returned", "wrong_type", f"At most {MOST_RETURNED} texts of at most {LONGEST_TEXT:,} characters.")
            return ()
        return tuple(value)
