"""Named places where a process may die: at every commit and around every outside call. Outside of tests each is an empty function.

A test build says HOLDFAST_CRASH=name[:what[:nth]] and dies (kill), freezes (freeze), or fails (raise) the nth time it comes there. Names
are `room.function.place`; every story has `.before_commit` and `.after_commit` (audit/record.py), calls have places of their own. Tests
find them all in the source, so that a place nobody ever dies at is a failing test.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass

VARIABLE = "HOLDFAST_CRASH"


class Crashed(RuntimeError):  # noqa: N818 - it is no error, it was ordered
    """What a place raises that was told to fail."""


@dataclass(slots=True)
class _Plan:
    name: str = ""
    what: str = "kill"
    nth: int = 1
    passed: int = 0


def _planned(said: str) -> _Plan:
    name, _, rest = said.partition(":")
    what, _, nth = rest.partition(":")
    return _Plan(name, what or "kill", int(nth or 1))


_plan = _planned(os.environ.get(VARIABLE, ""))
_seen: Counter[str] | None = None


def order(said: str) -> None:
    """From now on, in this process: name[:what[:nth]]; nothing at all for an empty one."""
    global _plan
    _plan = _planned(said)


def watch() -> Counter[str]:
    """From now on, in this process, count each place that is come by."""
    global _seen
    _seen = Counter()
    return _seen


def crashpoint(name: str) -> None:
    if _seen is not None:
        _seen[name] += 1
    if _plan.name != name:
        return
    _plan.passed += 1
    if _plan.passed != _plan.nth:
        return
    if _plan.what == "raise":
        raise Crashed(name)
    os.kill(os.getpid(), signal.SIGSTOP if _plan.what == "freeze" else signal.SIGKILL)
