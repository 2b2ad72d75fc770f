"""The quick way says allow or nothing, and whenever it says allow the whole story says the same of the same rows, on the same facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import cast, make

if TYPE_CHECKING:
    from containment.models import Identity, Session
    from guard.answers import Answer
    from sources.asking import Ask

pytestmark = pytest.mark.django_db(transaction=True)

PROFILE: dict[str, Any] = {
    "tools": [
        {"name": "ledger.read", "writes": False, "trusted": True},
        {"name": "mail.send", "writes": True},
        {"name": "payments.book", "writes": True},
    ],
    "budgets": {"writes_per_hour": 20, "calls_per_hour": 400},
    "resources": ["ledger*", "mail*"],
    "environments": ["prod"],
}
TASK = "Pay the October invoice of Northwind to DE89 3704 0044 0532 0130 00, and tell dora@example.org."


@pytest.fixture
def agent() -> Identity:
    from containment import documents

    make.house()
    document = documents.draft("agent_profile", "invoices", PROFILE, actor=cast.person("enzo"))
    documents.approve(document.pk, actor=cast.person("mara"), seen_digest=document.digest)
    return make.identity("invoice-agent", provider="holdfast", kind="ai_agent")


def registered(agent: Identity, name: str = "inv-1", **intent: Any) -> Session:
    from containment import sessions
    from containment.sessions import Registration

    said = Registration(
        provider=agent.provider, subject=agent.subject, kind="ai_agent", name=name, intent={"profile": "invoices", "task": TASK} | intent
    )
    return sessions.register(said, actor=cast.detector())[0]


def ask(tool: str = "ledger.read", *, session: str = "inv-1", **more: Any) -> Ask:
    from sources.asking import Ask

    said: dict[str, Any] = {
        "kind": "ai_agent",
        "provider": "holdfast",
        "subject": "invoice-agent",
        "subject_type": "agent",
        "action": "tool.call",
        "action_name": "tools/call",
        "resource_type": "ledger",
        "resource_kind": "ledger",
        "resource": "ledger/october",
        "system": "books",
        "tool": tool,
        "session": session,
    }
    return Ask(**said | more)


def told(question: Ask, *, quick: bool) -> Answer | None:
    from guard import quick as quickly
    from guard import slow

    return quickly.quick(question, cast.detector()) if quick else slow.answer(question, cast.detector())


def test_the_first_call_of_a_session_takes_the_whole_story_and_the_next_is_quick(agent: Identity) -> None:
    registered(agent)
    assert told(ask(), quick=True) is None
    first = told(ask(), quick=False)
    assert first is not None
    assert first.decision, first
    second = told(ask(arguments={"month": "october"}), quick=True)
    assert second is not None
    assert second.decision
    assert (second.verdict, second.reason, second.view_age_ms) == ("allow", "allowed", 0)
