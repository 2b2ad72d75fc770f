"""unexpected_secret_read: a secret was read outside the approved scope of the workflow or role."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding
from containment.domain.signals.scope import outside_scope


def unexpected_secret_read(facts: Facts) -> Finding | None:
    return outside_scope(facts, "unexpected_secret_read", "secret.read")
