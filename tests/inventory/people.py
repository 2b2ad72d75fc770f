"""Who the inventory's tests call: an engineer edits, a manager grants, an administrator protects."""

from __future__ import annotations

import json
from typing import Any

from accounts import actors, people
from accounts.models import Person
from audit import verbs
from audit.models import AuditEntry
from core.actor import SYSTEM, Actor
from core.refs import Ref
from tests import cast


def engineer() -> Actor:
    return cast.person("enzo")


def manager() -> Actor:
    return cast.person("mara")


def administrator() -> Actor:
    found = Person.objects.filter(username="ada").first()
    return actors.of_person(found or people.add("ada", name="Ada", roles=["admin"], actor=SYSTEM))


def both() -> Actor:
    """A manager who also engineers: may write and may grant, but not the same thing twice."""
    found = Person.objects.filter(username="bo").first()
    return actors.of_person(found or people.add("bo", name="Bo", roles=["manager", "engineer"], actor=SYSTEM))


def recorded(thing: Ref) -> list[str]:
    """The audit trail of one thing, as sentences."""
    return [verbs.sentence(verb, facts) for verb, facts in entries(thing)]


def entries(thing: Ref) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.verb, json.loads(entry.body)) for entry in AuditEntry.objects.filter(subject=str(thing)).order_by("seq")]
