"""A hold is answered by the right people, in time, about the plan they read, and ends once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import actors
from accounts.models import Person
from approvals import holds
from approvals.models import Answer, Hold
from approvals.refusals import AlreadyAnswered, AlreadyEnded, AlreadyOpen, NoMoreTime, NotDue, NotYours, PlanChanged, TooLate
from audit import clock
from audit.models import AuditEntry
from core.actor import CLOCK, SYSTEM
from core.ids import uuid7
from core.refusals import BadInput, Missing
from tests.approvals.rows import DIGEST, MANAGERS, MINUTE, PAYROLL, opened, past_deadline, person, terms

pytestmark = pytest.mark.django_db


def verbs(hold: Hold) -> list[str]:
    return list(AuditEntry.objects.filter(subject=str(hold.ref)).order_by("seq").values_list("verb", flat=True))


def fresh(hold: Hold) -> Hold:
    return Hold.objects.get(pk=hold.pk)


def test_one_approval_of_one_ends_the_hold_with_one_entry_for_each_change():
    hold, omar = opened(), person("omar")
    answered = holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    assert (answered.first, answered.settled) == (True, True)
    assert (fresh(hold).state, fresh(hold).closed_at, fresh(hold).closed_by) == ("approved", answered.answer.at, "Omar")
    assert verbs(hold) == ["hold.opened", "hold.answered", "hold.approved"]


def test_every_entry_is_about_the_run_the_case_and_the_identity():
    hold = opened()
    holds.answer(hold.pk, "approve", actor=person("omar"), seen_digest=DIGEST)
    for entry in AuditEntry.objects.filter(subject=str(hold.ref)):
        assert entry.about == [hold.run_ref, hold.case_ref, hold.identity_ref]


def test_approval_takes_as_many_people_as_the_quorum():
    hold, omar, olga = opened(terms=terms(quorum=2)), person("omar"), person("olga")
    assert not holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST).settled
    assert fresh(hold).state == "open"
    assert holds.answer(hold.pk, "approve", actor=olga, seen_digest=DIGEST).settled
    assert fresh(hold).state == "approved"


def test_one_rejection_ends_the_hold_and_says_why():
    hold, omar, olga = opened(terms=terms(quorum=2)), person("omar"), person("olga")
    holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    assert holds.answer(hold.pk, "reject", actor=olga, seen_digest=DIGEST, reason="salaries run today").settled
    assert (fresh(hold).state, fresh(hold).closed_because) == ("rejected", "salaries run today")


def test_a_rejection_needs_a_reason():
    hold = opened()
    with pytest.raises(BadInput) as no:
        holds.answer(hold.pk, "reject", actor=person("omar"), seen_digest=DIGEST, reason="  ")
    assert [(fault.path, fault.code) for fault in no.value.faults] == [("reason", "required")]
    assert fresh(hold).state == "open"


@pytest.mark.fault("E8")
def test_an_approval_of_somebody_who_lost_the_role_meanwhile_no_longer_counts():
    hold, omar, olga, otto = opened(terms=terms(quorum=2)), person("omar"), person("olga"), person("otto")
    holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    Person.objects.get(pk=omar.id).role_grants.all().delete()
    assert not holds.answer(hold.pk, "approve", actor=olga, seen_digest=DIGEST).settled
    assert holds.answer(hold.pk, "approve", actor=otto, seen_digest=DIGEST).settled


def test_an_approval_of_somebody_who_was_deactivated_no_longer_counts():
    hold, omar, olga = opened(terms=terms(quorum=2)), person("omar"), person("olga")
    holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    Person.objects.filter(pk=omar.id).update(is_active=False)
    assert not holds.answer(hold.pk, "approve", actor=olga, seen_digest=DIGEST).settled


def test_the_same_answer_again_is_the_first_one_again():
    hold, omar = opened(), person("omar")
    first = holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    again = holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    assert (again.first, again.settled, again.answer) == (False, False, first.answer)
    assert verbs(hold) == ["hold.opened", "hold.answered", "hold.approved"]


def test_the_same_answer_again_after_the_deadline_is_the_first_one_again():
    hold, omar = opened(terms=terms(quorum=2)), person("omar")
    holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    past_deadline(hold.pk)
    assert not holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST).first


def test_nobody_answers_twice_with_different_words():
    hold, omar = opened(terms=terms(quorum=2)), person("omar")
    holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    with pytest.raises(AlreadyAnswered):
        holds.answer(hold.pk, "reject", actor=omar, seen_digest=DIGEST, reason="on second thoughts")
    assert fresh(hold).state == "open"


def test_who_comes_second_hears_who_was_first_and_when():
    hold = opened()
    answered = holds.answer(hold.pk, "reject", actor=person("omar"), seen_digest=DIGEST, reason="salaries run today")
    with pytest.raises(AlreadyEnded) as no:
        holds.answer(hold.pk, "approve", actor=person("olga"), seen_digest=DIGEST)
    assert no.value.sentence == f"This hold was rejected by Omar at {answered.answer.at:%H:%M:%S} UTC."


@pytest.mark.fault("D4")
@pytest.mark.parametrize(("microseconds", "settled"), [(-1, True), (0, False), (1, False)])
def test_the_deadline_itself_is_too_late(monkeypatch, microseconds, settled):
    """The clock is set, because nobody hits a microsecond; the row's deadline has passed or not accordingly."""
    hold, omar = opened(), person("omar")
    past_deadline(hold.pk)
    deadline = fresh(hold).deadline
    monkeypatch.setattr(clock, "now", lambda: deadline + timedelta(microseconds=microseconds))
    if settled:
        assert holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST).settled
        return
    with pytest.raises(TooLate):
        holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)


