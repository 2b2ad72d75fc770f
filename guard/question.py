"""What a question is about, in one spelling: the digest that an approval and a repetition are held against, and names without detours.

Two questions with one digest ask for the same thing; a role, a network or a session that is said beside it makes no other question of it.
"""

from __future__ import annotations

from containment.domain.places import place_of
from core.digest import digest
from sources.asking import Ask

BESIDE = " " * 3  # before the name of a request with something said beside it; one space is a call told afterwards, two are a name set free


def digest_of(ask: Ask) -> str:
    """Who wants what on what, with which arguments."""
    return digest(
        {
            "subject": {"provider": ask.provider, "id": ask.subject},
            "action": {"name": ask.action_name, "properties": dict(ask.action_properties)},
            "resource": {"type": ask.resource_type, "id": ask.resource, "properties": dict(ask.resource_properties)},
            "tool": ask.tool,
            "arguments": dict(ask.arguments),
        }
    )


def request_of(ask: Ask) -> str:
    """The name under which its answer is found again. The same id in another environment or tenant, or with another approval, is another
    request, under a name that no caller can choose: what is read of an id is stripped."""
    beside = {"environment": ask.environment, "tenant": ask.tenant, "approval": dict(ask.approval)}
    if not ask.request or not any(beside.values()):
        return ask.request
    return f"{BESIDE}{digest(beside)} {ask.request}"


def plain_name(name: str) -> str:
    """`/todos/%2e%2e//users` is `/users`: what a name leads to, and not how it gets there."""
    return place_of(name)
