"""What follows an attempt that did not come to an end that we know: another one, and when, or none."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

Follows = Literal["again", "lose", "fail", "give_up"]

LOCKED_OUT = "locked_out"  # our own credential was refused
NO_ANSWER = ("unavailable", "ambiguous", LOCKED_OUT)
BACKOFF_S = (1, 2, 4, 8, 15, 30, 60, 120, 240, 480, 900)
LONGEST_PAUSE_S = 900.0
LOCKED_OUT_S = 20.0  # between tries of one step: others may have the ones in between
PATIENCE = timedelta(hours=24)  # with a target that gives no answer at all, before a person is asked
PATIENCE_WITH_BUGS = 5  # unexpected failures of a connector before a person is asked


def follows(
    outcome: str, *, forward: bool, disruptive: bool, evidence: bool, on_failure: str, attempts: int, without_answer: timedelta
) -> Follows:
    """`without_answer`: for how long every attempt has gone unanswered, this one included."""
    unanswered = outcome in NO_ANSWER
    tired = unanswered and without_answer >= PATIENCE
    again = (unanswered and not tired) or (outcome == "unexpected" and attempts < PATIENCE_WITH_BUGS)
    if outcome == LOCKED_OUT and not tired:
        return "again"
    if forward and not disruptive:
        if evidence and again:
            return "again"  # until the cut that waits for it waits no longer
        if evidence or on_failure == "continue":
            return "lose" if on_failure == "continue" or tired else "fail"
    if again:
        return "again"
    return "fail" if outcome == "rejected" and forward else "give_up"


def pause_s(outcome: str, *, tries: int, retry_after: float | None) -> float:
    """Longer with each attempt in a row, up to a quarter of an hour; a target that names a time is heard, within bounds. A first doubt is
    looked into at once."""
    if outcome == "ambiguous" and tries == 1:
        return 0.2
    if outcome == LOCKED_OUT:
        return LOCKED_OUT_S
    if retry_after is not None:
        return max(1.0, min(retry_after, LONGEST_PAUSE_S))
    return float(BACKOFF_S[min(max(tries, 1), len(BACKOFF_S)) - 1])
