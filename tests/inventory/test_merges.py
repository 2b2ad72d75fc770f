"""Two entries that are one identity, and a split that puts back exactly what the merge moved."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Person
from audit import clock
from containment import flow, intake, inventory
from containment.inventory import AlreadyMerged, CannotMerge, UnderContainment
from containment.models import Case, Credential, CredentialUse, Designation, Identity, IdentityAlias, Merge, Session
from core.refusals import Forbidden
from playbooks.models import Run
from sources import native
from tests import cast, make
from tests.inventory.people import administrator, engineer

pytestmark = pytest.mark.django_db(transaction=True)


def everything(*identities):
    """Who has which names, sessions, designations and credentials, and who is protected."""
    return {
        identity.subject: (
            sorted(map(str, IdentityAlias.objects.filter(identity=identity))),
            sorted(Session.objects.filter(identity=identity).values_list("external_id", flat=True)),
            sorted(map(str, Designation.objects.filter(identity=identity))),
            sorted(CredentialUse.objects.filter(identity=identity).values_list("credential__name", "workflow")),
            Identity.objects.get(pk=identity.pk).protected,
        )
        for identity in identities
    }


def a_pair():
    other, into = make.identity("agent_db"), make.identity("agent", provider="holdfast", kind="ai_agent")
    inventory.add_alias(other.pk, "okta", "agent", actor=engineer())
    make.session(other, "nightly", workflow="ingest")
    make.session(into, "inv-1", workflow="invoices")
    make.designation(other, "nightly", schemas=["ingest"])
    return other, into


def merged(other, into, actor=None):
    return inventory.merge(other.pk, into.pk, because="one agent", actor=actor or engineer())


def test_names_sessions_designations_and_credentials_follow_a_merge():
    other, into = a_pair()
    merged(other, into)
    assert everything(other, into) == {
        "agent_db": ([], [], [], [], False),
        "agent": (["okta/agent"], ["inv-1", "nightly"], ["payment: nightly"], [("agent", ""), ("agent_db", "")], False),
    }
    for provider, subject in [("postgres", "agent_db"), ("okta", "agent"), ("holdfast", "agent")]:
        assert intake.find_identity(provider, subject) == into


def test_a_split_puts_back_what_the_merge_moved_and_leaves_what_came_later():
    other, into = a_pair()
    before = everything(other, into)
    merged(other, into)
    make.session(into, "later")
    inventory.split(other.pk, because="two agents after all", actor=engineer())
    before["agent"][1].append("later")
    assert everything(other, into) == before
    assert intake.find_identity("postgres", "agent_db") == other
    assert Merge.objects.get().split_at is not None
    merged(other, into)  # and again
    assert intake.find_identity("postgres", "agent_db") == into


def test_a_split_moves_nothing_that_somebody_moved_on():
    other, into = a_pair()
    third = make.identity("third")
    merged(other, into)
    IdentityAlias.objects.filter(subject="agent").update(identity=third)
    inventory.split(other.pk, because="two", actor=engineer())
    assert [str(alias) for alias in third.aliases.all()] == ["okta/agent"]


def test_both_using_one_credential_is_one_line_afterwards_and_two_after_a_split():
    other, into = a_pair()
    shared = Credential.objects.get(name="agent")
    CredentialUse.objects.create(credential=shared, identity=other, workflow="")
    before = everything(other, into)
    merged(other, into)
    assert everything(into)["agent"][3] == [("agent", ""), ("agent_db", "")]
    inventory.split(other.pk, because="two", actor=engineer())
    assert everything(other, into) == before


@pytest.mark.parametrize("who_ended", ["other", "into"])
def test_of_two_sessions_of_one_name_the_live_one_keeps_it(who_ended):
    other, into = a_pair()
    rivals = {"other": make.session(other, "s-1"), "into": make.session(into, "s-1")}
    live = rivals["into" if who_ended == "other" else "other"]
    Session.objects.filter(pk=rivals[who_ended].pk).update(ended_at=clock.now())
    before = everything(other, into)
    merged(other, into)
    assert Session.objects.get(identity=into, external_id="s-1") == live
    inventory.split(other.pk, because="two", actor=engineer())
    assert everything(other, into) == before


def test_two_live_sessions_of_one_name_are_for_a_person_to_sort_out():
    other, into = a_pair()
    make.session(other, "s-1"), make.session(into, "s-1")
    with pytest.raises(CannotMerge, match="live session s-1"):
        merged(other, into)
    assert Identity.objects.get(pk=other.pk).merged_into is None


def test_protection_follows_and_takes_the_right_to_give_it():
    other, into = a_pair()
    Identity.objects.filter(pk=other.pk).update(protected=True, protected_because="break-glass")
    with pytest.raises(Forbidden):
        merged(other, into)
    assert merged(other, into, administrator()).protected
    with pytest.raises(Forbidden):
        inventory.split(other.pk, because="two", actor=engineer())
    inventory.split(other.pk, because="two", actor=administrator())
    assert everything(other, into)["agent"][-1] is False
    assert everything(other, into)["agent_db"][-1] is True


def test_nobody_slips_under_protection_by_being_merged_into_it():
    other, into = a_pair()
    Identity.objects.filter(pk=into.pk).update(protected=True, protected_because="our own account")
    with pytest.raises(Forbidden):
        merged(other, into)


def test_an_identity_that_is_contained_is_kept_and_never_moved_from_under_its_run():
    make.house()
    other, into, third = make.identity("other"), make.identity("into"), make.identity("third")
    make.detected("other"), make.detected("third")
    assert Run.objects.count() == 2
    with pytest.raises(UnderContainment, match="Both"):
        merged(other, third)
    with pytest.raises(UnderContainment, match="into it"):
        merged(other, into)
    merged(into, other)
    with pytest.raises(UnderContainment, match="Undo that first"):
        inventory.split(into.pk, because="two", actor=engineer())
    Identity.objects.filter(pk=into.pk).update(merged_into=None)
    Merge.objects.update(split_at=clock.now())
    Identity.objects.filter(pk=into.pk).update(protected=True)
    with pytest.raises(UnderContainment, match="is protected"):
        merged(into, other, administrator())


def test_a_detection_about_a_merged_entry_joins_the_run_of_the_one_that_was_kept():
    make.house()
    other, into = make.identity("other"), make.identity("into")
    merged(other, into)
    first = make.detected("into")
    second = make.detected("other", credential=None, session=None)
    assert (first.verdict, second.verdict) == ("contain", "covered")
    assert second.run_id == first.run_id


def test_a_detection_taken_in_before_the_merge_and_decided_after_it_is_about_the_one_that_was_kept():
    make.house()
    other, into = make.identity("other"), make.identity("into", protected=True, protected_because="our own account")
    body = make.message("other", credential=None, session=None)
    received = intake.receive(native.read(body), body, actor=cast.detector())
    merged(other, into, administrator())
    decision = flow.decide(received.detection.pk)
    assert decision.verdict == "hold"
    assert decision.detection.identity == into
    assert Case.objects.get().identity == into


def test_merges_make_no_rings_and_no_chains_that_hide_an_end():
    one, two, three = make.identity("one"), make.identity("two"), make.identity("three")
    with pytest.raises(CannotMerge):
        merged(one, one)
    merged(one, two)
    with pytest.raises(AlreadyMerged):
        merged(two, one)
    with pytest.raises(AlreadyMerged):
        merged(one, three)
    merged(two, three)
    assert intake.find_identity("postgres", "one") == three
    assert inventory.adoption_queue().count == 0
    with pytest.raises(AlreadyMerged):
        inventory.split(one.pk, because="two", actor=engineer())
    with pytest.raises(CannotMerge):
        inventory.split(three.pk, because="two", actor=engineer())


def test_two_people_who_sign_in_are_two():
    other, into = make.identity("ines", kind="human"), make.identity("omar", kind="human")
    for name, identity in (("ines", other), ("omar", into)):
        Person.objects.filter(pk=cast.person(name).principal).update(identity_ref=str(identity.ref))
    with pytest.raises(CannotMerge, match="two people"):
        merged(other, into)
    Person.objects.filter(username="omar").update(identity_ref="")
    merged(other, into)
    assert Person.objects.get(username="ines").identity_ref == str(into.ref)


def test_the_database_keeps_one_standing_merge_per_identity():
    one, two, three = make.identity("one"), make.identity("two"), make.identity("three")
    merged(one, two)
    facts = {"because": "again", "merged_by": engineer().principal, "merged_at": clock.now()}
    with pytest.raises(IntegrityError, match="an_identity_is_merged_into_one_other"), transaction.atomic():
        Merge.objects.create(identity=one, into=three, **facts)
    with pytest.raises(IntegrityError, match="no_identity_is_merged_into_itself"), transaction.atomic():
        Merge.objects.create(identity=three, into=three, **facts)
