"""token_mint: a token was made outside the approved scope of the workflow or role."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding
from containment.domain.signals.scope import outside_scope


def token_mint(facts: Facts) -> Finding | None:
    return outside_scope(facts, "token_mint", "token.mint")
