"""The people of the tests, named by what they may do: Ines analyses, Mara and Mia manage, Enzo engineers, Wren audits, Ada administers."""

from __future__ import annotations

from accounts import actors, people
from accounts.models import Person
from core.actor import SYSTEM, Actor, ActorKind

ROLES = {
    "ines": (("analyst",), ("soc",)),
    "omar": (("analyst",), ("soc", "payments-team")),
    "mara": (("manager",), ("soc",)),
    "mia": (("manager",), ()),
    "enzo": (("engineer",), ()),
    "wren": (("auditor",), ()),
    "ada": (("admin",), ()),
}


def person(name: str) -> Actor:
    """The same person every time, made on first mention."""
    found = Person.objects.filter(username=name).first()
    if found is None:
        roles, teams = ROLES[name]
        found = people.add(name, name=name.title(), roles=roles, teams=teams, actor=SYSTEM)
    return actors.of_person(found)


def detector(source: str = "edr-prod") -> Actor:
    """A token of the detection source. It counts as Enzo, who owns it."""
    owner = person("enzo")
    return Actor(ActorKind.TOKEN, "edr", "edr token", principal=owner.principal, permissions=frozenset({"detections.write"}), source=source)
