"""Agent profiles and workflows: in force is what somebody other than the author approved, exactly as they read it."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from audit import clock
from containment import documents
from containment.documents import AlreadyDecided, NotAsRead
from containment.models import WorkDocument
from containment.refusals import OwnApproval
from core.refusals import BadInput, Forbidden, Missing
from tests import cast
from tests.inventory.people import both, engineer, manager, recorded

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"scope": [{"action": "data.read", "resource": "ingest.*"}], "drives": ["script"]}


def drafted(body=BODY, actor=None):
    return documents.draft("workflow", "ingest", body, actor=actor or engineer())


def approved(document, actor=None):
    return documents.approve(document.pk, actor=actor or manager(), seen_digest=document.digest)


def test_a_draft_allows_nothing_until_somebody_else_approves_it():
    draft = drafted()
    assert documents.in_force("ingest") is None
    assert documents.waiting() == [draft]
    approved(draft)
    assert documents.in_force("ingest") == documents.in_force("ingest", "workflow") == draft
    assert documents.in_force("ingest", "agent_profile") is None
    assert documents.waiting() == []
    assert recorded(draft.ref) == ["drafted version 1 of the workflow ingest", "approved version 1 of the workflow ingest"]


def test_the_next_version_takes_the_place_of_the_last():
    first = approved(drafted())
    second = approved(drafted({**BODY, "environments": ["prod"]}))
    first.refresh_from_db()
    assert (first.state, second.version, documents.in_force("ingest")) == ("superseded", 2, second)


def test_the_same_text_is_no_new_version():
    assert drafted() == drafted() == approved(drafted()) == drafted()
    assert WorkDocument.objects.count() == 1


def test_nobody_approves_their_own_text():
    draft = drafted(actor=both())
    with pytest.raises(OwnApproval):
        approved(draft, both())
    with pytest.raises(Forbidden):
        approved(draft, cast.person("ines"))
    assert documents.in_force("ingest") is None


def test_a_token_approves_nothing():
    with pytest.raises(Forbidden):
        approved(drafted(), cast.detector())


def test_what_was_not_read_is_not_approved():
    draft = drafted()
    with pytest.raises(NotAsRead):
        documents.approve(draft.pk, actor=manager(), seen_digest="sha256:" + "0" * 64)
    with pytest.raises(Missing):
        documents.approve(UUID(int=0), actor=manager(), seen_digest=draft.digest)


def test_an_older_draft_does_not_come_back_over_a_newer_version():
    older, newer = drafted(), drafted({**BODY, "environments": ["prod"]})
    approved(newer)
    with pytest.raises(AlreadyDecided, match="newer"):
        approved(older)
    with pytest.raises(AlreadyDecided, match="in force already"):
        approved(newer)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ([], ["body"]),
        ({}, ["body"]),
        ({"scope": "data.read"}, ["body.scope"]),
        ({"scope": [{"resource": "x"}, {"action": "a", "verb": "b"}]}, ["body.scope[0].action", "body.scope[1].verb"]),
        ({"drives": ["script", "horse", "script"]}, ["body.drives[1]", "body.drives[2]"]),
        ({"roles": {"clerk": {"scope": [{"action": 7}]}, "boss": 1}}, ["body.roles.clerk.scope[0].action", "body.roles.boss"]),
        ({"tools": [{"name": "mail.send"}]}, ["body.tools[0].writes"]),
        ({"joins": [["a"], ["a", "b"]]}, ["body.joins[0]"]),
        ({"bounds": {"mail.send": {"to": {}}}}, ["body.bounds.mail.send.to"]),
        ({"bounds": {"pay": {"amount": {"min": 9, "max": 3}}}}, ["body.bounds.pay.amount.max"]),
        ({"budgets": {"calls_per_hour": -1, "cakes": 1}}, ["body.budgets.calls_per_hour", "body.budgets.cakes"]),
        ({"ttl_minutes": 0, "colour": "blue"}, ["body.ttl_minutes", "body.colour"]),
        ({"environments": ["prod", None]}, ["body.environments[1]"]),
    ],
)
def test_every_fault_of_a_body_has_its_path(body, paths):
    with pytest.raises(BadInput) as refused:
        drafted(body)
    assert [fault.path for fault in refused.value.faults] == paths
    assert WorkDocument.objects.count() == 0


def test_a_rule_without_a_resource_is_about_every_resource():
    assert documents.parse({"scope": [{"action": "data.read"}]}) == {"scope": [{"action": "data.read", "resource": "*"}]}


def test_the_database_refuses_what_the_function_refuses():
    author = UUID(engineer().principal)
    facts = {"kind": "workflow", "name": "x", "body": {}, "digest": "d", "author_id": author, "drafted_at": clock.now()}
    with pytest.raises(IntegrityError, match="work_document_author_does_not_approve"), transaction.atomic():
        WorkDocument.objects.create(version=1, approver_id=author, state="in_force", **facts)
    with pytest.raises(IntegrityError, match="work_document_in_force_is_approved"), transaction.atomic():
        WorkDocument.objects.create(version=1, state="in_force", **facts)
