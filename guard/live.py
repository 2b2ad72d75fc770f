"""Tells open pages that agents call, without a word on the hot path about what: one look at a clock for each call, a few messages a second.

A deny or a hold is on record in its own story, which tells the pages by itself. Allowed calls are not, until their batch is: this says so
sooner. What falls between two messages is told by the batch, within a second or so.
"""

from __future__ import annotations

import time
from uuid import UUID

from audit.nudges import tell_watchers
from core.refs import Ref

EVERY_S = 0.25  # for each process
KIND = "guard_call"

_last = float("-inf")


def heard(call: UUID) -> None:
    """Once for each answer, after its row is written. Not locked: at worst two messages go out instead of one."""
    global _last
    now = time.monotonic()
    if now - _last < EVERY_S:
        return
    _last = now
    tell_watchers("guard.heard", [str(Ref.to(KIND, call))], seq=0)
