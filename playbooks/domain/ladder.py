"""The ladder: what follows a soft stage that did not come to a proven end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Next = Literal["hard", "hold", "stop"]


def after_soft(stage: str, plan: Mapping[str, Any], terms: Mapping[str, Any]) -> Next:
    """hard: the hard stage at once. hold: people are asked for it. stop: nothing, also where the hard stage would cut nothing."""
    said = terms.get("unproven")
    if stage != "soft" or not any(step["disruptive"] for step in plan.get("hard", ())):
        return "stop"
    return said if said in ("hard", "hold") else "stop"
