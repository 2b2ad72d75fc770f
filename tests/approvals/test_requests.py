"""A program waits for a hold with one call: it ends once, with the hold; and its approval covers that call and its asker, for a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from approvals import holds, requests
from approvals.domain import calls
from approvals.models import AccessRequest, Hold
from approvals.models.hold import ACCESS_REQUEST
from approvals.refusals import AlreadyEnded, KeyUsedOtherwise
from approvals.requests import Wish
from audit import clock
from audit.models import AuditEntry
from core.actor import CLOCK, SYSTEM, Actor, ActorKind
from core.digest import digest
from core.ids import uuid7
from core.refusals import BadInput
from tests.approvals.rows import DIGEST, MANAGERS, MINUTE, PAYROLL, opened, past_deadline, person, terms

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
NOON = datetime.fromisoformat("2026-11-23T12:00:00Z")


def agent(owner: Actor | None = None) -> Actor:
    """A token of a program; it counts as whoever owns it."""
    return Actor(ActorKind.TOKEN, str(uuid7()), "invoice-agent token", principal=owner.principal if owner else str(uuid7()))


def wish(hold: Hold | None = None, **changes: Any) -> Wish:
    usual: dict[str, Any] = {
        "evaluation": uuid7(),
        "question": digest({"call": str(uuid7())}),
        "asks": {"what": "mail.send on finance@example.com", "who": "holdfast/invoice-agent"},
        "body_digest": digest({"body": 1}),
        "identity_ref": hold.identity_ref if hold else "identity:1",
        "run_ref": hold.run_ref if hold else "",
    }
    return Wish(**usual | changes)


def about_a_call(**changes: Any) -> Hold:
    return opened(run_ref="", case_ref="", reason_class=ACCESS_REQUEST, **changes)


def asked(hold: Hold, actor: Actor | None = None, **changes: Any) -> AccessRequest:
    return requests.ask(wish(hold, **changes), hold, actor=actor or agent())


def fresh(request: AccessRequest) -> AccessRequest:
    return requests.found(request.pk)


def verbs(request: AccessRequest) -> list[str]:
    return list(AuditEntry.objects.filter(subject=str(request.ref)).order_by("seq").values_list("verb", flat=True))


def answered(hold: Hold, word: Any, who: Actor | None = None) -> None:
    """With everything on the screen that waits."""
    waiting = list(hold.requests.filter(state="pending").values_list("pk", flat=True))
    holds.answer(hold.pk, word, actor=who or person("omar"), seen_digest=DIGEST, reason="looked at it", seen_requests=waiting)


@pytest.mark.parametrize(
    ("about_a_call", "hold", "word_counts", "move"),
    [
        (True, "approved", True, "approve"),
        (True, "approved", False, "fail"),
        (True, "rejected", True, "deny"),
        (True, "lapsed", False, "expire"),
        (True, "withdrawn", False, "fail"),
        (False, "rejected", True, "approve"),  # leave it running
        (False, "rejected", False, "fail"),
        (False, "approved", True, "deny"),  # contain now
        (False, "lapsed", False, "expire"),
        (False, "withdrawn", False, "fail"),
        (False, "superseded", False, None),
        (True, "open", False, None),
    ],
)
def test_what_the_end_of_a_hold_means_for_who_waits(about_a_call, hold, word_counts, move):
    assert calls.follows(hold, about_a_call=about_a_call, word_counts=word_counts, until=NOON + HOUR, now=NOON) == move


def test_a_yes_after_the_time_it_was_wanted_for_is_none():
    assert calls.follows("approved", about_a_call=True, word_counts=True, until=NOON, now=NOON) == "expire"


@pytest.mark.parametrize(
    ("wanted", "until"),
    [(None, NOON + HOUR), (NOON + 3 * HOUR, NOON + 3 * HOUR), (NOON + 30 * HOUR, NOON + 8 * HOUR), (NOON + MINUTE, NOON + MINUTE)],
)
def test_an_approval_lasts_as_long_as_it_is_wanted_and_eight_hours_at_most(wanted, until):
    assert calls.ends(wanted, now=NOON) == until


def test_leaving_a_run_alone_lets_the_call_that_waits_go_through_in_the_same_story():
    hold = opened()
    request = asked(hold)
    answered(hold, "reject")
    ended = fresh(request)
    assert (ended.state, ended.closed_at) == ("approved", Hold.objects.get(pk=hold.pk).closed_at)
    assert ended.closed_at is not None
    assert ended.approved_until == ended.closed_at + HOUR
    assert (ended.uses_max, ended.uses) == (1, 0)
    assert verbs(request) == ["request.asked", "request.approved"]


def test_containing_denies_it_and_lapsing_is_nobodys_word():
    contained, silent = opened(), opened()
    one, other = asked(contained), asked(silent)
    answered(contained, "approve")
    past_deadline(silent.pk)
    holds.lapse(silent.pk)
    assert (fresh(one).state, fresh(other).state) == ("denied", "expired")
    assert fresh(other).closed_because == "Nobody answered in time; that is neither a yes nor a no."


def test_a_hold_about_a_call_is_allowed_refused_or_silent():
    allowed, refused, silent = about_a_call(), about_a_call(), about_a_call()
    waiting = [asked(hold) for hold in (allowed, refused, silent)]
    answered(allowed, "approve")
    answered(refused, "reject")
    past_deadline(silent.pk)
    holds.lapse(silent.pk)
    assert [fresh(one).state for one in waiting] == ["approved", "denied", "expired"]
    ends = [AuditEntry.objects.filter(subject=str(hold.ref)).order_by("-seq")[0].verb for hold in (allowed, refused, silent)]
    assert ends == ["hold.allowed", "hold.refused", "hold.unanswered"]


def test_refusing_a_call_says_why():
    hold = about_a_call()
    with pytest.raises(BadInput) as no:
        holds.answer(hold.pk, "reject", actor=person("omar"), seen_digest=DIGEST)
    assert no.value.sentence == "reason: Say why it is refused."


def test_any_number_of_calls_may_be_asked_about_at_once():
    assert len({about_a_call().pk for _ in range(3)}) == 3


@pytest.mark.parametrize("changes", [{"on_lapse": "contain"}, {"on_lapse": "escalate", "in_the_end": "contain"}])
def test_silence_never_allows_a_call(changes):
    with pytest.raises(IntegrityError, match="silence_never_allows_a_call"):
        about_a_call(**changes)


def test_the_word_of_whom_it_never_takes_leaves_the_run_alone_and_allows_no_call():
    """Olga may answer for payroll, and owns the agent whose call waits."""
    olga, hold = person("olga"), opened()
    request = asked(hold, never={olga.principal: "the owner of who would do it"})
    answered(hold, "reject", olga)
    assert Hold.objects.get(pk=hold.pk).state == "rejected"
    assert fresh(request).state == "failed"
    assert "owns the agent" in fresh(request).closed_because


def test_whoever_waits_for_a_run_waits_for_the_hold_that_takes_over():
    first = opened()
    request = asked(first)
    holds.supersede(first.pk, "It has become protected.", actor=SYSTEM)
    assert fresh(request).waits
    second = opened(run_ref=first.run_ref, identity_ref=first.identity_ref)
    assert fresh(request).hold_id == second.pk
    answered(second, "reject")
    assert fresh(request).state == "approved"


def test_where_no_hold_takes_over_it_ends_instead_of_waiting_for_ever():
    first = opened()
    request = asked(first)
    holds.supersede(first.pk, "The plan is another.", actor=SYSTEM)
    assert requests.adrift() == [request.pk]
    assert requests.set_adrift_right(request.pk)
    assert (fresh(request).state, requests.adrift()) == ("failed", [])


def test_a_hold_that_is_withdrawn_ends_the_waiting():
    hold = opened()
    request = asked(hold)
    holds.withdraw(hold.pk, "Its run ended.", actor=SYSTEM)
    assert fresh(request).state == "failed"


@pytest.mark.parametrize("word", ["reject", "approve"])
def test_nobody_waits_for_a_word_that_was_said_already(word: str):
    hold = opened()
    answered(hold, word)
    with pytest.raises(AlreadyEnded):
        asked(Hold.objects.get(pk=hold.pk))
    assert not AccessRequest.objects.exists()


def test_leaving_a_run_alone_allows_no_call_that_nobody_read():
    hold = opened()
    read, unread = asked(hold), asked(hold)
    holds.answer(hold.pk, "reject", actor=person("omar"), seen_digest=DIGEST, reason="looked at it", seen_requests=[read.pk])
    assert (fresh(read).state, fresh(unread).state) == ("approved", "failed")
    assert "had not read this call" in fresh(unread).closed_because


def test_of_one_call_one_request_waits_and_a_key_names_one_request():
    hold, me = about_a_call(), agent()
    first = asked(hold, me, key="k-1", question="sha256:q")
    assert requests.waiting("sha256:q", actor=me) == first
    assert requests.waiting("sha256:q", actor=agent()) is None
    assert requests.repeated("k-1", first.body_digest, actor=me) == first
    assert requests.repeated("k-1", digest("other"), actor=agent()) is None
    with pytest.raises(KeyUsedOtherwise):
        requests.repeated("k-1", digest("other"), actor=me)
    with pytest.raises(IntegrityError, match="one_request_waits_per_question"):
        asked(hold, me, question="sha256:q")
    with pytest.raises(IntegrityError, match="one_request_per_key"):
        asked(hold, me, key="k-1")


def test_its_asker_may_want_it_no_longer_while_it_waits():
    hold = opened()
    request = asked(hold)
    assert requests.cancel(request.pk, actor=agent(), because="found another way").state == "cancelled"
    with pytest.raises(AlreadyEnded):
        requests.cancel(request.pk, actor=agent(), because="again")
    answered(hold, "reject")
    assert fresh(request).state == "cancelled"


def test_an_approval_is_used_as_often_as_it_covers():
    once, often = asked(about := about_a_call()), asked(about, uses_max=None)
    answered(about, "approve")
    now = clock.now()
    assert [requests.use(once.pk, now=now, actor=agent()) for _ in range(2)] == [True, False]
    assert [requests.use(often.pk, now=now, actor=agent()) for _ in range(3)] == [True, True, True]
    assert not requests.use(often.pk, now=now + 9 * HOUR, actor=agent())
    assert verbs(once) == ["request.asked", "request.approved", "request.used"]


def test_a_revoked_approval_covers_nothing_more():
    hold = about_a_call()
    request = asked(hold)
    answered(hold, "approve")
    requests.revoke(request.pk, "it was sent twice", actor=person("omar"))
    assert not requests.use(request.pk, now=clock.now(), actor=agent())
    assert verbs(request)[-1] == "request.revoked"


def test_who_asked_alone_knows_the_task():
    me = agent()
    request = asked(opened(), me)
    assert requests.of_task(request.handle, actor=me) == request
    assert requests.of_task(request.handle, actor=agent()) is None
    assert requests.of_task("arq_nothing", actor=me) is None
    assert requests.of_task(7, actor=me) is None


def test_what_was_asked_is_shown_without_its_secrets():
    request = asked(about_a_call(), justification="use password=hunter22 please")
    assert "hunter22" not in request.justification


# -- the database refuses too --------------------------------------------------------------------------------------------------------------


def set_to(request: AccessRequest, **values: Any) -> None:
    with transaction.atomic():
        AccessRequest.objects.filter(pk=request.pk).update(**values)


def test_an_ended_request_stays_as_it_ended():
    hold = opened()
    request = asked(hold)
    answered(hold, "approve")
    for values in ({"state": "approved"}, {"state": "pending", "closed_at": None}, {"closed_because": "other"}):
        with pytest.raises(IntegrityError):
            set_to(request, **values)
    with pytest.raises(IntegrityError), transaction.atomic():
        fresh(request).delete()


def test_what_was_asked_for_is_frozen():
    request = asked(opened())
    changes: list[dict[str, Any]] = [
        {"question": "sha256:other"},
        {"principal": "me"},
        {"asks": {}},
        {"never": {"me": "nobody"}},
        {"uses_max": 5},
        {"wanted_until": NOON},
    ]
    for values in changes:
        with pytest.raises(IntegrityError, match="frozen"):
            set_to(request, **values)


def test_nothing_is_approved_without_an_answer_that_counts():
    hold = opened()
    request = asked(hold)
    now = clock.now()
    yes = {"state": "approved", "closed_at": now, "approval": uuid7(), "approved_until": now + HOUR}
    with pytest.raises(IntegrityError, match="nobody who may"):
        set_to(request, **yes)
    with pytest.raises(IntegrityError, match="begins by waiting"), transaction.atomic():
        AccessRequest.objects.create(**{**_columns(request), **yes, "id": uuid7(), "question": "sha256:new"})


def test_a_use_is_never_given_back():
    hold = about_a_call()
    request = asked(hold)
    answered(hold, "approve")
    assert requests.use(request.pk, now=clock.now(), actor=agent())
    for values in ({"uses": 0}, {"uses": 2}):
        with pytest.raises(IntegrityError):
            set_to(request, **values)


def test_the_next_reviewers_are_asked_and_the_request_goes_on_waiting():
    hold = about_a_call(terms=terms(PAYROLL, MANAGERS), on_lapse="escalate", in_the_end="release")
    request = asked(hold)
    past_deadline(hold.pk)
    assert holds.lapse(hold.pk).is_open
    assert fresh(request).waits
    past_deadline(hold.pk)
    assert holds.lapse(hold.pk).state == "lapsed"
    assert fresh(request).state == "expired"
    assert AuditEntry.objects.filter(subject=str(hold.ref), verb="hold.unanswered", actor=str(CLOCK)).exists()


def _columns(request: AccessRequest) -> dict[str, Any]:
    return {field.attname: getattr(request, field.attname) for field in AccessRequest._meta.concrete_fields}
