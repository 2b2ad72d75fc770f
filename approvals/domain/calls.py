"""What the end of a hold means for a program that waits with a call, and for how long a yes lasts. Pure.

"Contain now" and "leave it running" are words about a run. Whoever leaves it running has read which call waits for that, and lets the call
go through. Silence is nobody's word: it neither allows nor refuses, it ends the waiting.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

Move = Literal["approve", "deny", "expire", "fail"]

LASTS = timedelta(hours=1)  # an approval, where the asker names no end
LONGEST = timedelta(hours=8)  # and at most, whatever it asks for

ABOUT_A_CALL: dict[str, Move] = {"approved": "approve", "rejected": "deny", "lapsed": "expire", "withdrawn": "fail"}
ABOUT_A_RUN: dict[str, Move] = {"rejected": "approve", "approved": "deny", "lapsed": "expire", "withdrawn": "fail"}


def follows(hold_state: str, *, about_a_call: bool, word_counts: bool, until: datetime, now: datetime) -> Move | None:
    """The move of a request that waits for a hold that is in this state now; None where it goes on waiting: the hold is open, or another
    takes its place. `word_counts`: somebody answered who may decide about this call. `until`: when the approval would end."""
    move = (ABOUT_A_CALL if about_a_call else ABOUT_A_RUN).get(hold_state)
    if move == "approve" and not word_counts:
        return "fail"
    return "expire" if move == "approve" and until <= now else move


def ends(wanted: datetime | None, *, now: datetime) -> datetime:
    """When an approval that is given now ends."""
    return min(wanted or now + LASTS, now + LONGEST)
