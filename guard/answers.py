"""What the guard answers: a verdict, why, for how long, and what the asker can do now. The one form that every door writes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

LASTS = timedelta(seconds=10)  # how long a verdict may be acted on


class Reason(StrEnum):
    """Why, as programs read it."""

    ALLOWED = "allowed"  # nothing speaks against it
    BY_RULE = "allowed_by_rule"
    EXEMPT = "exempt"  # an exception grant covers it
    APPROVED = "approved"  # people allowed exactly this
    CONTAINED = "contained"
    PAUSED = "session_paused"
    RESTRICTED = "session_restricted"
    ENDED = "session_ended"
    EXPIRED = "session_expired"
    OUTSIDE = "outside_intent"
    BY_POLICY = "policy_denied"
    UNKNOWN_SESSION = "unknown_session"
    HELD = "approval_required"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_ELSEWHERE = "out_of_scope"  # the approval is about something else
    APPROVAL_PENDING = "grant_pending"
    APPROVAL_UNVERIFIABLE = "approval_unverifiable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`because` is for whoever runs the system, `told` for whoever the agent works for: it gives nothing away and says what they can do.

    `view_age_ms`: how old the rows were that this rests on. `would_have`: deny or hold, where this is only observed. `hold`: people are
    asked already. `access_request`: members of the profile's handle by which people can be asked. `retry_after`: seconds.
    """

    id: UUID
    asked_at: datetime
    verdict: str
    reason: Reason
    because: str
    told: str
    policy_version: int
    expires_at: datetime
    risk: float = 0.0
    view_age_ms: int = 0
    would_have: str = ""
    digest: str = ""
    detection: UUID | None = None
    case: UUID | None = None
    run: UUID | None = None
    hold: UUID | None = None
    next_action: str = ""
    retry_after: int | None = None
    access_request: dict[str, Any] = field(default_factory=dict)
    obligations: tuple[dict[str, Any], ...] = ()
    approval: dict[str, Any] = field(default_factory=dict)

    @property
    def decision(self) -> bool:
        return self.verdict == "allow"

    def to_json(self) -> dict[str, Any]:
        """As the Authorization API 1.0 has it: `decision`, and everything else in `context`."""
        context: dict[str, Any] = {
            "evaluation_id": str(self.id),
            "evaluated_at": _moment(self.asked_at),
            "expires_at": _moment(self.expires_at),
            "verdict": self.verdict,
            "reason": str(self.reason),
            "reason_admin": {"en": self.because},
            "reason_user": {"en": self.told},
            "policy_version": self.policy_version,
            "risk": self.risk,
            "view_age_ms": self.view_age_ms,
        }
        optional: dict[str, Any] = {
            "would_have": self.would_have,
            "digest": self.digest,
            "detection": str(self.detection or ""),
            "case": str(self.case or ""),
            "run": str(self.run or ""),
            "hold": str(self.hold or ""),
            "next_action": self.next_action,
            "retry_after": self.retry_after,
            "access_request": self.access_request,
            "obligations": list(self.obligations),
            "approval": self.approval,
        }
        return {"decision": self.decision, "context": context | {name: said for name, said in optional.items() if said}}


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