def test_a_late_answer_leaves_nothing_behind():
    hold = opened()
    past_deadline(hold.pk)
    with pytest.raises(TooLate):
        holds.answer(hold.pk, "approve", actor=person("omar"), seen_digest=DIGEST)
    assert verbs(hold) == ["hold.opened"]


@pytest.mark.fault("E9")
def test_an_answer_about_another_plan_does_not_count():
    hold = opened()
    with pytest.raises(PlanChanged) as no:
        holds.answer(hold.pk, "approve", actor=person("omar"), seen_digest="sha256:" + "0" * 64)
    assert no.value.facts["plan_digest"] == DIGEST


def test_the_checks_come_in_the_order_entitled_state_deadline_digest():
    hold, wren, omar = opened(), person("wren", teams=("sales",)), person("omar")
    past_deadline(hold.pk)
    with pytest.raises(NotYours):
        holds.answer(hold.pk, "approve", actor=wren, seen_digest="wrong")
    with pytest.raises(TooLate):
        holds.answer(hold.pk, "approve", actor=omar, seen_digest="wrong")
    holds.withdraw(hold.pk, "the run ended", actor=SYSTEM)
    with pytest.raises(AlreadyEnded):
        holds.answer(hold.pk, "approve", actor=omar, seen_digest="wrong")
    with pytest.raises(NotYours):
        holds.answer(hold.pk, "approve", actor=wren, seen_digest=DIGEST)


def test_there_is_no_answer_to_a_hold_that_does_not_exist():
    with pytest.raises(Missing):
        holds.answer(uuid7(), "approve", actor=person("omar"), seen_digest=DIGEST)


@pytest.mark.fault("E6")
def test_nobody_answers_their_own_request():
    omar = person("omar")
    hold = opened(terms=terms(never={omar.principal: "the requester"}))
    with pytest.raises(NotYours) as no:
        holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    assert "the requester" in no.value.sentence
    assert no.value.facts["who_could"] == ["the payroll team"]


# --- the same, past the functions


def inserted(hold: Hold, actor, **changes):
    return Answer(
        **{
            "hold": hold,
            "person_id": UUID(actor.principal),
            "principal": actor.principal,
            "word": "approve",
            "plan_digest": DIGEST,
            "at": clock.now(),
        }
        | changes
    )


def refused_by_the_database(write) -> str:
    with pytest.raises(IntegrityError) as no, transaction.atomic():
        write()
    return str(no.value)


