"""Access: people, tokens and roles. What is shown once is shown once."""

from datetime import timedelta

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import Person, ServiceToken
from accounts.roles import ROLES, Role
from audit import clock
from audit.models import AuditEntry
from tests import cast
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


def token_form(**changes):
    ends_on = (clock.now() + timedelta(days=30)).date().isoformat()
    owner = cast.person("enzo").principal
    return {"name": "edr", "owner": owner, "scopes": ["detections.write"], "source": "edr-prod", "ends_on": ends_on, **changes}


def test_everybody_reads_who_has_which_role_and_only_an_administrator_changes_it():
    enzo = Person.objects.get(pk=cast.person("enzo").principal)
    client = signed_in("wren")
    assert "E Enzo enzo engineer" in words(client.get("/access/"))
    assert "Managing people is for an admin." in words(client.get("/access/"))
    for address in ("/access/people/add/", f"/access/people/{enzo.pk}/"):
        assert client.get(address).status_code == 403
    for deed in ("roles", "link", "let-go", "take-back"):
        assert client.post(f"/access/people/{enzo.pk}/{deed}/").status_code == 403


def test_the_table_of_roles_is_the_one_that_counts():
    response = signed_in("wren").get("/access/roles/")
    shown = {name: [role for role, has in zip(Role, marks, strict=True) if has] for name, _, marks in response.context["rows"]}
    for permission, roles in shown.items():
        assert roles == [role for role in Role if permission in ROLES[role]]
    assert set().union(*ROLES.values()) == set(shown)


def test_an_administrator_adds_a_person_who_comes_in_by_a_link_that_is_shown_once():
    admin = signed_in("ada")
    response = admin.post("/access/people/add/", {"username": "nina", "name": "Nina", "roles": ["analyst"]}, follow=True)
    nina = Person.objects.get(username="nina")
    assert "Nina is added." in response.content.decode()
    link = admin.post(f"/access/people/{nina.pk}/link/").context["link"]
    assert link not in admin.get(f"/access/people/{nina.pk}/").content.decode()
    stranger = Client()
    stranger.post(link)
    assert stranger.get("/identities/").status_code == 200
    assert not any(link.rstrip("/").rpartition("/")[2] in entry.body for entry in AuditEntry.objects.all())


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"username": "ENZO"}, "There is somebody called ENZO already."), ({"username": "a b"}, "Letters, digits"), ({"name": ""}, "name")],
)
def test_what_is_wrong_about_a_new_person_is_said(changes, says):
    cast.person("enzo")
    response = signed_in("ada").post("/access/people/add/", {"username": "nina", "name": "Nina", **changes})
    assert response.status_code == 422
    assert says in words(response)


def test_roles_change_but_never_ones_own():
    admin, ines = signed_in("ada"), cast.person("ines").principal
    ada = Person.objects.get(username="ada")
    admin.post(f"/access/people/{ines}/roles/", {"roles": ["auditor"]})
    assert Person.objects.get(pk=ines).roles == {"auditor"}
    response = admin.post(f"/access/people/{ada.pk}/roles/", {"roles": ["admin", "manager"]}, follow=True)
    assert "Somebody else must change your roles." in response.content.decode()
    assert Person.objects.get(pk=ada.pk).roles == {"admin"}


def test_who_was_let_go_is_out_at_the_next_click_with_their_tokens_and_may_come_back():
    enzo, admin = signed_in("enzo"), signed_in("ada")
    owner = Person.objects.get(username="enzo")
    _, text = tokens.issue(name="t", owner=owner, scopes=["read"], actor=cast.person("ada"))
    admin.post(f"/access/people/{owner.pk}/let-go/")
    assert enzo.get("/identities/").status_code == 302
    with pytest.raises(tokens.TokenRevoked):
        tokens.find(text)
    admin.post(f"/access/people/{owner.pk}/take-back/")
    assert tokens.find(text).owner == owner
    assert set(AuditEntry.objects.filter(subject=str(owner.ref)).values_list("verb", flat=True)) >= {"person.let_go", "person.taken_back"}


def test_nobody_lets_themselves_go_and_so_one_administrator_always_stays():
    admin = signed_in("ada")
    ada = Person.objects.get(username="ada")
    response = admin.post(f"/access/people/{ada.pk}/let-go/", follow=True)
    ada.refresh_from_db()
    assert ada.is_active
    assert "Somebody else must let you go." in response.content.decode()


def test_a_token_is_shown_once_and_works():
    admin = signed_in("ada")
    response = admin.post("/access/tokens/issue/", token_form())
    token, text = response.context["issued"]
    assert text in response.content.decode()
    assert tokens.find(text) == token
    assert token.source == "edr-prod"
    again = admin.get("/access/tokens/").content.decode()
    assert text not in again
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scopes": []}, "scopes This field is required."),
        ({"source": ""}, "A token that posts detections speaks for one source."),
        ({"ends_on": "2020-01-01"}, "A token ends after today, and within a year."),
        ({"ends_on": "2999-01-01"}, "A token ends after today, and within a year."),
    ],
)
def test_what_is_wrong_about_a_token_is_said_and_none_is_issued(changes, says):
    response = signed_in("ada").post("/access/tokens/issue/", token_form(**changes))
    assert response.status_code == 422
    assert says in words(response)
    assert not ServiceToken.objects.exists()


def test_a_revoked_token_opens_nothing():
    token, text = tokens.issue(
        name="t", owner=Person.objects.get(pk=cast.person("enzo").principal), scopes=["read"], actor=cast.person("ada")
    )
    signed_in("ada").post(f"/access/tokens/{token.pk}/revoke/")
    with pytest.raises(tokens.TokenRevoked):
        tokens.find(text)


def test_only_an_administrator_handles_tokens():
    cast.person("ada")
    client = signed_in("mara")
    assert "Managing tokens is for an admin: Ada could." in words(client.get("/access/tokens/"))
    assert client.post("/access/tokens/issue/", token_form()).status_code == 403
