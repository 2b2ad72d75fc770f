"""A program that waits, people who answer and a clock that runs out, in the same instant: one ending, and no call too many."""

from __future__ import annotations

import pytest

from approvals import holds, requests
from approvals.models import AccessRequest, Hold
from approvals.refusals import AlreadyEnded
from audit import clock
from audit.models import AuditEntry
from audit.record import story
from core.refusals import Refusal
from guard import requestable
from guard.requestable import InvalidTaskState
from tests.approvals.rows import DIGEST, opened, past_deadline, person
from tests.approvals.test_requests import about_a_call, agent, asked, wish
from tests.races.sessions import Session, in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


def endings(request: AccessRequest) -> list[str]:
    rows = AuditEntry.objects.filter(subject=str(request.ref)).exclude(verb__in=["request.asked", "request.used"])
    return list(rows.order_by("seq").values_list("verb", flat=True))


def answer(hold, actor, word="approve"):
    return lambda: holds.answer(hold.pk, word, actor=actor, seen_digest=DIGEST, reason="looked at it")


def test_an_answer_and_a_cancellation_end_it_once():
    me, hold, omar = agent(), about_a_call(), person("omar")
    request = asked(hold, me)
    said, cancelled = in_the_same_instant(
        "hold", hold.pk, answer(hold, omar), lambda: requestable.cancel(request.handle, actor=me, because="not needed")
    )
    ended = requests.found(request.pk)
    if isinstance(cancelled, InvalidTaskState):
        assert (ended.state, Hold.objects.get(pk=hold.pk).state) == ("approved", "approved")
    else:
        assert isinstance(said, AlreadyEnded)
        assert (ended.state, Hold.objects.get(pk=hold.pk).state) == ("cancelled", "withdrawn")
    assert len(endings(request)) == 1


def test_an_answer_and_the_deadline_end_it_once():
    hold, omar = opened(), person("omar")
    request = asked(hold)
    in_the_same_instant(
        "hold", hold.pk, answer(hold, omar, "reject"), lambda: holds.lapse(hold.pk), meanwhile=lambda: past_deadline(hold.pk)
    )
    assert requests.found(request.pk).state == "expired"
    assert endings(request) == ["request.expired"]


def test_who_asks_while_people_answer_hears_at_once_that_nobody_had_read_it():
    hold, omar = opened(), person("omar")

    @story
    def ask() -> AccessRequest:
        return requests.ask(wish(hold), Hold.objects.select_for_update().get(pk=hold.pk), actor=agent())

    _, request = in_the_same_instant("hold", hold.pk, answer(hold, omar, "reject"), ask)
    if isinstance(request, AccessRequest):
        assert requests.found(request.pk).state == "failed"
    else:
        assert isinstance(request, Refusal)
    assert not AccessRequest.objects.filter(state__in=["pending", "approved"]).exists()
    assert requests.adrift() == []


def test_of_many_calls_under_an_approval_of_one_a_single_one_is_made():
    hold, me = about_a_call(), agent()
    request = asked(hold, me)
    answer(hold, person("omar"))()
    now = clock.now()
    calls = [lambda: requests.use(request.pk, now=now, actor=me) for _ in range(6)]
    assert sorted(in_the_same_instant("access_request", request.pk, *calls)) == [False] * 5 + [True]
    assert requests.found(request.pk).uses == 1


def test_a_revocation_that_comes_first_leaves_nothing_to_use():
    hold, me, omar = about_a_call(), agent(), person("omar")
    request = asked(hold, me)
    answer(hold, omar)()
    revoked = Session(lambda: requests.revoke(request.pk, "by mistake", actor=omar)).outcome()
    assert not isinstance(revoked, Refusal)
    assert Session(lambda: requests.use(request.pk, now=clock.now(), actor=me)).outcome() is False
