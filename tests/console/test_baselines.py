"""What an identity usually does, on its page; and what an event left, on the page of the decision."""

from datetime import UTC, datetime, timedelta

import pytest

from containment.models import Case, Decision, Resource
from tests import make
from tests.console.doors import signed_in, words
from tests.feed import event, lived, raised, told, workdays

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def noon():
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture
def etl(postgres_plans):
    make.house(teaches=True)
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}])
    identity = make.identity("etl_reader", name="Nightly ingest")
    make.session(identity, "etl-main", workflow="ingest")
    Resource.objects.create(kind="table", key="sales.orders", sensitivity="moderate", system="sales-db")
    return identity


def test_an_identity_of_which_nothing_is_known_says_how_that_changes(etl):
    said = words(signed_in("wren").get(f"/identities/{etl.pk}/"))
    assert "Nothing is known yet. What it does is learned from POST /api/v1/activity" in said


def test_each_baseline_says_how_much_it_rests_on_and_what_is_missing(etl, noon):
    lived(workdays(4, 30, until=noon))
    said = words(signed_in("wren").get(f"/identities/{etl.pk}/"))
    assert "Whatever it does 120 events on 4 days; 80 more events and 3 more days until it counts in full" in said
    assert "Workflow ingest 120 events on 4 days" in said
    assert "table sales.orders 120 ×" in said
    assert "data.read → data.read 119 ×" in said


def test_what_is_known_in_full_lacks_nothing(etl, noon):
    lived(workdays(10, 30, until=noon))
    said = words(signed_in("wren").get(f"/identities/{etl.pk}/"))
    assert "Whatever it does 300 events on 10 days" in said
    assert "until it counts in full" not in said


def test_the_page_of_a_decision_shows_each_behaviour_signal_with_what_it_rests_on(etl, noon):
    lived(workdays(10, 30, until=noon))
    (answer,) = raised(told([event(action="secret.read", on="vault.card_tokens", at=noon, count=40)]))
    assert answer.detection is not None
    decision = Decision.objects.get(detection_id=answer.detection)
    said = words(signed_in("wren").get(f"/decisions/{decision.pk}/"))
    assert "What is unusual compared with what this identity usually does" in said
    assert "This identity, in the workflow ingest, never used vault.card_tokens (critical sensitivity) in 300 events on 10 days." in said
    assert "40 in this minute; usually 1, at most 6 (from 300 such minutes on 10 days)." in said
    assert "Steps data.read on sales.orders → secret.read on vault.card_tokens" in said
    assert "Rests on 299 observations on 10 days" in said
    assert "Compared with what it does in the workflow ingest" in said


def test_while_a_case_is_open_the_page_says_that_nothing_becomes_usual(etl, noon):
    lived(workdays(10, 30, until=noon))
    told([event(action="secret.read", on="vault.card_tokens", at=noon)])
    page = signed_in("wren").get(f"/identities/{etl.pk}/")
    assert "While a case is open, nothing that it does becomes usual." in words(page)
    assert "not learned" in words(page)
    Case.objects.update(state="closed")
    assert "While a case is open" not in words(signed_in("wren").get(f"/identities/{etl.pk}/"))


def test_a_decision_without_behaviour_shows_no_such_section(etl):
    decision = make.detected()
    assert "What is unusual" not in words(signed_in("wren").get(f"/decisions/{decision.pk}/"))
