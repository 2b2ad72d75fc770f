"""What every source makes of a message: a Reading, the one record type that intake knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One claim about one identity, action and resource, in our words. Everything here is what somebody says, not what is so."""

    external_id: str
    title: str
    severity: str
    confidence: float
    occurred_at: datetime
    identity_kind: str
    identity_provider: str
    identity_subject: str
    action: str
    action_count: int = 1
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    writes: bool | None = None
    bytes: int = 0
    money: float = 0.0
    returned: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    source: str = ""
    session: str = ""
    session_role: str = ""
    session_workflow: str = ""
    credential_kind: str = ""
    credential_id: str = ""
    resource_kind: str = ""
    resource_id: str = ""
    resource_system: str = ""
    minted_kind: str = ""
    minted_id: str = ""
    workload: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    name: str

    def read(self, message: Any) -> Reading:
        """BadInput names every fault with its path."""
        ...
