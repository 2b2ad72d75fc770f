"""The lives of a Hold, of an exception and of an access request. Who may walk the arrows is the business of the modules named like them."""

from __future__ import annotations

from typing import Literal

from core.lifecycle import Lifecycle

Word = Literal["approve", "reject"]
OnLapse = Literal["contain", "release", "escalate"]  # what silence until the deadline means
Ending = Literal["contain", "release"]  # what silence means once everybody was asked
LapsedTo = Literal["contain", "release", "escalated"]

HOLD = Lifecycle(
    "hold",
    {
        ("open", "approve"): "approved",
        ("open", "reject"): "rejected",
        ("open", "escalate"): "open",  # the next reviewers, a new deadline
        ("open", "lapse"): "lapsed",  # everybody was asked and nobody answered: not a person's no
        ("open", "withdraw"): "withdrawn",  # its run ended first
        ("open", "supersede"): "superseded",  # another hold asks about a changed plan
    },
)

MEMBER = Lifecycle(
    "group member",
    {
        ("waiting", "follow"): "followed",  # what people said about its group was done to its run
        ("waiting", "leave"): "left",  # it needs no answer any more, or is asked about by itself
    },
)

GRANT = Lifecycle(
    "exception",
    {
        ("asked", "grant"): "granted",
        ("asked", "refuse"): "refused",
        ("asked", "withdraw"): "withdrawn",
        ("asked", "end"): "ended",  # its time passed before anybody signed it
        ("granted", "revoke"): "revoked",
        ("granted", "end"): "ended",
    },
)

REQUEST = Lifecycle(
    "request",
    {
        ("pending", "approve"): "approved",
        ("pending", "deny"): "denied",
        ("pending", "expire"): "expired",  # nobody answered: not a person's no
        ("pending", "cancel"): "cancelled",  # its asker wants it no longer
        ("pending", "fail"): "failed",  # what people were asked about is gone, or nobody who answered may decide about this call
    },
)
