"""Holds: opening, answering, lapsing and withdrawing. A Hold changes here and nowhere else.

Called by containment.flow, inside its story and with the Run locked already. The hold is locked here, and the clock read after that, so
that a wait for the lock carries no answer past its deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from accounts import actors
from approvals import requests
from approvals.domain import lapse as lapses
from approvals.domain import quorum
from approvals.domain.moves import HOLD, Ending, OnLapse, Word
from approvals.domain.quorum import Terms
from approvals.models import Answer, GroupMember, Hold
from approvals.refusals import AlreadyAnswered, AlreadyEnded, AlreadyOpen, NoMoreTime, NotDue, NotYours, PlanChanged, TooLate
from audit import clock
from audit.record import record, story
from core import masking
from core.actor import CLOCK, Actor
from core.digest import digest, plain
from core.refusals import BadInput, Fault, Missing, Refusal

EXTENSION = timedelta(minutes=10)
EXTENSIONS = 2
A_MOMENT = timedelta(seconds=5)  # by which a clock may be corrected without anybody being told
LONGEST_REASON = 2000

_ENDED = {
    "approved": "was approved",
    "rejected": "was rejected",
    "lapsed": "lapsed",
    "withdrawn": "was withdrawn",
    "superseded": "was replaced",
}
_OF_A_CALL = {"approved": "allowed", "rejected": "refused", "lapsed": "unanswered"}


@dataclass(frozen=True, slots=True)
class Answered:
    """`first`: not a repetition. `settled`: this answer, now, ended the hold; a repetition never does."""

    hold: Hold
    answer: Answer
    first: bool
    settled: bool


@story
def open(  # noqa: A001 - holds.open(...) reads as what it does
    *,
    run_ref: str,
    case_ref: str,
    identity_ref: str,
    title: str,
    because: str,
    reason_class: str,
    plan: Any,
    plan_digest: str,
    terms: Terms,
    patience: timedelta,
    on_lapse: OnLapse,
    keep_interim: timedelta = timedelta(0),
    actor: Actor,
    in_the_end: Ending | None = None,
    extensions_max: int = EXTENSIONS,
) -> Hold:
    """`in_the_end` is what silence means after an escalation to the last reviewers; without it they release."""
    if digest(plan) != plan_digest:
        raise ValueError("the digest of a hold must cover the plan that people are shown")
    if run_ref and Hold.objects.filter(run_ref=run_ref, state="open").exists():
        raise AlreadyOpen("This run waits for people already.")
    ending: Ending = on_lapse if on_lapse != "escalate" else in_the_end or "release"
    now = clock.now()
    hold = Hold.objects.create(
        run_ref=run_ref,
        case_ref=case_ref,
        identity_ref=identity_ref,
        title=title,
        because=because,
        reason_class=reason_class,
        plan=plain(plan),
        plan_digest=plan_digest,
        terms=terms.to_json(),
        opened_at=now,
        deadline=now + patience,
        patience_s=ceil(patience.total_seconds()),
        on_lapse=lapses.silence(terms, on_lapse, ending),
        in_the_end=ending,
        keep_interim_s=round(keep_interim.total_seconds()),
        extensions_max=extensions_max,
    )
    record(
        "hold.opened",
        hold.ref,
        actor=actor,
        about=hold.about,
        title=title,
        reason_class=reason_class,
        because=because,
        plan_digest=plan_digest,
        deadline=hold.deadline,
        on_lapse=_silence(hold),
        quorum=terms.quorum,
        reviewers=[group.name for group in terms.asked],
    )
    requests.follow(hold)
    return hold


@story
def answer(
    hold_id: UUID,
    word: Word,
    *,
    actor: Actor,
    seen_digest: str,
    reason: str = "",
    seen_requests: Collection[UUID] = (),
    kept_back: Refusal | None = None,
) -> Answered:
    """Approve or reject, provided the plan is still the one the actor read. One rejection ends the hold; approval needs the quorum.
    `seen_requests`: the calls that waited for it on the actor's screen. `kept_back`: why nobody may have anything contained just now."""
    hold = _locked(hold_id)
    now = clock.now()
    terms = hold.as_terms()
    _entitled(terms, actor)
    earlier = hold.answers.filter(principal=actor.principal).first()
    if earlier and (earlier.word, earlier.plan_digest) == (word, seen_digest):
        return Answered(hold, earlier, first=False, settled=False)
    _still_open(hold, now)
    if hold.plan_digest != seen_digest:
        raise PlanChanged("The plan is not the one that was on your screen. Read it again, then answer.", plan_digest=hold.plan_digest)
    if kept_back is not None and word == "approve" and not hold.asks_about_a_call:
        raise kept_back
    if earlier:
        raise AlreadyAnswered(f"You answered {earlier.word} at {_time(earlier.at)}; an answer stands.")
    given = Answer.objects.create(
        hold=hold,
        person_id=UUID(actor.principal),
        principal=actor.principal,
        word=word,
        plan_digest=seen_digest,
        reason=_reason(hold, word, reason),
        at=now,
    )
    record("hold.answered", hold.ref, actor=actor, about=hold.about, word=word, reason=given.reason, plan_digest=seen_digest, at=now)
    settled = word == "reject" or 1 + _others_who_approved(hold, terms, given) >= terms.quorum
    if settled:
        _end(hold, word, because=given.reason, actor=actor, now=now, read=seen_requests)
    return Answered(hold, given, first=True, settled=settled)


