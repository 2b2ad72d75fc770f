"""Business-critical, because: asked by one, granted by another, reviewed within 90 days."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from audit import clock
from containment import designations, inventory
from containment.designations import DesignationEnded, DesignationExists
from containment.models import Designation, Identity
from containment.refusals import OwnApproval
from core.refusals import BadInput, Forbidden
from tests import cast, make
from tests.inventory.people import both, engineer, manager, recorded

pytestmark = pytest.mark.django_db(transaction=True)

SAID = {
    "session": "pay-main",
    "service": "Card payments",
    "owner_team": "payments",
    "class": "payment",
    "because": "the shop stands still",
    "must_go_on": {"schemas": ["payments"], "reconnect": True},
}


def asked(identity, actor=None, **said):
    return designations.request(identity.pk, SAID | said, actor=actor or engineer())


def test_a_request_protects_nothing_and_a_grant_makes_judgement_ask_a_person():
    make.house()
    pay = make.identity("payments_writer")
    make.session(pay, "pay-main")
    request = asked(pay)
    assert designations.waiting() == [request]
    granted = designations.grant(request.pk, actor=manager())
    assert (str(granted.granter), granted.review_by - granted.requested_at <= timedelta(days=90)) == ("Mara", True)
    assert make.detected("payments_writer", session=None).verdict == "hold"
    assert recorded(request.ref) == [
        "asked to designate payments_writer’s pay-main as business-critical: the shop stands still",
        "designated payments_writer’s pay-main as business-critical",
    ]


def test_what_was_only_asked_for_or_has_ended_spares_nothing():
    make.house()
    for name in ("asked", "ended"):
        make.session(make.identity(name), "pay-main")
        request = asked(Identity.objects.get(subject=name))
        if name == "ended":
            designations.grant(request.pk, actor=manager())
            designations.end(request.pk, "no longer sold", actor=manager())
        assert make.detected(name, session=None).verdict == "contain"


def test_nobody_grants_what_they_asked_for():
    request = asked(make.identity("pay"), actor=both())
    with pytest.raises(OwnApproval):
        designations.grant(request.pk, actor=both())
    for actor in (engineer(), cast.person("ines"), cast.detector()):
        with pytest.raises(Forbidden):
            designations.grant(request.pk, actor=actor)
    assert Designation.objects.get().granted_at is None


def test_a_request_is_answered_once():
    request = asked(make.identity("pay"))
    designations.grant(request.pk, actor=manager())
    with pytest.raises(DesignationEnded):
        designations.grant(request.pk, actor=both())


def test_the_same_is_asked_once_and_renewed_by_asking_again():
    pay = make.identity("pay")
    first = asked(pay)
    with pytest.raises(DesignationExists):
        asked(pay)
    designations.grant(first.pk, actor=manager())
    second = designations.grant(asked(pay, because="still so").pk, actor=manager())
    first.refresh_from_db()
    assert (first.ended_at, second.ended_at) == (second.granted_at, None)


def test_whoever_asked_takes_the_request_back_and_not_the_grant():
    pay = make.identity("pay")
    request = asked(pay)
    with pytest.raises(Forbidden):
        designations.end(request.pk, "no", actor=cast.person("ines"))
    assert designations.end(request.pk, "a mistake", actor=engineer()).ended_at is not None
    granted = designations.grant(asked(pay).pk, actor=manager())
    with pytest.raises(Forbidden):
        designations.end(granted.pk, "a mistake", actor=engineer())


def test_a_review_that_comes_near_is_listed_and_what_is_overdue_still_stands():
    pay = make.identity("pay")
    now = clock.now()
    near = designations.grant(asked(pay, review_by=(now + timedelta(days=7)).isoformat()).pk, actor=manager())
    designations.grant(asked(pay, session="pay-2").pk, actor=manager())
    assert designations.due_for_review() == [near]
    assert designations.due_for_review(within=timedelta(days=5)) == []


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"session": None}, "session"),
        ({"class": "important"}, "class"),
        ({"because": " "}, "because"),
        ({"stop_cost_per_hour": -1}, "stop_cost_per_hour"),
        ({"must_go_on": {"tables": []}}, "must_go_on.tables"),
        ({"review_by": "2199-01-01"}, "review_by"),
        ({"review_by": "soon"}, "review_by"),
        ({"granted": True}, "granted"),
    ],
)
def test_a_request_is_whole_or_refused_with_its_path(said, path):
    with pytest.raises(BadInput) as refused:
        asked(make.identity("pay"), **said)
    assert [fault.path for fault in refused.value.faults] == [path]


def test_a_designation_follows_its_identity_through_a_merge():
    other, into = make.identity("other"), make.identity("into")
    request = asked(other)
    inventory.merge(other.pk, into.pk, because="one", actor=engineer())
    assert designations.grant(request.pk, actor=manager()).identity == into
    with pytest.raises(DesignationExists):
        asked(other), asked(other)


def test_the_database_refuses_what_the_function_refuses():
    pay, person, now = make.identity("pay"), UUID(both().principal), clock.now()
    facts = {
        "identity": pay,
        "service": "s",
        "owner_team": "t",
        "kind": "payment",
        "because": "b",
        "requester_id": person,
        "requested_at": now,
    }
    soon = {"review_by": now + timedelta(days=9), "workflow": "w"}
    for broken, constraint in [
        (soon | {"granter_id": person, "granted_at": now}, "designation_granted_by_another"),
        (soon | {"workflow": ""}, "designation_names_session_or_workflow"),
        (soon | {"review_by": now + timedelta(days=91)}, "designation_is_reviewed_in_90_days"),
    ]:
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Designation.objects.create(**(facts | broken))
