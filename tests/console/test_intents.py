"""What a session was approved for, and what it used of it, stands on the page of its identity."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.urls import reverse

from audit import clock
from containment import session_use
from containment.domain.event import Event
from tests import make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_page_of_an_identity_says_what_its_session_may_do_and_how_much_is_gone(postgres_plans):
    make.house()
    agent = make.identity("mailer", provider="holdfast", kind="ai_agent")
    make.workflow(
        "mails",
        [],
        tools=[{"name": "mail.send", "writes": True}],
        budgets={"writes_per_hour": 2, "targets_per_session": 5},
        environments=["prod"],
    )
    session = make.session(agent, "m-1", workflow="mails")
    event = Event(occurred_at=clock.now(), action="tool.call", tool="mail.send", arguments={"to": "ines@acme.test"})
    with transaction.atomic():
        session_use.note(session, event, now=clock.now())
        session_use.note(session, event, now=clock.now())
    page = words(signed_in("ines").get(reverse("identity", args=[agent.pk])))
    assert "inside mails, version 1" in page
    assert "2 of 2 writes per hour" in page
    assert "1 of 5 targets per session" in page


def test_an_identity_whose_sessions_declared_nothing_has_no_such_card(postgres_plans):
    make.house()
    agent = make.identity("mailer", provider="holdfast", kind="ai_agent")
    make.session(agent, "m-2")
    assert "What its sessions are for" not in words(signed_in("ines").get(reverse("identity", args=[agent.pk])))
