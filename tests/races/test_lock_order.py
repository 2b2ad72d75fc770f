"""In which order identities are locked: two senders of the same things in another order wait for each other, never in a circle."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from api import gate
from api.v1 import detections
from containment import intake
from containment.models import Detection, Identity, Resource, Session, SessionUse
from sources import native
from tests import cast, make
from tests.feed import event, told
from tests.races import sessions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two() -> list[Identity]:
    """In the order of their ids."""
    make.house(teaches=True)
    return sorted((make.identity("one"), make.identity("two")), key=lambda identity: identity.pk)


def is_free(table: str, key: UUID) -> bool:
    """Nobody has locked the row, or changed it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} WHERE id = %s FOR UPDATE SKIP LOCKED", [key])
        return cursor.fetchone() is not None


def batch(*subjects: str) -> Any:
    """A batch of detections as the API takes it."""
    items = [gate.Item(make.message(subject), ()) for subject in subjects]
    return detections._take(items, 0, intake.Admitted(""), cast.detector())


@pytest.mark.fault("C3")
def test_a_batch_locks_its_identities_by_their_ids_and_not_as_they_were_sent(two):
    first, second = two
    cast.detector()
    with sessions.holding("identity", first.pk):
        sender = sessions.Session(lambda: batch(second.subject, first.subject))
        sender.seen_waiting()
        assert is_free("identity", second.pk)
    assert [said["status"] for said in sender.outcome()] == [202, 202]


def test_a_feed_does_so_too(two):
    first, second = two
    cast.detector()
    with sessions.holding("identity", first.pk):
        sender = sessions.Session(lambda: told([event(second.subject), event(first.subject)]))
        sender.seen_waiting()
        assert is_free("identity", second.pk)
    assert len(sender.outcome()) == 2


@pytest.mark.fault("C3")
def test_two_batches_of_the_same_in_another_order_both_get_through(two):
    first, second = two
    cast.detector()
    said = sessions.in_the_same_instant(
        "identity", second.pk, lambda: batch(first.subject, second.subject), lambda: batch(second.subject, first.subject)
    )
    assert [[one["status"] for one in answers] for answers in said] == [[202, 202], [202, 202]]
    assert Detection.objects.count() == 4


def test_a_detection_locks_its_identity_before_its_session(two):
    first, _ = two
    session = make.session(first, "s-1")
    SessionUse.objects.create(session=session)
    call = {"name": "tool.call", "tool": "mail.send", "arguments": {"to": "a@acme.test"}}
    message = make.message(first.subject, session={"id": "s-1"}, action=call)
    actor = cast.detector()
    with sessions.holding("identity", first.pk):
        sender = sessions.Session(lambda: intake.receive(native.read(message), message, actor=actor))
        sender.seen_waiting()
        assert is_free("session", session.pk)
        with transaction.atomic():
            assert SessionUse.objects.select_for_update(skip_locked=True).filter(session=session).exists()
    assert sender.outcome().detection.called["call"]["tool"] == "mail.send"
    assert Session.objects.filter(last_seen_at__gt=session.last_seen_at).exists()


def test_a_feed_says_where_resources_live_in_the_order_of_their_names(two):
    one, other = (Resource.objects.create(kind="table", key=key) for key in ("a.table", "b.table"))
    cast.detector()
    with sessions.holding("resource", one.pk):
        sender = sessions.Session(lambda: told([event("one", on=key, system="db", session="") for key in ("b.table", "a.table")]))
        sender.seen_waiting()
        assert is_free("resource", other.pk)
    sender.outcome()
    assert set(Resource.objects.filter(key__in=["a.table", "b.table"]).values_list("system", flat=True)) == {"db"}
