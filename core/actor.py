"""Who acts: a person, an integration, an agent, or the clock.

`principal` is what four-eyes rules compare: a person's own id, and for a token the id of the person who owns it, so that nobody becomes two
people by using a script.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ActorKind(StrEnum):
    PERSON = "person"
    TOKEN = "token"  # noqa: S105 - the kind of actor, not a secret
    CLOCK = "clock"
    SYSTEM = "system"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Actor:
    kind: ActorKind
    id: str
    name: str
    principal: str = ""
    permissions: frozenset[str] = field(default_factory=frozenset)
    teams: frozenset[str] = field(default_factory=frozenset)
    source: str = ""
    speaks_for: str = ""  # the one identity that a token is bound to, as a ref; empty where it is bound to none

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    @property
    def asker(self) -> str:
        """To which of a principal's tokens calls, tasks and approvals belong: to the one that asked. Those that are bound to one identity
        have them in common, so that the next one goes on with them. Empty for people."""
        return (self.speaks_for or f"token:{self.id}") if self.kind is ActorKind.TOKEN else ""

    @property
    def is_person(self) -> bool:
        return self.kind is ActorKind.PERSON

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


CLOCK = Actor(ActorKind.CLOCK, "clock", "the clock")
SYSTEM = Actor(ActorKind.SYSTEM, "system", "Holdfast")
NOBODY = Actor(ActorKind.NOBODY, "nobody", "somebody who is not signed in")