def asks_too_few(hold_id: UUID, *, actor: Actor) -> Hold | None:
    """The hold, locked, where this actor's word would count for something that has become protected and was not asked about as such."""
    hold = _locked(hold_id)
    if hold.reason_class == "protected" or not hold.is_open or hold.deadline <= clock.now():
        return None
    return hold if quorum.admits(hold.as_terms(), actor) else None


@story
def extend(hold_id: UUID, *, actor: Actor, reason: str = "", seen_deadline: datetime | None = None) -> Hold:
    """Ten more minutes, a bounded number of times. A click on a page with an earlier deadline has been heard already: nothing changes."""
    hold = _locked(hold_id)
    now = clock.now()
    _entitled(hold.as_terms(), actor)
    _still_open(hold, now)
    if seen_deadline is not None and seen_deadline != hold.deadline:
        return hold
    if hold.extensions >= hold.extensions_max:
        raise NoMoreTime(
            f"The deadline has been moved {hold.extensions} times, which is all this hold allows. It stays {_time(hold.deadline)}."
        )
    hold.extensions += 1
    hold.deadline += EXTENSION
    hold.save(update_fields=["extensions", "deadline"])
    record(
        "hold.extended",
        hold.ref,
        actor=actor,
        about=hold.about,
        deadline=hold.deadline,
        reason=_checked_length(reason),
        extension=hold.extensions,
        of=hold.extensions_max,
    )
    return hold


def set_back(by: timedelta) -> list[Hold]:
    """The clock was set back by `by`. A deadline that leaves more time than anybody was ever given was said under the former time, and goes
    with it. Told in the story of whoever found that, who names the holds that were moved."""
    asked = list(Hold.objects.select_for_update(of=("self",)).filter(state="open").order_by("pk"))
    now, moved = clock.now(), []
    for hold in asked:
        latest = now + hold.patience + hold.extensions * EXTENSION
        if hold.deadline > latest + A_MOMENT:
            hold.deadline = min(hold.deadline - by, latest)
            hold.gathers_until = hold.gathers_until and min(hold.gathers_until - by, hold.deadline)
            hold.save(update_fields=["deadline", "gathers_until"])
            moved.append(hold)
    return moved


def due(limit: int = 50) -> list[tuple[UUID, str]]:
    """Holds whose deadline has passed, with their runs. Found without a lock: lock the Run, then lapse()."""
    rows = Hold.objects.filter(state="open", deadline__lte=Now()).order_by("deadline").values_list("id", "run_ref")
    return list(rows[:limit])


@story
def lapse(
    hold_id: UUID,
    *,
    protected: bool = False,
    observed: str = "",
    budget_spent: bool = False,
    switched: Callable[[datetime], bool] = lambda deadline: False,
) -> Hold:
    """What silence means, as the page said all along. `lapsed_to` of the hold says which: contain, release, or escalated (still open).
    `protected`: the identity has become so since the hold opened, and silence no longer contains it; nor does it where it is only
    `observed` by now (the clause that says so), or once the budget of automatic containments is spent. `switched`: whether the kill switch
    was on at a deadline; then nothing ends, and people are asked once more.

    AlreadyEnded or NotDue when somebody answered, extended or lapsed it in the meantime.
    """
    hold = _locked(hold_id)
    now = clock.now()
    if hold.state != "open":
        raise AlreadyEnded(_how_it_ended(hold))
    if now < hold.deadline:
        raise NotDue(f"This hold waits until {_time(hold.deadline)}.")
    follows = lapses.after_deadline(
        hold.as_terms(),
        on_lapse=hold.on_lapse,  # type: ignore[arg-type]  # a CHECK keeps these two words
        in_the_end=hold.in_the_end,  # type: ignore[arg-type]
        overdue=now - hold.deadline,
        asked_again=hold.asked_again,
        protected=protected,
        observed=observed,
        budget_spent=budget_spent,
        switched=not hold.asks_about_a_call and switched(hold.deadline),
    )
    hold.lapsed_to = follows.to
    if follows.to == "escalated":
        return _escalate(hold, follows, now=now)
    return _end(hold, "lapse", because=follows.because, actor=CLOCK, now=now, on_lapse=follows.to)


