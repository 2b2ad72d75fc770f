"""Who may do what: role -> permissions, and the scopes of tokens. The tables below are the rule; nothing else adds to them.

A permission says that somebody may try. Whether they may do it to this one thing (not the requester, not the author, in the right team) is
decided by the room that owns the thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    ANALYST = "analyst"
    MANAGER = "manager"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Scope(StrEnum):
    DETECTIONS_WRITE = "detections.write"
    GUARD_ASK = "guard.ask"
    SESSIONS_WRITE = "sessions.write"
    READ = "read"


# permission -> what it lets somebody do, as the subject of a sentence
PERMISSIONS: Mapping[str, str] = {
    "read": "reading",
    "sessions.read": "reading the state of sessions",
    "audit.read": "reading the audit trail",
    "audit.verify": "verifying the audit trail",
    "audit.export": "exporting audit entries and evidence",
    "hold.answer": "answering holds",
    "case.judge": "giving a case its verdict",
    "scenario.run": "running scenarios",
    "exception.ask": "asking for an exception",
    "killswitch.on": "switching the kill switch on",
    "killswitch.off": "switching the kill switch off",
    "run.undo": "undoing a run",
    "exception.grant": "granting exceptions",
    "designation.grant": "granting designations",
    "policy.approve": "approving policies",
    "playbook.approve": "approving playbooks",
    "document.approve": "approving agent profiles and workflows",
    "policy.author": "writing policies",
    "playbook.author": "writing playbooks",
    "document.author": "writing agent profiles and workflows",
    "inventory.edit": "editing the inventory",
    "connector.edit": "setting up connectors",
    "people.manage": "managing people",
    "token.manage": "managing tokens",
    "agent.connect": "connecting agents",
    "protected.edit": "editing the protected list",
    # what only programs do
    "detections.write": "posting detections",
    "guard.ask": "asking the guard",
    "sessions.write": "registering sessions",
}

_EVERYBODY = frozenset({"read", "sessions.read", "audit.read"})
_ANALYST = _EVERYBODY | {"hold.answer", "case.judge", "scenario.run", "exception.ask", "killswitch.on"}

ROLES: Mapping[Role, frozenset[str]] = {
    Role.ANALYST: _ANALYST,
    Role.MANAGER: _ANALYST
    | {
        "run.undo",
        "exception.grant",
        "designation.grant",
        "policy.approve",
        "playbook.approve",
        "document.approve",
        "killswitch.off",
    },
    Role.ENGINEER: _EVERYBODY
    | {"policy.author", "playbook.author", "document.author", "inventory.edit", "connector.edit", "agent.connect"},
    Role.AUDITOR: _EVERYBODY | {"audit.verify", "audit.export"},
    Role.ADMIN: _EVERYBODY | {"people.manage", "token.manage", "protected.edit", "agent.connect"},  # and no answering
}

SCOPES: Mapping[Scope, frozenset[str]] = {
    Scope.DETECTIONS_WRITE: frozenset({"detections.write"}),
    Scope.GUARD_ASK: frozenset({"guard.ask", "sessions.read"}),
    Scope.SESSIONS_WRITE: frozenset({"sessions.write", "sessions.read"}),
    Scope.READ: frozenset({"read", "sessions.read"}),
}

OF_PROGRAMS = frozenset({"detections.write", "guard.ask", "sessions.write", "sessions.read"})


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[Role(role)] for role in roles))


def permissions_of_token(scopes: Iterable[str], owner: frozenset[str]) -> frozenset[str]:
    """What a token may do: what its scopes say, and of what people do too, only as much as its owner may at this moment."""
    wanted: frozenset[str] = frozenset().union(*(SCOPES[Scope(scope)] for scope in scopes))
    return wanted & (OF_PROGRAMS | owner)


def roles_with(permission: str) -> list[Role]:
    return [role for role, permissions in ROLES.items() if permission in permissions]
