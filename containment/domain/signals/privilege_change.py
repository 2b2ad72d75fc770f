"""privilege_change: rights changed outside the approved scope. It grows with the steps of the last hour and with use of the new right."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding
from containment.domain.signals.scope import outside_scope

FIRST_STEP = 0.5
FURTHER_STEP = 0.25
USED = 0.25


def privilege_change(facts: Facts) -> Finding | None:
    further = max(0, facts.history.privilege_steps - 1)
    used = facts.action is not None and facts.action.new_right_used
    strength = min(1.0, FIRST_STEP + FURTHER_STEP * further + USED * used)
    return outside_scope(facts, "privilege_change", "privilege.change", strength=strength)
