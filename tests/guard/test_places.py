"""A session that was approved for places goes to no other, however its address is written."""

from __future__ import annotations

import pytest

from guard import ask as guard
from sources import authzen
from tests import make
from tests.guard import stage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("https://good.com/x", "allowed"),
        ("https://evil.com/../good.com/x", "outside_intent"),
        ("https://good.com/../../x", "allowed"),
        ("https://good.com/%2e%2e@evil.com", "allowed"),
        ("https://good.com@evil.com/", "outside_intent"),
        ("https%3A%2F%2Fgood.com/x", "outside_intent"),
    ],
)
def test_an_address_is_compared_as_it_is_said_and_as_it_leads(place: str, reason: str) -> None:
    make.house()
    stage.agent(approved={"resources": ["https://good.com/*"]})
    body = stage.body("ledger.read")
    body["action"]["properties"]["tool"] = "ledger.read"
    body["resource"] = {"type": "page", "id": place}
    for _ in range(2):
        assert guard.answer(authzen.read(body), stage.gateway()).reason == reason
        if reason != "allowed":
            return
