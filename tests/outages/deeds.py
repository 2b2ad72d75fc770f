"""What tests ask the hand to do: arguments and answers are JSON."""

from __future__ import annotations

from typing import Any

KNOWN = ("furnish", "everywhere", "lapsing_in")


def furnish() -> str:
    """People, policy, playbooks, a source. The token that detections are posted with."""
    from accounts import tokens
    from accounts.models import Person
    from core.actor import SYSTEM
    from tests import cast
    from tests.world import house

    house.furnish(timeout_s=5)
    cast.person("enzo")
    _, token = tokens.issue(
        name="edr", owner=Person.objects.get(username="enzo"), scopes=["detections.write", "read"], source="edr-prod", actor=SYSTEM
    )
    return token


def everywhere() -> list[str]:
    from tests.chaos import driver

    return driver._everywhere()


def lapsing_in() -> Any:
    return None
