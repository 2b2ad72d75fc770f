"""Sign-in links and the first administrator."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts import links, people
from accounts.models import Person, SignInLink
from audit import clock
from audit.models import AuditEntry
from core.actor import SYSTEM

pytestmark = pytest.mark.django_db


@pytest.fixture
def ines() -> Person:
    return people.add("ines", name="Ines", roles=["analyst"], actor=SYSTEM, password="a long passphrase")


def address(secret: str) -> str:
    return reverse("sign_in_link", args=[secret])


def test_looking_at_a_link_signs_nobody_in_and_does_not_use_it(client, ines):
    secret = links.issue(ines, actor=SYSTEM)
    for _ in range(3):
        page = client.get(address(secret))
        assert page.status_code == 200
        assert "no-store" in page["Cache-Control"]
    assert "_auth_user_id" not in client.session
    assert SignInLink.objects.get().used_at is None


def test_the_button_signs_in_once(client, ines):
    secret = links.issue(ines, actor=SYSTEM)
    assert client.post(address(secret)).status_code == 302
    assert client.session["_auth_user_id"] == str(ines.pk)
    assert '"how":"one-time link"' in AuditEntry.objects.get(verb="person.signed_in").body
    client.logout()
    assert client.post(address(secret)).status_code == 410
    assert "_auth_user_id" not in client.session


def test_the_secret_rests_as_a_digest(ines):
    secret = links.issue(ines, actor=SYSTEM)
    assert secret not in str(SignInLink.objects.values().get())
    assert secret not in "".join(AuditEntry.objects.values_list("body", flat=True))


def test_a_link_ends_with_its_time_with_the_next_one_and_with_its_person(ines):
    first = links.issue(ines, actor=SYSTEM)
    second = links.issue(ines, actor=SYSTEM)
    with pytest.raises(links.LinkSpent):
        links.use(first)
    assert links.whose(second) == ines
    SignInLink.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(links.LinkSpent):
        links.use(second)
    third = links.issue(ines, actor=SYSTEM)
    Person.objects.update(is_active=False)
    with pytest.raises(links.LinkSpent):
        links.use(third)


def test_a_link_that_never_was_is_gone(client):
    assert client.get(address("x" * 43)).status_code == 410


def test_a_new_person_chooses_a_password_first(client):
    newcomer = people.add("ada", name="Ada", roles=["admin"], actor=SYSTEM)
    assert client.post(address(links.issue(newcomer, actor=SYSTEM)))["Location"] == reverse("account_set_password")


def test_signing_up_is_closed(client):
    client.post(reverse("account_signup"), {"username": "eve", "password1": "correct horse battery staple"})
    assert not Person.objects.exists()


def bootstrap(*arguments: str) -> str:
    out = StringIO()
    call_command("bootstrap", *arguments, stdout=out)
    return out.getvalue()


def test_the_first_administrator_gets_a_link_again_until_they_have_signed_in(client, settings):
    bootstrap("--username", "ada", "--name", "Ada")
    said = bootstrap("--username", "ada")
    assert Person.objects.get().roles == {"admin"}
    assert settings.ORIGIN in said
    assert client.post("/" + said.strip().partition(settings.ORIGIN + "/")[2]).status_code == 302
    with pytest.raises(CommandError, match="administrator already: Ada"):
        bootstrap("--username", "bob")
    assert Person.objects.count() == 1


def test_a_username_that_is_taken_is_said(ines):
    with pytest.raises(CommandError, match="--username"):
        bootstrap("--username", "Ines")
