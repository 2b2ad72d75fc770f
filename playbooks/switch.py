"""The kill switch, as whoever acts reads it: before every claim, every intent and every outside call. How it is turned: switching.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from audit import clock
from playbooks.models import KillSwitch
from playbooks.refusals import KillSwitchOn

Position = Literal["off", "no_new", "nothing"]


def position() -> Position:
    """Read each time: two seconds after it was turned nothing may go out any more. No row: it was never touched, and is off."""
    found = KillSwitch.objects.values_list("position", flat=True).first()
    match found:
        case "no_new" | "nothing":
            return found
    return "off"


def refusal() -> KillSwitchOn | None:
    """The no to whoever would have something contained now; None where it is off."""
    found = position()
    if found == "off":
        return None
    words = "no new containment" if found == "no_new" else "nothing"
    return KillSwitchOn(
        f"The kill switch is at “{words}”, so nothing is contained. You can say no to it; or say yes once two people have switched it off.",
        position=found,
    )


def said_no() -> str:
    """The same in words, for a page that says so before anybody asks; empty where it is off."""
    refused = refusal()
    return refused.sentence if refused else ""


def was_on_at(moment: datetime) -> bool:
    """Whether it was on at a moment that nothing has followed yet: a deadline that passed, and is found only now."""
    row = KillSwitch.objects.values_list("position", "at").first()
    return row is not None and (row[0] != "off" or (row[1] is not None and moment <= row[1] <= clock.now()))


def stops_everything() -> bool:
    return position() == "nothing"


def stops_new() -> bool:
    """New containments, whoever decides them. What is being undone, and what comes back after a hold, goes on."""
    return position() != "off"
