"""People and their roles: who changes them, and what the trail says."""

import pytest
from django.db import IntegrityError, transaction

from accounts import actors, people
from accounts.models import Person, RoleGrant
from audit.models import AuditEntry
from core.actor import NOBODY, SYSTEM

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Person:
    return people.add("ada", name="Ada", roles=["admin"], actor=SYSTEM)


@pytest.fixture
def ines() -> Person:
    return people.add("ines", name="Ines", roles=["analyst"], actor=SYSTEM, teams=["on-call"], password="a long passphrase")


def test_a_person_acts_with_the_permissions_of_their_roles_and_in_their_teams(ines):
    actor = actors.of_person(ines)
    assert actor.is_person
    assert actor.principal == actor.id == str(ines.pk)
    assert actor.may("hold.answer")
    assert not actor.may("exception.grant")
    assert actor.teams == {"on-call"}


def test_a_role_given_by_somebody_names_them(admin, ines):
    people.set_roles(ines.pk, ["manager"], actor=actors.of_person(admin))
    grant = RoleGrant.objects.get(person=ines)
    assert (grant.role, grant.granted_by) == ("manager", admin)
    assert AuditEntry.objects.get(verb="person.changed").actor == f"person:{admin.pk}"


def test_nobody_changes_their_own_roles(admin):
    with pytest.raises(people.NotYourself):
        people.set_roles(admin.pk, ["admin", "manager"], actor=actors.of_person(admin))
    assert Person.objects.get(pk=admin.pk).roles == {"admin"}


def test_the_database_too_refuses_a_role_given_to_oneself(admin):
    with pytest.raises(IntegrityError, match="nobody_gives_themselves_a_role"), transaction.atomic():
        RoleGrant.objects.create(person=admin, role="manager", granted_by=admin)


def test_the_last_administrator_stays_one(admin, ines):
    with pytest.raises(people.LastAdministrator):
        people.set_roles(admin.pk, ["analyst"], actor=actors.of_person(ines))
    people.set_roles(ines.pk, ["admin"], actor=actors.of_person(admin))
    people.set_roles(admin.pk, ["analyst"], actor=actors.of_person(ines))
    assert Person.objects.get(pk=admin.pk).roles == {"analyst"}


@pytest.mark.parametrize("username", ["ines", "INES", "Ines"])
def test_a_username_is_taken_in_any_case(ines, username):
    with pytest.raises(people.UsernameTaken):
        people.add(username, name="Somebody else", roles=[], actor=SYSTEM)
    with pytest.raises(IntegrityError), transaction.atomic():
        Person.objects.create(username=username)


def test_those_who_may_are_named_without_those_who_left(ines):
    people.add("omar", name="Omar", roles=["manager", "analyst"], actor=SYSTEM)
    gone = people.add("gil", name="Gil", roles=["manager"], actor=SYSTEM)
    Person.objects.filter(pk=gone.pk).update(is_active=False)
    assert [person.display_name for person in people.who_may("hold.answer")] == ["Ines", "Omar"]
    assert [person.display_name for person in people.who_may("run.undo")] == ["Omar"]


def test_signing_in_is_on_record(client, ines):
    assert client.login(username="ines", password="a long passphrase")
    entry = AuditEntry.objects.get(verb="person.signed_in")
    assert entry.subject == entry.actor == f"person:{ines.pk}"


def test_nobody_may_do_anything():
    assert not NOBODY.permissions
    assert not NOBODY.is_person
