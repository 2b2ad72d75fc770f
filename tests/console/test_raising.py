"""A hold that asks for the hard stage of a run that was carried out: nobody reads that it would be left running."""

from __future__ import annotations

import json

import pytest

from containment.models import Decision
from tests import raising
from tests.console.people import HTMX, signed_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = [
    (raising.asked_since_it_did_not_hold, "The soft stage did not hold: 1 of 1 measures are not whole."),
    (raising.offered_although_it_holds, "The soft stage holds, and that is proven."),
]


@pytest.mark.parametrize(("scene", "says"), ASKED)
def test_the_card_says_why_it_asks_and_what_both_answers_do(scene, says):
    hold = scene()
    client = signed_in("mara")
    said = text_of(client.get(f"/holds/{hold.pk}/"))
    assert f"{says} May the hard stage follow?" in " ".join(said.split())
    assert "nothing more follows, and what was cut stays cut" in said
    assert "Go on to the hard stage" in said
    assert "The hard stage does not follow, and what was cut stays cut." in said
    assert "put back at once" not in said
    assert "Leave it running" not in text_of(client.get(f"/holds/{hold.pk}/?part=card", headers=HTMX))
    risk = Decision.objects.get().risk
    assert f"Why {risk:g}" in said
    row = text_of(client.get("/")).split("Nothing waits")[0]
    assert f"{risk:g}" in row


def test_a_no_is_on_record_in_its_own_words():
    hold = raising.offered_although_it_holds()
    client = signed_in("mara")
    facts = {"word": "reject", "plan_digest": hold.plan_digest, "reason": "it is enough"}
    answered = client.post(f"/holds/{hold.pk}/answer/", facts, headers=HTMX)
    assert "said “leave it as it is”" in text_of(answered)
    assert "your “leave it as it is” is on record" in json.loads(answered["HX-Trigger"])["notice"]["text"]
