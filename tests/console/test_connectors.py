"""The pages of connectors: what each can and cannot do, the command that mends it, whom it asks to protect; and whose account is whose."""

import pytest

from accounts.models import Person
from connectors.base import Ready
from containment import lockout, protection, readiness
from containment.lockout import ADMINISTERS
from containment.models import Identity, PersonIdentity, ProtectionProposal, Source
from playbooks import circuit
from tests import cast, make
from tests.console.doors import signed_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("postgres_plans")]


def lacking() -> None:
    readiness.keep("postgres", readiness.CONTACT, "", Ready(True))
    readiness.keep("postgres", "session.terminate", "", Ready(True, too_much=["We are a superuser here"]))
    readiness.keep("postgres", "credential.revoke", "etl", Ready(False, missing=["changing etl"], remedy=['GRANT "etl" TO "us"']))


def test_the_list_says_who_each_is_and_what_it_cannot_do():
    lacking()
    protection._keep("postgres", {"postgres": protection.WORKS_AS, "dba": ADMINISTERS})
    said = words(signed_in("wren").get("/connectors/"))
    assert "postgres" in said
    assert "lacks rights changing etl" in said
    assert "2 to answer" in said
    assert "holdfast" in said
    assert "not asked yet It is asked within the next minute." in said


def test_its_page_gives_the_command_and_what_each_measure_declares():
    lacking()
    page = signed_in("wren").get("/connectors/postgres/")
    said = words(page)
    assert "Not on etl : changing etl. This gives it:" in said
    assert 'data-value="GRANT &quot;etl&quot; TO &quot;us&quot;"' in page.content.decode()
    assert "We are a superuser here" in said
    assert "the former password and the right to log in" in said
    assert "nothing: what was ended stays ended" in said
    assert "Check now" in said


def test_a_silent_connector_says_so_and_nobody_is_told_of_one_that_is_not_there():
    readiness.keep("postgres", readiness.CONTACT, "", Ready(False, missing=["127.0.0.1:1 is not reachable."]))
    client = signed_in("wren")
    assert "It does not answer. 127.0.0.1:1 is not reachable. It is asked again every 5 minutes." in words(
        client.get("/connectors/postgres/")
    )
    assert client.get("/connectors/nowhere/").status_code == 404


def test_while_one_refuses_us_every_page_says_so_and_its_own_says_what_to_do():
    circuit.refused_at("postgres", "estate at 127.0.0.1 does not accept our own credential: password authentication failed.")
    client = signed_in("wren")
    for address in ("/", "/cases/", "/switch/banner/"):
        page = client.get(address).content.decode()
        assert "postgres refuses our own credential" in page
        assert 'href="/connectors/postgres/"' in page
    said = words(client.get("/connectors/postgres/"))
    assert "It refuses our own credential. estate at 127.0.0.1 does not accept our own credential" in said
    assert "nothing waits for it now" in said
    circuit.close("postgres")
    assert "refuses our own credential" not in client.get("/cases/").content.decode()


def test_an_administrator_answers_what_a_connector_asks_for():
    protection._keep("postgres", {"postgres": protection.WORKS_AS, "dba": ADMINISTERS})
    client = signed_in("ada")
    assert "until somebody answers, each counts as protected" in words(client.get("/connectors/postgres/"))
    asked = {row.subject: row.pk for row in ProtectionProposal.objects.all()}
    client.post(f"/connectors/proposals/{asked['postgres']}/agree/")
    client.post(f"/connectors/proposals/{asked['dba']}/decline/", {"reason": "one of five"})
    assert Identity.objects.get(subject="postgres").protected
    said = words(client.get("/connectors/postgres/"))
    assert "postgres protected Ada agreed" in said
    assert "dba not protected Ada declined" in said
    assert "asks to protect" not in words(signed_in("wren").get("/connectors/postgres/")).lower()


def test_others_read_who_could_answer_and_cannot():
    protection._keep("postgres", {"dba": ADMINISTERS})
    cast.person("ada")
    client = signed_in("mara")
    assert "Editing the protected list is for an admin: Ada could." in words(client.get("/connectors/postgres/"))
    assert client.post(f"/connectors/proposals/{ProtectionProposal.objects.get().pk}/agree/").status_code == 403
    assert client.post("/connectors/postgres/check/").status_code == 403


def test_a_no_without_a_reason_changes_nothing():
    protection._keep("postgres", {"dba": ADMINISTERS})
    row = ProtectionProposal.objects.get()
    answer = signed_in("ada").post(f"/connectors/proposals/{row.pk}/decline/", {"reason": ""}, follow=True)
    row.refresh_from_db()
    assert row.state == "open"
    assert answer.status_code == 200


def test_a_hold_whose_step_cannot_work_is_marked():
    make.house()
    make.identity("etl_reader")
    Source.objects.update(ceiling="hold")
    hold = make.hold_of(make.detected("etl_reader"))
    url = f"/holds/{hold.pk}/"
    assert "cannot work now" not in signed_in("omar").get(url).content.decode()
    readiness.keep("postgres", "credential.revoke", "etl_reader", Ready(False, missing=["a right"], remedy=["GRANT it"]))
    page = signed_in("omar").get(url).content.decode()
    assert "cannot work now:</b> a right. Approving cannot work." in page
    assert 'data-value="GRANT it"' in page


def test_an_administrator_says_whose_account_an_identity_is_and_takes_it_back():
    make.house()
    identity = make.identity("mara@acme.test", provider="okta", kind="human")
    Person.objects.filter(username="mara").update(email="mara@acme.test")
    client, url = signed_in("ada"), f"/identities/{identity.pk}/"
    assert "Looks like the account of Mara: the same e-mail address." in words(client.get(url))
    client.post(f"{url}person/", {"person": cast.person("mara").principal})
    assert "Account of Mara" in words(client.get(url))
    assert "mara@acme.test" in words(client.get(f"/access/people/{cast.person('mara').principal}/"))
    client.post(f"{url}person/unlink/")
    assert not PersonIdentity.objects.exists()
    assert signed_in("mara").post(f"{url}person/", {"person": cast.person("mara").principal}).status_code == 403


def test_a_suggested_account_is_linked_from_the_page_of_its_person():
    make.house()
    identity = make.identity("mara", provider="okta", kind="human")
    client, mara = signed_in("ada"), cast.person("mara").principal
    assert "okta/mara has the same user name" in words(client.get(f"/access/people/{mara}/"))
    answer = client.post(f"/identities/{identity.pk}/person/", {"person": mara, "back": "person"})
    assert answer["Location"] == f"/access/people/{mara}/"
    assert list(lockout.people_of(identity)) == [Person.objects.get(username="mara").pk]


def test_the_page_of_a_last_administrator_says_that_it_takes_two():
    make.house()
    dba = make.identity("dba")
    protection._keep("postgres", {"dba": ADMINISTERS})
    protection.decline(ProtectionProposal.objects.get().pk, "x", actor=cast.person("ada"))
    assert "Containing it takes two people: dba is the last administrator of postgres" in words(
        signed_in("wren").get(f"/identities/{dba.pk}/")
    )
