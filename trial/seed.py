"""What a fresh trial begins with: people, tokens, a policy and playbooks in force, and `access.json`, so that scripts can drive it.

Everything here may be called at every start. What is there already stays; only what is missing is made.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts import people, tokens
from accounts.models import LONGEST_TOKEN_LIFE, Person, Team
from accounts.roles import Role, Scope
from audit.record import record, story
from containment import policies
from containment.domain.policy import Mode
from core.actor import SYSTEM
from playbooks import library
from trial import history, inventory, supporting
from trial.agent.words import DOCUMENTS, TOKEN
from trial.estate import Estate, keep_private
from trial.workloads.telling import TOKEN as ACTIVITY_TOKEN

ACCESS = "access.json"
GUIDE = "manager"  # whom the printed link signs in: may try everything that a newcomer wants to try


@dataclass(frozen=True, slots=True)
class Somebody:
    username: str
    name: str
    role: Role
    teams: tuple[str, ...] = ()


PEOPLE = (
    Somebody("analyst", "Ines Alder", Role.ANALYST, ("soc",)),
    Somebody("analyst2", "Omar Quist", Role.ANALYST, ("soc", "payments")),
    Somebody("manager", "Marta Lindqvist", Role.MANAGER, ("soc", "payments", "data-platform", "ml-platform")),
    Somebody("manager2", "Tomas Okafor", Role.MANAGER, ("soc",)),
    Somebody("engineer", "Emil Sato", Role.ENGINEER, ("data-platform", "ml-platform", "finance-automation")),
    Somebody("auditor", "Adaeze Obi", Role.AUDITOR),
    Somebody("admin", "Ivo Bauer", Role.ADMIN),
)
TEAMS = {
    "soc": "Answers for every identity that nobody owns.",
    "payments": "Owns card payments.",
    "data-platform": "Owns ingest and reports.",
    "ml-platform": "Owns model training.",
    "finance-automation": "Owns the invoice agent.",
}
TOKENS = {
    "detections": ((Scope.DETECTIONS_WRITE, Scope.READ), inventory.DETECTOR),
    "guard": ((Scope.GUARD_ASK, Scope.SESSIONS_WRITE), ""),
    "activity": ((Scope.DETECTIONS_WRITE,), inventory.FEED),
    "read": ((Scope.READ,), ""),
}
AGENT = ((Scope.GUARD_ASK, Scope.SESSIONS_WRITE), "")
OWNER_OF_TOKENS = "admin"  # somebody who answers no holds, so that a token's word takes nobody's answer away


@dataclass(slots=True)
class Access:
    """What access.json holds, as found and as completed."""

    users: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, home: Path) -> Access:
        try:
            kept = json.loads((home / ACCESS).read_text())
        except (FileNotFoundError, ValueError):
            return cls()
        return cls(kept.get("users", {}), kept.get("tokens", {}))

    def write(self, home: Path, *, url: str, estate: Estate | None) -> None:
        said: dict[str, Any] = {"url": url, "users": self.users, "tokens": self.tokens}
        if estate is not None:
            said["estate"] = {"dsn": estate.dsn, "roles": dict(estate.passwords), "documents": str(home / DOCUMENTS)}
        keep_private(home / ACCESS, said)


def seed(home: Path, *, url: str, estate: Estate | None) -> Person:
    """Everything but the tables and the estate itself. Whom to sign in first is returned. Without an estate the policy only observes."""
    policies.ship(mode=Mode.ENFORCE if estate else Mode.OBSERVE, more=inventory.SCOPE if estate else "")
    library.ship()
    inventory.allow_the_sources()
    access = Access.read(home)
    everybody = {each.username: somebody(each, access) for each in PEOPLE}
    describe_teams()
    for name, (scopes, source) in TOKENS.items():
        access.tokens[name] = good_token(access.tokens.get(name), name, scopes, source, owner=everybody[OWNER_OF_TOKENS])
    if estate is not None:
        keep_private(home / ACTIVITY_TOKEN, {"token": access.tokens["activity"]})  # all that the workloads need of it
        agent_token = token_of_the_agent(home, owner=everybody["engineer"])
        inventory.list_everything(
            author=everybody["engineer"], approver=everybody["manager"], estate_dsn=estate.dsn, agent_token=agent_token
        )
        supporting.list_them(author=everybody["engineer"], approver=everybody["manager"])
        supporting.know_the_passwords(estate.passwords)
        history.live_through()
    access.write(home, url=url, estate=estate)
    return everybody[GUIDE]


def somebody(each: Somebody, access: Access) -> Person:
    """The person, with a password that access.json knows. One that was lost with the file is replaced."""
    person = Person.objects.filter(username=each.username).first()
    if person is not None and each.username in access.users:
        return person
    password = secrets.token_urlsafe(12)
    if person is None:
        person = people.add(each.username, name=each.name, roles=[each.role], actor=SYSTEM, password=password, teams=each.teams)
    else:
        replace_password(person, password)
    access.users[each.username] = {"username": each.username, "password": password}
    return person


@story
def replace_password(person: Person, password: str) -> None:
    person.set_password(password)
    person.save(update_fields=["password"])
    record("person.password_replaced", person.ref, actor=SYSTEM, name=str(person))


def describe_teams() -> None:
    for name, purpose in TEAMS.items():
        Team.objects.filter(name=name, purpose="").update(purpose=purpose)


def good_token(kept: str | None, name: str, scopes: tuple[Scope, ...], source: str, *, owner: Person, speaks_for: str = "") -> str:
    """The kept token if it still opens the door, and for the same one, else a new one."""
    if kept is not None:
        try:
            bound = tokens.find(kept).speaks_for
        except tokens.TokenRefused:
            bound = None
        if bound == speaks_for:
            return kept
    _, text = tokens.issue(
        name=name, owner=owner, scopes=scopes, actor=SYSTEM, source=source, speaks_for=speaks_for, life=LONGEST_TOKEN_LIFE
    )
    return text


def token_of_the_agent(home: Path, *, owner: Person) -> str:
    """What the agent's process shows Holdfast. A file of its own: the agent needs no more than this."""
    path = home / TOKEN
    kept: Mapping[str, str] = json.loads(path.read_text()) if path.exists() else {}
    agent = inventory.entry_of_the_agent()
    text = good_token(kept.get("token"), "invoice-agent", *AGENT, owner=owner, speaks_for=str(agent.ref))
    if text != kept.get("token"):
        keep_private(path, {"token": text})
    return text
