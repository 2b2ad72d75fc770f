"""Answers, deadlines and sweepers in the same instant: one ending, and no answer after the deadline."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection

from approvals import grants, holds
from approvals.models import Answer, ExceptionGrant, Hold
from approvals.refusals import AlreadyEnded, NotDue, TooLate
from audit import chain, clock
from audit.models import AuditEntry, AuditHead
from core.actor import SYSTEM
from core.refusals import Refusal
from tests.approvals.rows import DIGEST, MINUTE, opened, past_deadline, person, terms
from tests.races.sessions import Session, holding, in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


def approve(hold, actor):
    return lambda: holds.answer(hold.pk, "approve", actor=actor, seen_digest=DIGEST)


def reject(hold, actor):
    return lambda: holds.answer(hold.pk, "reject", actor=actor, seen_digest=DIGEST, reason="salaries run today")


def endings(hold):
    return [verb for verb in verbs(hold) if verb not in {"hold.opened", "hold.answered", "hold.escalated", "hold.extended"}]


def verbs(hold):
    return list(AuditEntry.objects.filter(subject=str(hold.ref)).order_by("seq").values_list("verb", flat=True))


@pytest.mark.fault("E1")
def test_of_two_answers_in_the_same_instant_one_ends_the_hold_and_the_other_hears_who_did():
    hold, omar, olga = opened(), person("omar"), person("olga")
    first, second = sorted(
        in_the_same_instant("hold", hold.pk, approve(hold, omar), approve(hold, olga)), key=lambda said: isinstance(said, Refusal)
    )
    assert first.settled
    assert isinstance(second, AlreadyEnded)
    assert first.hold.closed_by in second.sentence
    assert (Answer.objects.count(), endings(hold)) == (1, ["hold.approved"])


@pytest.mark.fault("E2")
def test_of_an_approval_and_a_rejection_in_the_same_instant_one_counts():
    hold, omar, olga = opened(), person("omar"), person("olga")
    said = in_the_same_instant("hold", hold.pk, approve(hold, omar), reject(hold, olga))
    assert sorted(isinstance(each, AlreadyEnded) for each in said) == [False, True]
    assert len(endings(hold)) == Answer.objects.count() == 1


def test_two_approvals_in_the_same_instant_reach_a_quorum_of_two_once():
    hold, omar, olga = opened(terms=terms(quorum=2)), person("omar"), person("olga")
    said = in_the_same_instant("hold", hold.pk, approve(hold, omar), approve(hold, olga))
    assert sorted(each.settled for each in said) == [False, True]
    assert endings(hold) == ["hold.approved"]


@pytest.mark.fault("E4")
def test_a_double_click_is_one_answer():
    hold, omar = opened(), person("omar")
    said = in_the_same_instant("hold", hold.pk, approve(hold, omar), approve(hold, omar))
    assert sorted((each.first, each.settled) for each in said) == [(False, False), (True, True)]
    assert said[0].answer == said[1].answer
    assert verbs(hold) == ["hold.opened", "hold.answered", "hold.approved"]


def test_an_answer_that_meets_the_lapse_before_the_deadline_counts():
    hold = opened()
    answered, lapsed = in_the_same_instant("hold", hold.pk, approve(hold, person("omar")), lambda: holds.lapse(hold.pk))
    assert answered.settled
    assert isinstance(lapsed, NotDue | AlreadyEnded)
    assert endings(hold) == ["hold.approved"]


def test_an_answer_that_meets_the_lapse_after_the_deadline_does_not():
    hold = opened(on_lapse="contain")
    answered, lapsed = in_the_same_instant(
        "hold", hold.pk, approve(hold, person("omar")), lambda: holds.lapse(hold.pk), meanwhile=lambda: past_deadline(hold.pk)
    )
    assert isinstance(answered, TooLate | AlreadyEnded)
    assert lapsed.lapsed_to == "contain"
    assert endings(hold) == ["hold.lapsed"]


@pytest.mark.fault("D3")
@pytest.mark.fault("D6")
def test_two_sweepers_lapse_a_hold_once():
    hold = opened()
    past_deadline(hold.pk)
    said = in_the_same_instant("hold", hold.pk, *[lambda: holds.lapse(hold.pk)] * 2)
    assert sorted(isinstance(each, AlreadyEnded) for each in said) == [False, True]
    assert endings(hold) == ["hold.lapsed"]


@pytest.mark.fault("E3")
@pytest.mark.parametrize("touched", [False, True], ids=["only locked", "locked and changed"])
def test_an_answer_that_waited_for_the_lock_past_the_deadline_is_too_late(touched):
    """The deadline is ahead when the answer is given, and behind when it gets its turn. The clock, not the row, has moved."""
    hold, omar = opened(patience=timedelta(seconds=2)), person("omar")
    with holding("hold", hold.pk):
        answering = Session(approve(hold, omar))
        answering.seen_waiting()
        assert clock.now() < hold.deadline
        if touched:
            Hold.objects.filter(pk=hold.pk).update(closed_by="")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(greatest(0, extract(epoch FROM %s - clock_timestamp())))", [hold.deadline])
    assert isinstance(answering.outcome(), TooLate)
    assert not Answer.objects.exists()
    assert verbs(hold) == ["hold.opened"]


def test_an_answer_that_meets_a_withdrawal_is_heard_before_it_or_not_at_all():
    hold, omar = opened(), person("omar")
    answered, withdrawn = in_the_same_instant(
        "hold", hold.pk, approve(hold, omar), lambda: holds.withdraw(hold.pk, "the run ended", actor=SYSTEM)
    )
    assert isinstance(answered, AlreadyEnded) is not isinstance(withdrawn, AlreadyEnded)
    assert len(endings(hold)) == 1


def test_one_run_opens_one_hold():
    """Whoever opens a hold has locked its run; the index stands for the one who forgot."""
    first = opened()
    with pytest.raises(IntegrityError, match="one_open_hold_per_run"):
        Hold.objects.create(**{field.attname: getattr(first, field.attname) for field in Hold._meta.fields if field.attname != "id"})


def test_more_time_and_a_lapse_in_the_same_instant_do_not_both_happen():
    hold, omar = opened(), person("omar")
    past_deadline(hold.pk, -MINUTE)
    extended, lapsed = in_the_same_instant(
        "hold", hold.pk, lambda: holds.extend(hold.pk, actor=omar), lambda: holds.lapse(hold.pk), meanwhile=lambda: past_deadline(hold.pk)
    )
    assert isinstance(extended, TooLate | AlreadyEnded)
    assert lapsed.state == "lapsed"


def test_the_last_of_an_exceptions_budget_is_spent_once():
    omar, ines = person("omar"), person("ines", roles=("manager",))
    now = clock.now()
    grant = grants.ask(
        scope={"identity": "i-1"},
        reason="month-end close",
        ticket="",
        starts_at=now,
        ends_at=now + timedelta(days=1),
        budget_count=1,
        budget_risk=100,
        actor=omar,
        longest=timedelta(days=14),
    )
    grants.grant(grant.pk, actor=ines)
    spent = in_the_same_instant("exception_grant", grant.pk, *[lambda: grants.spend(grant.pk, 50)] * 3)
    assert sorted(spent) == [False, False, True]
    assert ExceptionGrant.objects.get().used_count == 1


def test_a_crowd_around_the_deadline_leaves_one_ending_each_and_an_unbroken_chain():
    people = [person(name) for name in ("omar", "olga", "otto")]
    crowd = [opened(on_lapse="contain") for _ in range(12)]
    for number, hold in enumerate(crowd):
        past_deadline(hold.pk, -timedelta(milliseconds=200 + 40 * number))
    together = threading.Barrier(len(people) + 2)

    def clicks(number, actor):
        together.wait()
        return [attempt((approve, reject)[(number + turn) % 2](hold, actor)) for turn, hold in enumerate(crowd)]

    def sweeps():
        together.wait()
        while Hold.objects.filter(state="open").exists():
            for key, _ in holds.due():
                attempt(lambda key=key: holds.lapse(key))

    clicking = [Session(partial(clicks, number, actor)) for number, actor in enumerate(people)]
    sessions = [*clicking, Session(sweeps), Session(sweeps)]
    for session in sessions:
        session.outcome()
    for hold in crowd:
        hold.refresh_from_db()
        assert len(endings(hold)) == 1
        assert endings(hold) == [f"hold.{hold.state}"]
        assert hold.answers.count() == (0 if hold.state == "lapsed" else 1)
        assert all(answer.at < hold.deadline for answer in hold.answers.all())
    assert chain.first_break(AuditEntry.objects.order_by("seq"), head=AuditHead.objects.get()) is None


def attempt(call):
    try:
        return call()
    except Refusal as refusal:
        return refusal
