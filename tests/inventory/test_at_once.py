"""Two people who change the same thing in the same instant."""

from __future__ import annotations

import pytest

from containment import designations, documents, importing, intake, inventory, sessions
from containment.importing.reading import read_yaml
from containment.inventory import AlreadyMerged, CannotMerge, NameTaken
from containment.models import Designation, Identity, IdentityAlias, Merge, Session, WorkDocument
from containment.refusals import OwnApproval
from core.actor import SYSTEM
from core.refusals import Refusal
from tests import make
from tests.inventory.people import both, engineer, manager
from tests.races.sessions import Session as Elsewhere
from tests.races.sessions import in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


def merging(one, other):
    actor = engineer()
    return lambda: inventory.merge(one.pk, other.pk, because="one", actor=actor)


def first_of(*rows):
    return min(row.pk for row in rows)


def test_two_merges_of_the_same_two_in_opposite_directions_make_one():
    one, two = make.identity("one"), make.identity("two")
    make.session(one, "a"), make.session(two, "b")
    said = in_the_same_instant("identity", first_of(one, two), merging(one, two), merging(two, one))
    assert sorted(isinstance(each, AlreadyMerged) for each in said) == [False, True]
    kept = Identity.objects.get(merged_into__isnull=True)
    assert Merge.objects.get().into == kept
    assert set(Session.objects.values_list("identity", flat=True)) == {kept.pk}


def test_three_merges_in_a_ring_leave_one_end():
    one, two, three = make.identity("one"), make.identity("two"), make.identity("three")
    in_the_same_instant("identity", first_of(one, two, three), merging(one, two), merging(three, one))
    assert Identity.objects.filter(merged_into__isnull=True).count() >= 1
    ends = {intake.find_identity("postgres", name) for name in ("one", "two", "three")}
    assert all(end is not None and end.merged_into is None for end in ends)


def test_a_merge_and_a_split_of_it_do_not_split_twice():
    one, two = make.identity("one"), make.identity("two")
    merging(one, two)()
    actor = engineer()
    split = lambda: inventory.split(one.pk, because="two", actor=actor)  # noqa: E731
    said = in_the_same_instant("identity", first_of(one, two), split, split)
    assert sorted(isinstance(each, CannotMerge) for each in said) == [False, True]
    assert Identity.objects.filter(merged_into__isnull=True).count() == 2


def test_a_detection_that_waits_for_a_merge_is_judged_as_the_one_that_was_kept():
    make.house()
    one, two = make.identity("one"), make.identity("two")
    make.detected("two")
    decide = lambda: make.detected("one", credential=None, session=None)  # noqa: E731
    actor = engineer()
    merge = lambda: inventory.merge(one.pk, two.pk, because="one", actor=actor)  # noqa: E731
    said = in_the_same_instant("identity", one.pk, merge, decide)
    assert not any(isinstance(each, Refusal) for each in said)
    assert said[1].verdict == "covered"


def test_one_name_given_to_two_identities_at_once_belongs_to_one():
    one, two = make.identity("one"), make.identity("two")
    actor = engineer()
    naming = [lambda each=each: inventory.add_alias(each.pk, "okta", "x", actor=actor) for each in (one, two)]
    said = in_the_same_instant("identity", one.pk, naming[0], meanwhile=lambda: Elsewhere(naming[1]).outcome())
    assert [isinstance(each, NameTaken) for each in said] == [True]
    assert IdentityAlias.objects.get().identity == two


def test_two_grants_at_once_are_one_grant():
    pay = make.identity("pay")
    said = {"session": "s", "service": "s", "owner_team": "t", "class": "payment", "because": "b"}
    request = designations.request(pay.pk, said, actor=engineer())
    actors = [manager(), both()]
    outcomes = in_the_same_instant(
        "identity", pay.pk, *[lambda actor=actor: designations.grant(request.pk, actor=actor) for actor in actors]
    )
    assert sorted(isinstance(each, Refusal) for each in outcomes) == [False, True]
    assert Designation.objects.filter(granted_at__isnull=False).count() == 1


def test_two_versions_approved_at_once_leave_the_newer_one_in_force():
    first = documents.draft("workflow", "w", {"environments": ["a"]}, actor=engineer())
    second = documents.draft("workflow", "w", {"environments": ["b"]}, actor=engineer())
    actor = manager()
    approving = [lambda one=one: documents.approve(one.pk, actor=actor, seen_digest=one.digest) for one in (first, second)]
    said = in_the_same_instant("work_document", first.pk, *approving)
    assert not any(isinstance(each, OwnApproval) for each in said)
    assert documents.in_force("w") == second
    assert WorkDocument.objects.filter(state="in_force").count() == 1


def test_two_imports_of_one_file_at_once_change_things_once():
    etl = make.identity("etl")
    document = read_yaml(b"identities:\n  - {provider: postgres, subject: etl, tenant: acme, aliases: [okta/etl]}\n")
    bring = lambda: importing.carry_out(document, name="a.yaml", actor=SYSTEM)  # noqa: E731
    said = in_the_same_instant("identity", etl.pk, bring, bring)
    assert sorted(len(each.changes) for each in said) == [0, 2]
    assert IdentityAlias.objects.get().identity == etl


def test_a_session_that_begins_while_its_identity_is_merged_belongs_to_the_one_that_was_kept():
    one, two = make.identity("one", kind="ai_agent"), make.identity("two", kind="ai_agent")
    actor = engineer()
    said = sessions.Registration(provider="postgres", subject="one", kind="ai_agent", name="s-1")
    outcomes = in_the_same_instant("identity", one.pk, merging(one, two), lambda: sessions.register(said, actor=actor))
    assert not any(isinstance(each, Refusal) for each in outcomes)
    assert Session.objects.get().identity == two
