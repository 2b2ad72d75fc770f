"""Identities: the list, the adoption queue, and one identity with everything known about it but its secrets."""

import pytest

from approvals.models import Hold
from containment import inventory
from containment.models import Credential, CredentialUse, Identity, IdentityAlias
from core.actor import SYSTEM
from tests import cast, make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def etl(postgres_plans):
    make.house()
    return make.identity("etl_reader", name="Nightly ingest")


@pytest.fixture
def nobodys(etl):
    return make.identity("stray", owner_team="", reach="unknown", reach_from="unknown")


def names(response):
    return [identity.subject for identity, _ in response.context["lines"]]


def test_the_list_is_ordered_by_provider_and_name_and_counts_those_without_an_owner(nobodys):
    response = signed_in("wren").get("/identities/")
    assert names(response) == ["etl_reader", "stray"]
    assert "1 without an owner, the oldest for 400 days" in words(response)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("q=ingest", ["etl_reader"]),
        ("q=soc", ["etl_reader"]),
        ("q=postgres/st", ["stray"]),
        ("q=its-other-name", ["etl_reader"]),
        ("owner=none", ["stray"]),
        ("owner=has", ["etl_reader"]),
        ("kind=human", []),
        ("provider=postgres", ["etl_reader", "stray"]),
        ("protected=yes", []),
        ("discovered=no", ["etl_reader", "stray"]),
    ],
)
def test_the_address_narrows_the_list(etl, nobodys, query, left):
    IdentityAlias.objects.create(identity=etl, provider="okta", subject="its-other-name")
    assert names(signed_in("wren").get(f"/identities/?{query}")) == left


def test_pages_of_the_list_leave_nobody_out(etl):
    for number in range(60):
        make.identity(f"svc-{number:02}")
    client = signed_in("wren")
    first = client.get("/identities/")
    second = client.get(f"/identities/{first.context['turned'].further}")
    assert len(names(first)) == 50
    assert sorted(names(first) + names(second)) == names(first) + names(second)
    assert len({*names(first), *names(second)}) == 61


def test_an_engineer_gives_an_owner_and_the_queue_is_shorter(nobodys):
    client = signed_in("enzo")
    assert "400 days" in words(client.get("/identities/adopt/"))
    response = client.post(f"/identities/{nobodys.pk}/adopt/", {"owner": cast.person("enzo").principal, "team": "soc", "back": "adopt"})
    nobodys.refresh_from_db()
    assert (response["Location"], nobodys.owner.username, nobodys.owner_team) == ("/identities/adopt/", "enzo", "soc")
    assert "Everybody has an owner." in words(client.get("/identities/adopt/"))


def test_an_owner_that_is_nobody_is_refused_with_a_sentence(nobodys):
    response = signed_in("enzo").post(f"/identities/{nobodys.pk}/adopt/", {"owner": "", "team": ""}, follow=True)
    assert "Name a person or a team." in response.content.decode()


def test_an_analyst_sees_who_could_give_an_owner(nobodys):
    cast.person("enzo")
    client = signed_in("ines")
    assert "Editing the inventory is for an engineer: Enzo could." in words(client.get("/identities/adopt/"))
    assert client.post(f"/identities/{nobodys.pk}/adopt/", {"team": "soc"}).status_code == 403


def test_the_page_says_what_is_known_and_from_where(etl, nobodys):
    make.session(etl, "etl-main", workflow="ingest")
    make.designation(etl, "etl-main", schemas=["payments"], reconnect=True)
    text = words(signed_in("wren").get(f"/identities/{etl.pk}/"))
    assert "wide: several systems or teams typed in by a person" in text
    assert "etl-main business-critical: payment" in text
    assert "schemas: payments ; reconnect: yes" in text
    assert "asked by Enzo, granted by Mara" in text
    assert "unknown, and taken as wide nobody knows" in words(signed_in("wren").get(f"/identities/{nobodys.pk}/"))
    assert "nobody owns it , soc answers for it." in words(signed_in("wren").get(f"/identities/{nobodys.pk}/"))


def test_a_shared_credential_names_who_else_it_would_hit_and_shows_no_whole_fingerprint_as_text(etl, nobodys):
    key = Credential.objects.get(name="etl_reader")
    CredentialUse.objects.create(credential=key, identity=nobodys, workflow="reports")
    text = words(signed_in("wren").get(f"/identities/{etl.pk}/"))
    assert "shared" in text
    assert "Also used by stray in reports" in text
    assert key.fingerprint not in text


def test_what_is_going_on_stands_on_top(etl):
    make.designation(etl, "etl-main", schemas=["x"])
    make.session(etl, "etl-main")
    make.detected("etl_reader", session=None)
    hold = Hold.objects.get()
    page = signed_in("wren").get(f"/identities/{etl.pk}/")
    assert "A hold waits for an answer" in words(page)
    assert f'href="/holds/{hold.pk}/"' in page.content.decode()
    assert "hold, hard" in words(page)


def test_the_link_to_ask_for_an_exception_names_it(etl):
    assert f'href="/exceptions/ask/?identity={etl.pk}"' in signed_in("ines").get(f"/identities/{etl.pk}/").content.decode()
    assert "Asking for an exception is for an analyst or a manager" in words(signed_in("wren").get(f"/identities/{etl.pk}/"))


def test_two_entries_become_one_and_two_again(etl, nobodys):
    client = signed_in("enzo")
    client.post(f"/identities/{etl.pk}/merge/", {"other": "postgres/stray", "because": "the same role"})
    nobodys.refresh_from_db()
    assert nobodys.merged_into == etl
    assert "lives on as postgres/etl_reader" in words(client.get(f"/identities/{nobodys.pk}/"))
    assert names(client.get("/identities/")) == ["etl_reader"]
    client.post(f"/identities/{nobodys.pk}/split/", {"reason": "it was not"})
    nobodys.refresh_from_db()
    assert nobodys.merged_into is None


def test_whoever_may_not_edit_the_inventory_merges_nothing(etl, nobodys):
    response = signed_in("ines").post(f"/identities/{etl.pk}/merge/", {"other": "postgres/stray", "because": "x"}, follow=True)
    nobodys.refresh_from_db()
    assert nobodys.merged_into is None
    assert "This takes the right" in response.content.decode()


def test_a_name_that_is_somebody_else_becomes_an_identity_of_its_own(etl):
    inventory.add_alias(etl.pk, "okta", "else", actor=SYSTEM)
    signed_in("enzo").post(f"/identities/{etl.pk}/split-alias/", {"provider": "okta", "subject": "else", "because": "another person"})
    assert Identity.objects.get(provider="okta", subject="else").pk != etl.pk


def test_protection_is_for_an_administrator_and_takes_a_reason(etl):
    assert signed_in("mara").post(f"/identities/{etl.pk}/protect/", {"reason": "x"}).status_code == 403
    admin = signed_in("ada")
    admin.post(f"/identities/{etl.pk}/protect/", {"reason": "break-glass"})
    etl.refresh_from_db()
    assert (etl.protected, etl.protected_because) == (True, "break-glass")
    assert admin.post(f"/identities/{etl.pk}/unprotect/", {"reason": ""}).status_code == 422
    etl.refresh_from_db()
    assert etl.protected
