"""The ladder: what follows a soft stage, whether it came to a proven end or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Next = Literal["hard", "hold", "stop"]


def after_soft(stage: str, plan: Mapping[str, Any], terms: Mapping[str, Any]) -> Next:
    """Where it did not hold. hard: the hard stage at once. hold: people are asked for it. stop: nothing, as where the hard stage would cut
    nothing."""
    said = terms.get("unproven")
    if not _could_go_on(stage, plan):
        return "stop"
    return said if said in ("hard", "hold") else "stop"


def offers_hard(stage: str, plan: Mapping[str, Any], terms: Mapping[str, Any]) -> bool:
    """Whether people are asked for the hard stage although the soft one holds."""
    return _could_go_on(stage, plan) and terms.get("proven") == "hold"


def _could_go_on(stage: str, plan: Mapping[str, Any]) -> bool:
    return stage == "soft" and any(step["disruptive"] for step in plan.get("hard", ()))