@pytest.mark.fault("E6")
def test_the_database_refuses_self_approval():
    omar = person("omar")
    hold = opened(terms=terms(never={omar.principal: "the requester"}))
    assert "never counts here: the requester" in refused_by_the_database(inserted(hold, omar).save)


def test_the_database_refuses_an_answer_in_somebody_elses_name():
    omar, olga = person("omar"), person("olga")
    hold = opened(terms=terms(never={omar.principal: "the requester"}))
    said = refused_by_the_database(inserted(hold, omar, principal=olga.principal).save)
    assert "an_answer_is_given_by_the_person_themselves" in said


@pytest.mark.parametrize("late", [timedelta(0), MINUTE])
def test_the_database_refuses_an_answer_at_or_after_the_deadline(late):
    hold, omar = opened(), person("omar")
    past_deadline(hold.pk, late)
    assert "the time to answer ended" in refused_by_the_database(inserted(hold, omar).save)


@pytest.mark.parametrize("shift", [timedelta(hours=-1), timedelta(minutes=1)])
def test_the_database_refuses_an_answer_with_a_time_that_is_not_its_own(shift):
    hold, omar = opened(), person("omar")
    assert "says when it was given" in refused_by_the_database(inserted(hold, omar, at=clock.now() + shift).save)


def test_the_database_refuses_an_answer_about_another_plan():
    assert "not the one that was answered" in refused_by_the_database(inserted(opened(), person("omar"), plan_digest="other").save)


def test_the_database_refuses_an_answer_to_a_hold_that_ended():
    hold = opened()
    holds.withdraw(hold.pk, "the run ended", actor=SYSTEM)
    assert "has ended" in refused_by_the_database(inserted(hold, person("omar")).save)


def test_the_database_refuses_a_second_answer_of_one_person():
    hold, omar = opened(terms=terms(quorum=2)), person("omar")
    holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST)
    assert "one_answer_per_person_and_hold" in refused_by_the_database(inserted(hold, omar).save)


def test_answers_are_final():
    answered = holds.answer(opened(terms=terms(quorum=2)).pk, "approve", actor=person("omar"), seen_digest=DIGEST)
    mine = Answer.objects.filter(pk=answered.answer.pk)
    assert "rows of hold_answer are final" in refused_by_the_database(lambda: mine.update(word="reject", reason="changed"))
    assert "rows of hold_answer are final" in refused_by_the_database(mine.delete)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": {"steps": []}}, "frozen"),
        ({"plan_digest": "other"}, "frozen"),
        ({"run_ref": "run:other"}, "frozen"),
        ({"terms": terms(quorum=1, never={}).to_json() | {"quorum": 3}}, "frozen"),
        ({"terms": terms(MANAGERS).to_json()}, "frozen"),
        ({"in_the_end": "contain", "on_lapse": "contain"}, "frozen"),
        ({"state": "approved"}, "0 of 1 approvals"),
        ({"state": "rejected"}, "nobody rejected"),
        ({"state": "withdrawn"}, "a_hold_that_ended_says_when"),
        ({"state": "forgotten"}, "a_hold_is_in_a_state_we_know"),
        ({"extensions": 9}, "more_time_is_bounded"),
    ],
)
def test_the_database_keeps_what_a_hold_asks_and_how_it_ends(change, said):
    hold = opened()
    assert said in refused_by_the_database(lambda: Hold.objects.filter(pk=hold.pk).update(**change))


def test_a_hold_that_ended_stays_as_it_ended():
    hold = opened()
    holds.answer(hold.pk, "reject", actor=person("omar"), seen_digest=DIGEST, reason="salaries run today")
    assert "has ended" in refused_by_the_database(lambda: Hold.objects.filter(pk=hold.pk).update(state="open", closed_at=None))
    assert "final" in refused_by_the_database(lambda: connection.cursor().execute("DELETE FROM hold WHERE id = %s", [hold.pk]))


