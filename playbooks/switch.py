"""The kill switch, as whoever acts reads it: before every claim, every intent and every outside call. How it is turned: switching.py."""

from __future__ import annotations

from typing import Literal

from playbooks.models import KillSwitch

Position = Literal["off", "no_new", "nothing"]


def position() -> Position:
    """Read each time: two seconds after it was turned nothing may go out any more. No row: it was never touched, and is off."""
    found = KillSwitch.objects.values_list("position", flat=True).first()
    match found:
        case "no_new" | "nothing":
            return found
    return "off"


def stops_everything() -> bool:
    return position() == "nothing"


def stops_new() -> bool:
    """New containments, whoever decides them. What is being undone, and what comes back after a hold, goes on."""
    return position() != "off"