@story
def withdraw(hold_id: UUID, because: str, *, actor: Actor) -> Hold:
    """Its run ended, or is no longer wanted: nobody needs to answer."""
    return _close(hold_id, "withdraw", because=because, actor=actor)


@story
def supersede(hold_id: UUID, because: str, *, actor: Actor) -> Hold:
    """The plan or the verdict changed: another hold asks about the new one. Open it after this, in the same story."""
    return _close(hold_id, "supersede", because=because, actor=actor)


def _locked(hold_id: UUID) -> Hold:
    hold = Hold.objects.select_for_update(of=("self",)).filter(pk=hold_id).first()
    if hold is None:
        raise Missing("There is no such hold.")
    return hold


def _entitled(terms: Terms, actor: Actor) -> None:
    verdict = quorum.admits(terms, actor)
    if not verdict:
        raise NotYours(verdict.sentence, who_could=list(verdict.who_could))


def _still_open(hold: Hold, now: datetime) -> None:
    if hold.state != "open":
        raise AlreadyEnded(_how_it_ended(hold), state=hold.state)
    if hold.deadline <= now:
        raise TooLate(f"The time to answer ended at {_time(hold.deadline)}; it is {_time(now)}.", deadline=hold.deadline)


def _others_who_approved(hold: Hold, terms: Terms, given: Answer) -> int:
    """Those whose word still counts: an approver who has lost the role, or was deactivated, is read afresh and no longer does."""
    approvals = hold.answers.filter(word="approve", person__is_active=True).exclude(pk=given.pk).select_related("person")
    return sum(bool(quorum.admits(terms, actors.of_person(approval.person))) for approval in approvals)


def _reason(hold: Hold, word: Word, reason: str) -> str:
    if word == "reject" and not reason.strip():
        why = "Say why it is refused." if hold.asks_about_a_call else "Say why it should be left as it is."
        raise BadInput([Fault("reason", "required", why)])
    return _checked_length(reason)


def _silence(hold: Hold) -> str:
    """What silence means, in the word that fits what is asked."""
    return "refuse" if hold.asks_about_a_call and hold.on_lapse == "release" else hold.on_lapse


def _checked_length(reason: str) -> str:
    if len(reason) > LONGEST_REASON:
        raise BadInput([Fault("reason", "too_long", f"At most {LONGEST_REASON} characters.")])
    return masking.in_text(reason.strip())


def _escalate(hold: Hold, follows: lapses.Lapse, *, now: datetime) -> Hold:
    hold.state = HOLD.after(hold.state, "escalate")
    hold.asked_again = follows.terms.step == hold.as_terms().step
    hold.terms = follows.terms.to_json()
    hold.on_lapse = lapses.silence(follows.terms, hold.on_lapse, hold.in_the_end)  # type: ignore[arg-type]
    hold.deadline = now + hold.patience
    hold.save(update_fields=["state", "lapsed_to", "asked_again", "terms", "on_lapse", "deadline"])
    record(
        "hold.escalated",
        hold.ref,
        actor=CLOCK,
        about=hold.about,
        deadline=hold.deadline,
        on_lapse=_silence(hold),
        because=follows.because,
        reviewers=[group.name for group in follows.terms.asked],
    )
    return hold


def _close(hold_id: UUID, move: str, *, because: str, actor: Actor) -> Hold:
    hold = _locked(hold_id)
    if hold.state != "open":
        raise AlreadyEnded(_how_it_ended(hold), state=hold.state)
    return _end(hold, move, because=because, actor=actor, now=clock.now())


def _end(hold: Hold, move: str, *, because: str, actor: Actor, now: datetime, read: Collection[UUID] = (), **facts: Any) -> Hold:
    was, hold.state = hold.state, HOLD.after(hold.state, move)
    hold.closed_at, hold.closed_because, hold.closed_by, hold.gathers = now, because, actor.name, False
    hold.save(update_fields=["state", "closed_at", "closed_because", "closed_by", "lapsed_to", "gathers"])
    if hold.grouped:  # what follows for each member is due work: hundreds of runs do not fit into one transaction
        GroupMember.objects.filter(hold=hold, state="waiting").update(next_at=now)
    verb = f"hold.{_OF_A_CALL.get(hold.state, hold.state) if hold.asks_about_a_call else hold.state}"
    record(verb, hold.ref, actor=actor, about=hold.about, was=was, because=because, plan_digest=hold.plan_digest, **facts)
    requests.settle(hold, actor=actor, now=now, read=read)
    return hold


def _how_it_ended(hold: Hold) -> str:
    """With who and when, for whoever came second."""
    by = f" by {hold.closed_by}" if hold.state in {"approved", "rejected"} else ""
    return f"This hold {_ENDED[hold.state]}{by} at {_time(hold.closed_at)}."


def _time(moment: datetime | None) -> str:
    return f"{moment:%H:%M:%S} UTC"
