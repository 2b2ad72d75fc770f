"""Outside approved intent: what a guard denies whatever the risk. Only the intent's own limits count; a circumstance is for people."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding
from containment.domain.signals.intent_budget import intent_budget
from containment.domain.signals.intent_environment import intent_environment
from containment.domain.signals.intent_resource import beyond_limits
from containment.domain.signals.intent_tool import intent_tool

CHECKS = (intent_tool, intent_environment, beyond_limits, intent_budget)


def outside(facts: Facts) -> Finding | None:
    """The first limit that this call would leave, or None. The guard denies it; a write, or a second read, also pauses the session."""
    found = (check(facts) for check in CHECKS)
    return next((one for one in found if one is not None and one.strength > 0), None)
