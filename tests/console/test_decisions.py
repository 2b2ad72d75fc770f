"""Decisions: the list and its filters, and one with every number that it rests on."""

import pytest

from containment.domain.policy import Mode
from tests import make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def contained(postgres_plans):
    make.house()
    make.identity("etl_reader")
    return make.detected("etl_reader")


def test_the_list_says_who_what_and_which_verdict(contained):
    text = words(signed_in("ines").get("/decisions/"))
    assert "etl_reader service account Secret read outside task scope secret.read on vault.card_tokens · edr-prod contain, hard" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("verdict=contain", True),
        ("verdict=watch", False),
        ("kind=service_account", True),
        ("kind=human", False),
        ("source=edr-prod", True),
        ("q=card_tokens", True),
        ("q=nobody-of-that-name", False),
        ("verdict=nonsense", True),
    ],
)
def test_the_address_narrows_the_list(contained, query, found):
    assert bool(signed_in("ines").get(f"/decisions/?{query}").context["lines"]) is found


def test_one_decision_shows_every_number_the_sentence_and_what_followed(contained):
    page = signed_in("ines").get(f"/decisions/{contained.pk}/")
    text = words(page)
    assert "8. The risk reaches the hard threshold, or the matter is conclusive." in text
    assert contained.digest in text
    assert "service-account v1" in text
    numbers = contained.waterfall["waterfall"]
    assert f"{numbers['likelihood']:.9f}" in text
    assert f"{numbers['impact']:.9f}" in text
    assert "Secret read outside the scope" in text
    for link in (f"/cases/{contained.case_id}/", f"/runs/{contained.run_id}/", f"/policy/{contained.policy_id}/"):
        assert f'href="{link}"' in page.content.decode()


def test_what_counts_of_each_signal_adds_up_to_the_odds(contained):
    it = signed_in("ines").get(f"/decisions/{contained.pk}/").context["it"]
    total = sum(decibans for _, decibans in it.prior) + sum(signal.counts for signal in it.signals)
    assert total == pytest.approx(contained.waterfall["waterfall"]["sum"])


def test_in_mode_observe_the_list_says_what_would_have_been(postgres_plans):
    make.house(Mode.OBSERVE)
    make.identity("etl_reader")
    make.detected("etl_reader")
    assert "would have been contain" in words(signed_in("ines").get("/decisions/"))


def test_what_a_message_said_stays_text(contained):
    make.detected("etl_reader", title="<script>alert(1)</script>")
    page = signed_in("ines").get("/decisions/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
