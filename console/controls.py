"""May this viewer press it? A control that is not theirs stays visible and says why, and who could."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.allowed import who_could
from core.actor import Actor


@dataclass(frozen=True, slots=True)
class Control:
    allowed: bool
    because: str = ""

    def __bool__(self) -> bool:
        return self.allowed


def control(actor: Actor, permission: str, *, unless: str = "") -> Control:
    """`unless`: the sentence that stands against it although the role would allow it, if there is one."""
    if not actor.may(permission):
        return Control(False, who_could(permission))
    return Control(not unless, unless)
