"""An agent on stage: what it was approved for, its session, and what it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import OperationalError

from containment.models import Identity, Session
from core.actor import Actor, ActorKind
from guard import slow
from guard.answers import Answer
from sources import authzen
from tests import cast, make

TOOLS: list[dict[str, Any]] = [
    {"name": "ledger.read", "writes": False},
    {"name": "vault.open", "writes": False},
    {"name": "payments.book", "writes": True},
    {"name": "mail.send", "writes": True},
]
TRIES = 20


def gateway(*, source: str = "", owner: str = "enzo", speaks_for: str = "") -> Actor:
    """A token that may ask. It counts as its owner."""
    person = cast.person(owner)
    may = frozenset({"guard.ask"})
    return Actor(ActorKind.TOKEN, "gw", "gateway", principal=person.principal, permissions=may, source=source, speaks_for=speaks_for)


def agent(name: str = "clerk", session: str = "run-1", *, approved: dict[str, Any] | None = None, **more: Any) -> tuple[Identity, Session]:
    """An agent of the inventory, in a session of a workflow that approves these tools."""
    made = make.identity(name, provider="holdfast", kind="ai_agent", **{"reach": "narrow"} | more)
    make.workflow(f"{name}-work", [], **{"tools": TOOLS, "budgets": {"writes_per_hour": 10}} | (approved or {}))
    registered = make.session(made, session, workflow=f"{name}-work", registered_by=cast.person("enzo").principal)
    return made, registered


def body(
    tool: str = "ledger.read", *, who: str = "clerk", session: str = "run-1", context: dict[str, Any] | None = None, **how: Any
) -> Any:
    return {
        "subject": {"type": "agent", "id": who},
        "action": {"name": how.pop("action", "tools/call"), "properties": how},
        "resource": {"type": "tool", "id": tool},
        "context": ({"session": session} if session else {}) | (context or {}),
    }


def asks(tool: str = "ledger.read", *, actor: Actor | None = None, **more: Any) -> Answer:
    """The whole story, without the quick way."""
    return slow.answer(authzen.read(body(tool, **more)), actor or gateway())


def answered(ask: Callable[[], Answer]) -> Answer:
    """Whoever is told to try again because of a lock does."""
    for _ in range(TRIES):
        try:
            return ask()
        except OperationalError as busy:
            if "lock timeout" not in str(busy):
                raise
    return ask()