@pytest.mark.parametrize("words", [("contain", "contain"), ("escalate", "contain")])
def test_silence_never_contains_the_protected(words):
    hold = opened()
    hold.pk, hold.run_ref, hold.reason_class = uuid7(), "run:other", "protected"
    hold.on_lapse, hold.in_the_end = words
    assert "silence_never_contains_the_protected" in refused_by_the_database(lambda: hold.save(force_insert=True))


# --- opening


def test_a_run_waits_for_people_once():
    hold = opened()
    with pytest.raises(AlreadyOpen):
        opened(run_ref=hold.run_ref)
    holds.supersede(hold.pk, "the verdict changed", actor=CLOCK)
    assert opened(run_ref=hold.run_ref).state == "open"


def test_the_digest_covers_the_plan_that_is_shown():
    with pytest.raises(ValueError, match="digest"):
        opened(plan={"steps": ["another"]})
    assert not Hold.objects.exists()


# --- more time


def test_more_time_moves_the_deadline_and_not_the_digest():
    hold, omar = opened(), person("omar")
    extended = holds.extend(hold.pk, actor=omar, reason="asking the bank")
    assert extended.deadline == hold.deadline + holds.EXTENSION
    assert holds.answer(hold.pk, "approve", actor=omar, seen_digest=DIGEST).settled
    assert verbs(hold) == ["hold.opened", "hold.extended", "hold.answered", "hold.approved"]


def test_more_time_is_bounded():
    hold, omar = opened(extensions_max=1), person("omar")
    holds.extend(hold.pk, actor=omar)
    with pytest.raises(NoMoreTime):
        holds.extend(hold.pk, actor=omar)


def test_a_double_click_asks_for_more_time_once():
    hold, omar = opened(), person("omar")
    for _ in range(2):
        extended = holds.extend(hold.pk, actor=omar, seen_deadline=hold.deadline)
    assert (extended.extensions, extended.deadline) == (1, hold.deadline + holds.EXTENSION)


def test_more_time_is_for_those_who_may_answer_and_for_those_in_time():
    hold = opened()
    with pytest.raises(NotYours):
        holds.extend(hold.pk, actor=person("wren", teams=("sales",)))
    past_deadline(hold.pk)
    with pytest.raises(TooLate):
        holds.extend(hold.pk, actor=person("omar"))


# --- silence


def test_only_holds_whose_time_has_come_are_due_the_oldest_first():
    waiting, older, newer = opened(), opened(), opened()
    past_deadline(newer.pk)
    past_deadline(older.pk, MINUTE)
    assert holds.due(10) == [(older.pk, older.run_ref), (newer.pk, newer.run_ref)]
    assert holds.due(1) == [(older.pk, older.run_ref)]
    with pytest.raises(NotDue):
        holds.lapse(waiting.pk)


@pytest.mark.fault("E15")
@pytest.mark.parametrize("on_lapse", ["contain", "release"])
def test_silence_means_what_the_page_said(on_lapse):
    hold = opened(on_lapse=on_lapse)
    past_deadline(hold.pk)
    lapsed = holds.lapse(hold.pk)
    assert (lapsed.state, lapsed.lapsed_to, fresh(hold).lapsed_to) == ("lapsed", on_lapse, on_lapse)
    assert holds.due(10) == []
    entry = AuditEntry.objects.get(verb="hold.lapsed")
    assert entry.actor == str(CLOCK)


def test_a_lapse_is_told_once():
    hold = opened(on_lapse="contain")
    past_deadline(hold.pk)
    holds.lapse(hold.pk)
    with pytest.raises(AlreadyEnded):
        holds.lapse(hold.pk)


def test_an_escalation_asks_the_next_reviewers_until_a_new_deadline():
    hold = opened(terms=terms(PAYROLL, MANAGERS), on_lapse="escalate", in_the_end="contain")
    maria = person("maria", teams=("managers",))
    with pytest.raises(NotYours):
        holds.answer(hold.pk, "approve", actor=maria, seen_digest=DIGEST)
    past_deadline(hold.pk)
    escalated = holds.lapse(hold.pk)
    assert (escalated.state, escalated.lapsed_to, escalated.on_lapse) == ("open", "escalated", "contain")
    assert timedelta(minutes=14) < escalated.deadline - clock.now() <= escalated.patience
    assert holds.answer(hold.pk, "approve", actor=maria, seen_digest=DIGEST).settled


