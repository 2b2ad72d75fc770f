"""Search: what the palette finds, and for whom."""

import re

import pytest

from tests import make
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def decision(postgres_plans):
    make.house()
    make.identity("etl_reader", name="Nightly ingest")
    return make.detected("etl_reader")


def found(text, who="wren"):
    page = signed_in(who).get("/search/", {"q": text}, headers=HTMX).content.decode()
    return re.findall(r'<a role="option" aria-selected="false" href="([^"]+)"', page)


def test_a_name_finds_the_identity_its_case_and_its_decisions(decision):
    identity = decision.detection.identity_id
    assert found("etl_read") == [f"/identities/{identity}/", f"/cases/{decision.case_id}/", f"/decisions/{decision.pk}/"]
    assert found("nightly")[0] == f"/identities/{identity}/"
    assert found("postgres/etl") == [f"/identities/{identity}/"]


def test_an_id_finds_that_one_thing_bare_or_as_a_reference(decision):
    assert found(str(decision.pk)) == [f"/decisions/{decision.pk}/"]
    assert found(f"case:{decision.case_id}") == [f"/cases/{decision.case_id}/"]
    assert found(str(decision.detection_id)) == [f"/decisions/{decision.pk}/"]


@pytest.mark.parametrize("text", ["", "e", "%", "nobody-of-that-name", "\0", "' OR 1=1"])
def test_too_little_or_nonsense_finds_nothing(decision, text):
    assert found(text) == []


def test_without_script_it_is_a_page_of_its_own(decision):
    response = signed_in("wren").get("/search/?q=etl")
    assert "Nightly ingest" in words(response)
    assert "Nothing of that name." in words(signed_in("wren").get("/search/?q=zzz"))
