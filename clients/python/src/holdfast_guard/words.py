"""The words of this package: who asks, what was answered, and the task by which people are asked. Plain values; nothing here acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

SERVICE, VIEW, DECLARED, CLIENT = "service", "view", "declared", "client"
FINAL = ("approved", "denied", "expired", "cancelled", "failed", "partial")


@dataclass(frozen=True)
class Subject:
    """Who acts. `provider` empty: the one that the token speaks for."""

    id: str
    type: str = "ai_agent"
    provider: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Subject | str | Mapping[str, Any]) -> Subject:
        if isinstance(said, Subject):
            return said
        if isinstance(said, str):
            return cls(said)
        return cls(str(said["id"]), str(said.get("type", "ai_agent")), str(said.get("provider", "")), dict(said.get("properties", {})))

    def to_json(self) -> dict[str, Any]:
        properties = {**self.properties, **({"provider": self.provider} if self.provider else {})}
        return {"type": self.type, "id": self.id, **({"properties": properties} if properties else {})}


@dataclass(frozen=True)
class Verdict:
    """May it be done? `said_by`: the service; the view that we hold of what is contained; what was declared for when nobody answers; or
    this client itself, which asks about no call that it cannot say exactly.

    `for_user` may be shown to whoever the agent works for, `for_admin` is for whoever runs it. `context` is the service's whole answer.
    """

    decision: bool
    reason: str
    said_by: str = SERVICE
    request_id: str = ""
    evaluation_id: str = ""
    verdict: str = ""
    for_user: str = ""
    for_admin: str = ""
    risk: float = 0.0
    expires_at: str = ""
    retry_after: float | None = None
    hold: str = ""
    would_have: str = ""
    access_request: Mapping[str, Any] = field(default_factory=dict)
    obligations: tuple[Mapping[str, Any], ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return self.decision

    @property
    def asked(self) -> bool:
        return self.said_by == SERVICE

    @property
    def held(self) -> bool:
        """People can be asked, or are already."""
        return not self.decision and bool(self.access_request or self.verdict == "hold")


@dataclass(frozen=True)
class Task:
    """People were asked. Keep `to_json()`: the task outlives this process and restarts of the service."""

    id: str
    status: str
    status_endpoint: str = ""
    expires_at: str = ""
    title: str = ""
    description: str = ""
    approval: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def approved(self) -> bool:
        return self.status == "approved"

    def to_json(self) -> dict[str, Any]:
        named = ("id", "status", "status_endpoint", "expires_at", "title", "description")
        return {name: getattr(self, name) for name in named} | {"approval": dict(self.approval)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Task:
        named = ("status", "status_endpoint", "expires_at", "title", "description")
        return cls(id=str(kept["id"]), **{name: str(kept.get(name, "")) for name in named}, approval=dict(kept.get("approval") or {}))


def now_text() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
