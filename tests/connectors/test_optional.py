"""What a connector may offer besides has an honest answer where it is not offered."""

from __future__ import annotations

from connectors import optional
from connectors.base import Measure, State, Step, Target
from connectors.webhook import WebhookConnector
from tests.connectors.receiver import SECRET

PLAIN = WebhookConnector(url="https://example.com/", secret=SECRET)  # offers nothing besides
STEP = Step(Measure.NOTIFY, Target("webhook", "human", "omar", "0190a5b0-0000-7000-8000-00000000000c"))


def test_a_connector_that_offers_nothing_besides_hits_its_target_and_promises_nothing() -> None:
    assert optional.manual(PLAIN, STEP, State(contained=False, public={})) == []
    assert optional.resolves(PLAIN, STEP) == ["omar"]
    assert optional.administrators(PLAIN) == []
    assert optional.looker(PLAIN) is None


class Offering(WebhookConnector):
    def manual(self, step: Step, was: State) -> list[str]:
        return ["click"]

    def resolves(self, step: Step) -> list[str]:
        return ["OMAR", "omar", "OMAR"]

    def administrators(self) -> list[str]:
        return ["root"]

    def looker(self) -> WebhookConnector:
        return PLAIN


def test_what_it_offers_is_asked_for_and_its_own_subject_comes_first_and_once() -> None:
    offering = Offering(url="https://example.com/", secret=SECRET)
    assert optional.manual(offering, STEP, State(contained=False, public={})) == ["click"]
    assert optional.resolves(offering, STEP) == ["omar", "OMAR"]
    assert optional.administrators(offering) == ["root"]
    assert optional.looker(offering) is PLAIN
