"""Our own detection format (API v1): JSON in, a Reading out, or every fault with its path.

Unknown top-level members are refused, because a misspelt one would silently weaken a detection; `context` is free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.refusals import BadInput, Fault
from sources.base import Reading

KINDS = ("human", "service_account", "workload", "ci_pipeline", "ai_agent")
SEVERITIES = ("low", "medium", "high", "critical")
MEMBERS = {
    "source", "external_id", "occurred_at", "title", "severity", "confidence", "claims",
    "identity", "session", "credential", "action", "resource", "workload", "context",
}  # fmt: skip
_CODE = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")
_PARTS: dict[str, tuple[set[str], set[str]]] = {  # member -> (needed, optional)
    "identity": ({"kind", "provider", "subject"}, set()),
    "session": ({"id"}, {"role", "workflow"}),
    "credential": ({"kind", "id"}, set()),
    "action": ({"name"}, {"count", "tool", "arguments", "writes", "bytes", "money", "returned", "minted"}),
    "resource": ({"kind", "id"}, {"system"}),
}
# Ids of detections that we make ourselves, in the name of the source.
RESERVED = ("exposure:", "activity:", "call:", "in_spite:", "unasked:", "tool_changed:")
MOST_ARGUMENTS, MOST_TEXTS, MOST_MOVED = 100, 100, 10**15
_WORKLOAD = {"attestation", "image", "issuer", "subject", "audience", "network", "environment"}


def read(message: Any) -> Reading:
    """BadInput when the message is not a detection; it then carries all faults, not the first."""
    reader = Reader()
    reading = reader.reading(message)
    if reading is None:
        raise BadInput(reader.faults)
    return reading


class Reader:
    """Collects faults while it reads. `parts`: the members that are objects, with what each needs and may have."""

    parts = _PARTS

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Fault(path, code, detail))

    def reading(self, raw: Any) -> Reading | None:
        if not isinstance(raw, dict):
            self.fault("", "wrong_type", "A detection is a JSON object.")
            return None
        for name in raw:
            if name not in MEMBERS:
                self.fault(str(name), "unknown_member", "There is no such member. Free facts go into context.")
        parts = {name: self.part(raw, name) for name in _PARTS}
        for name in ("identity", "action"):
            if name not in raw:
                self.fault(name, "missing", "This member is needed.")
        identity, session, credential, action, resource = (parts[name] for name in _PARTS)
        name, count, kind = self.action(action), self.count(action), self.kind(identity)
        made: dict[str, Any] = {
            "external_id": self._external_id(raw),
            "title": self.text(raw, "title", "title", 300),
            "severity": self._choice(raw, "severity", SEVERITIES),
            "confidence": self._share(raw, "confidence"),
            "occurred_at": self.moment(raw, "occurred_at"),
            "identity_kind": kind,
            "identity_provider": self.text(identity, "provider", "identity.provider", 100) if identity else "",
            "identity_subject": self.text(identity, "subject", "identity.subject", 500) if identity else "",
            "action": name,
            "action_count": count,
            **self.call(action),
            **self.minted(action),
            "claims": self._claims(raw),
            "source": self.text(raw, "source", "source", 100) if "source" in raw else "",
            "session": self.text(session, "id", "session.id", 200) if session else "",
            "session_role": self.text(session, "role", "session.role", 200) if "role" in session else "",
            "session_workflow": self.text(session, "workflow", "session.workflow", 200) if "workflow" in session else "",
            "credential_kind": self.text(credential, "kind", "credential.kind", 50) if credential else "",
            "credential_id": self.text(credential, "id", "credential.id", 500) if credential else "",
            "resource_kind": self.text(resource, "kind", "resource.kind", 50) if resource else "",
            "resource_id": self.text(resource, "id", "resource.id", 500) if resource else "",
            "resource_system": self.text(resource, "system", "resource.system", 200) if "system" in resource else "",
            "workload": self._workload(raw),
            "context": self.context(raw),
        }
        return None if self.faults else Reading(**made)

    def _external_id(self, raw: Mapping[str, Any]) -> str:
        external_id = self.text(raw, "external_id", "external_id", 200)
        if external_id.startswith(RESERVED):
            self.fault("external_id", "reserved", f"It may not begin with {' or '.join(RESERVED)}: those are ours.")
        return external_id

    def action(self, action: Mapping[str, Any]) -> str:
        name = self.text(action, "name", "action.name", 100) if "name" in action else ""
        if name and not _CODE.match(name):
            self.fault("action.name", "wrong_form", "Lower-case words joined by dots, such as secret.read.")
        return name

    def count(self, action: Mapping[str, Any]) -> int:
        count = action.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1_000_000:
            self.fault("action.count", "out_of_range", "A whole number from 1 to 1,000,000.")
            return 1
        return count

    def call(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """The call of a tool that the action was: with its arguments, whether it writes, what it moved, and what came back."""
        made: dict[str, Any] = {}
        if "tool" in action:
            made["tool"] = self.text(action, "tool", "action.tool", 300)
        for member in {"arguments", "writes", "bytes", "money", "returned"} & set(action):
            if "tool" not in action:
                self.fault(f"action.{member}", "without_tool", "Say which tool was called: action.tool.")
            made[member] = action[member]
        if not isinstance(made.get("arguments", {}), dict) or len(made.get("arguments", {})) > MOST_ARGUMENTS:
            self.fault("action.arguments", "wrong_type", f"An object with at most {MOST_ARGUMENTS} members.")
        if not isinstance(made.get("writes"), bool | None):
            self.fault("action.writes", "wrong_type", "true or false is needed here.")
        for member, kinds in (("bytes", int), ("money", int | float)):
            moved = made.get(member, 0)
            if isinstance(moved, bool) or not isinstance(moved, kinds) or not 0 <= moved <= MOST_MOVED:
                self.fault(f"action.{member}", "out_of_range", "A number that is not under zero.")
        made["returned"] = self._texts(made.get("returned", []))
        return made

    def minted(self, action: Mapping[str, Any]) -> dict[str, str]:
        """The credential that a token.mint made. Its id may be the secret itself: no more than a keyed fingerprint of it is kept."""
        minted = action.get("minted")
        if minted is None:
            return {}
        if action.get("name") != "token.mint" or not isinstance(minted, dict) or set(minted) != {"kind", "id"}:
            self.fault(
                "action.minted", "wrong_type", "With the action token.mint: an object of kind and id of the credential that was made."
            )
            return {}
        kind, key = self.text(minted, "kind", "action.minted.kind", 50), self.text(minted, "id", "action.minted.id", 500)
        return {"minted_kind": kind, "minted_id": key}

    def _texts(self, said: Any) -> tuple[str, ...]:
        texts = [said] if isinstance(said, str) else said
        if not isinstance(texts, list) or len(texts) > MOST_TEXTS or not all(isinstance(one, str) for one in texts):
            self.fault("action.returned", "wrong_type", f"A text, or a list of at most {MOST_TEXTS} texts.")
            return ()
        return tuple(texts)

    def kind(self, identity: Mapping[str, Any]) -> str:
        kind = identity.get("kind")
        if "kind" in identity and kind not in KINDS:
            self.fault("identity.kind", "unknown_value", f"Must be one of {', '.join(KINDS)}.")
        return str(kind)

    def part(self, raw: Mapping[str, Any], name: str) -> dict[str, Any]:
        if name not in raw or raw[name] is None:
            return {}
        part = raw[name]
        if not isinstance(part, dict):
            self.fault(name, "wrong_type", "An object is needed here.")
            return {}
        needed, optional = self.parts[name]
        for member in part:
            if member not in needed | optional:
                self.fault(f"{name}.{member}", "unknown_member", f"Known are {', '.join(sorted(needed | optional))}.")
        for member in sorted(needed - set(part)):
            self.fault(f"{name}.{member}", "missing", "This member is needed.")
        return part

    def text(self, raw: Mapping[str, Any], member: str, path: str, longest: int) -> str:
        if member not in raw:
            if "." not in path:
                self.fault(path, "missing", "This member is needed.")
            return ""
        value = raw[member]
        if not isinstance(value, str):
            self.fault(path, "wrong_type", "A text is needed here.")
            return ""
        if not value.strip():
            self.fault(path, "blank", "It may not be empty.")
        elif len(value) > longest:
            self.fault(path, "too_long", f"At most {longest} characters.")
        return value.strip()

    def _choice(self, raw: Mapping[str, Any], member: str, known: tuple[str, ...]) -> str:
        if member not in raw:
            self.fault(member, "missing", "This member is needed.")
        elif raw[member] not in known:
            self.fault(member, "unknown_value", f"Must be one of {', '.join(known)}.")
        return str(raw.get(member))

    def _share(self, raw: Mapping[str, Any], member: str) -> float:
        value = raw.get(member)
        if member not in raw:
            self.fault(member, "missing", "This member is needed.")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            self.fault(member, "out_of_range", "A number from 0 to 1.")
        else:
            return float(value)
        return 0.0

    def moment(self, raw: Mapping[str, Any], member: str) -> datetime | None:
        value = raw.get(member)
        if member not in raw:
            self.fault(member, "missing", "This member is needed.")
            return None
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        except ValueError:
            moment = None
        if moment is None or not 1970 <= moment.year <= 9000:
            self.fault(member, "wrong_form", "A moment as in 2026-11-22T10:00:00Z.")
            return None
        if moment.tzinfo is None:
            self.fault(member, "no_zone", "Say the time zone, as in 2026-11-22T10:00:00Z.")
            return None
        return moment

    def _claims(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        value = raw.get("claims", [])
        if not isinstance(value, list) or len(value) > 50:
            self.fault("claims", "wrong_type", "A list of at most 50 signal codes.")
            return ()
        for index, code in enumerate(value):
            if not isinstance(code, str) or len(code) > 100 or not _CODE.match(code):
                self.fault(f"claims[{index}]", "wrong_form", "A signal code such as unexpected_secret_read.")
        return tuple(str(code) for code in value)

    def _workload(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        value = {} if raw.get("workload") is None else raw["workload"]
        if not isinstance(value, dict):
            self.fault("workload", "wrong_type", "An object is needed here.")
            return {}
        for member, said in value.items():
            if member not in _WORKLOAD:
                self.fault(f"workload.{member}", "unknown_member", f"Known are {', '.join(sorted(_WORKLOAD))}.")
            elif not isinstance(said, str) or len(said) > 500:
                self.fault(f"workload.{member}", "wrong_type", "A text of at most 500 characters.")
        return value

    def context(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        value = {} if raw.get("context") is None else raw["context"]
        if not isinstance(value, dict):
            self.fault("context", "wrong_type", "An object is needed here.")
            return {}
        for member in ("source_ip", "environment", "tenant"):
            if member in value and (not isinstance(value[member], str) or len(value[member]) > 200):
                self.fault(f"context.{member}", "wrong_type", "A text of at most 200 characters.")
        return value
