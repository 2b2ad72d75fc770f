"""Each page opens for whoever may read, with nothing in the house and with a story in it, and asks strangers to sign in."""

import re

import pytest
from django.test import Client

from accounts import people
from accounts.models import Person
from core.actor import SYSTEM
from tests import make
from tests.console.doors import BACKEND, HTMX, signed_in, words

pytestmark = pytest.mark.django_db

LISTS = {
    "/identities/": "The inventory is empty.",
    "/identities/adopt/": "Everybody has an owner.",
    "/exceptions/": "No exception is in force.",
    "/exceptions/?tab=asked": "Nobody waits for a signature.",
    "/exceptions/?tab=ended": "None has ended yet.",
    "/decisions/": "Nothing was decided yet.",
    "/playbooks/": "No playbook is in force.",
    "/policy/": "No policy is in force.",
    "/access/tokens/": "No program has a token.",
}
READ_BY_ALL = [*LISTS, "/audit/", "/access/", "/access/roles/", "/search/"]


@pytest.mark.parametrize(("address", "says"), LISTS.items())
def test_an_empty_list_says_what_will_appear(address, says):
    response = signed_in("wren").get(address)
    assert response.status_code == 200
    assert says in words(response)


@pytest.mark.parametrize("address", READ_BY_ALL)
def test_a_stranger_is_asked_to_sign_in(address):
    response = Client().get(address)
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("address", READ_BY_ALL)
def test_a_person_without_a_role_sees_nothing(address):
    people.add("nemo", name="Nemo", roles=[], actor=SYSTEM)
    client = Client()
    client.force_login(Person.objects.get(username="nemo"), backend=BACKEND)
    assert client.get(address).status_code == 403


@pytest.mark.parametrize("address", ["/identities/", "/decisions/", "/audit/"])
def test_a_list_comes_alone_for_htmx_and_caches_keep_the_two_apart(address):
    client = signed_in("wren")
    part = client.get(address, headers=HTMX)
    assert "<html" not in part.content.decode()
    assert "HX-Request" in part["Vary"]
    assert "<html" in client.get(address).content.decode()


@pytest.mark.parametrize("address", ["/identities/", "/decisions/", "/audit/", "/exceptions/"])
@pytest.mark.parametrize("query", ["after=%00", "after=x~y~z", "q=%00", "kind=nonsense&verdict=1", "from=yesterday&to=%00", "detection=1"])
def test_a_nonsensical_address_is_still_a_page(address, query):
    assert signed_in("wren").get(f"{address}?{query}").status_code == 200


def test_every_link_of_a_house_with_a_story_leads_somewhere(postgres_plans):
    make.house()
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    decision = make.detected("etl_reader")
    client, seen = signed_in("mara"), set()
    queue = [*READ_BY_ALL, f"/decisions/{decision.pk}/"]
    while queue:
        address = queue.pop()
        if address in seen:
            continue
        seen.add(address)
        response = client.get(address, follow=True)
        assert response.status_code == 200, address
        page = response.content.decode()
        main = page[page.index("<main") : page.index("</main>")]
        queue += [link for link in re.findall(r'href="(/(?!static)[^"#]*)"', main) if "?" not in link]
    kinds = {address.split("/")[1] for address in seen if re.search(r"/[0-9a-f-]{36}/", address)}
    assert {"identities", "decisions", "playbooks", "policy"} <= kinds
    assert any(re.fullmatch(r"/audit/\d+/", address) for address in seen)