def test_the_end_of_the_chain_is_what_was_agreed():
    hold = opened(terms=terms(PAYROLL, MANAGERS), on_lapse="escalate", in_the_end="contain")
    past_deadline(hold.pk)
    holds.lapse(hold.pk)
    past_deadline(hold.pk)
    assert (holds.lapse(hold.pk).lapsed_to, fresh(hold).state) == ("contain", "lapsed")


def test_a_hold_says_from_the_start_that_nobody_is_left_to_escalate_to():
    assert opened(on_lapse="escalate").on_lapse == "release"


@pytest.mark.fault("D4")
def test_a_lapse_found_late_asks_again_and_never_contains():
    hold = opened(on_lapse="contain", terms=terms(PAYROLL, MANAGERS))
    late = timedelta(minutes=6)
    for expected in ("escalated", "escalated", "release"):  # the managers, the managers once more, and then nobody was there to ask
        past_deadline(hold.pk, late)
        assert holds.lapse(hold.pk).lapsed_to == expected
    assert verbs(hold) == ["hold.opened", "hold.escalated", "hold.escalated", "hold.lapsed"]


def test_after_a_late_find_a_fair_deadline_may_contain():
    hold = opened(on_lapse="contain")
    past_deadline(hold.pk, timedelta(minutes=6))
    assert holds.lapse(hold.pk).lapsed_to == "escalated"
    past_deadline(hold.pk)
    assert holds.lapse(hold.pk).lapsed_to == "contain"


@pytest.mark.parametrize(("close", "state"), [(holds.withdraw, "withdrawn"), (holds.supersede, "superseded")])
def test_a_hold_can_be_taken_back_and_then_says_so(close, state):
    hold = opened()
    close(hold.pk, "the run ended", actor=SYSTEM)
    assert (fresh(hold).state, fresh(hold).closed_because) == (state, "the run ended")
    with pytest.raises(AlreadyEnded):
        close(hold.pk, "again", actor=SYSTEM)
    assert verbs(hold)[-1] == f"hold.{state}"


def test_people_are_read_afresh_for_every_click():
    hold, omar = opened(), person("omar")
    Person.objects.get(pk=omar.id).role_grants.all().delete()
    with pytest.raises(NotYours):
        holds.answer(hold.pk, "approve", actor=actors.of_person(Person.objects.get(pk=omar.id)), seen_digest=DIGEST)


def test_a_secret_in_a_reason_is_kept_nowhere():
    hold, omar = opened(), person("omar")
    given = holds.answer(hold.pk, "reject", actor=omar, seen_digest=DIGEST, reason="it logs in with password=hunter2-of-omar")
    assert "hunter2" not in given.answer.reason
    assert "hunter2" not in Hold.objects.get(pk=hold.pk).closed_because


@pytest.mark.fault("D2")
def test_a_clock_that_was_set_back_takes_along_what_was_said_under_the_former_time_and_nothing_else():
    day = timedelta(days=1)
    ahead, extended, now_asked = opened(), opened(), opened()
    holds.extend(extended.pk, actor=person("omar"))
    Hold.objects.filter(pk=ahead.pk).update(deadline=ahead.deadline + day)
    moved = holds.set_back(day)
    assert [hold.pk for hold in moved] == [ahead.pk]
    assert fresh(ahead).deadline == ahead.deadline
    assert fresh(extended).deadline == extended.deadline + holds.EXTENSION
    assert fresh(now_asked).deadline == now_asked.deadline


@pytest.mark.fault("D2")
def test_where_too_little_is_known_of_the_former_time_nobody_keeps_more_time_than_was_given():
    hold = opened()
    Hold.objects.filter(pk=hold.pk).update(deadline=hold.deadline + timedelta(days=1))
    before = clock.now()
    holds.set_back(timedelta(hours=1))
    assert before + hold.patience <= fresh(hold).deadline <= clock.now() + hold.patience
