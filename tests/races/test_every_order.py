"""Holds under any order of answers, extensions, lapses and withdrawals, alone and two at once, compared with a model of a page of Python.

Two calls at once must have the outcomes of one of their two orders; and whatever happens, a hold has one ending with one entry.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from approvals import holds
from approvals.domain.quorum import Terms
from approvals.models import Hold
from audit import chain
from audit.models import AuditEntry, AuditHead
from core.actor import SYSTEM, Actor
from core.refusals import Refusal
from tests.approvals.rows import DIGEST, MANAGERS, PAYROLL, opened, past_deadline, person
from tests.races.sessions import in_the_same_instant

PAYROLL_PEOPLE, MANAGING, OUTSIDE, REQUESTER = ("omar", "olga", "otto"), "maria", "wren", "adam"
EVERYBODY = (*PAYROLL_PEOPLE, MANAGING, OUTSIDE, REQUESTER)
AHEAD, DUE, LATE = "ahead", "due", "late"
ENDED = {"approved", "rejected", "lapsed", "withdrawn"}

Call = tuple[str, ...]  # ("answer", who, word, digest) · ("extend", who) · ("lapse",) · ("withdraw",)

calls = st.one_of(
    st.tuples(
        st.just("answer"), st.sampled_from(EVERYBODY), st.sampled_from(["approve", "reject"]), st.sampled_from([DIGEST, DIGEST, "other"])
    ),
    st.tuples(st.just("extend"), st.sampled_from(EVERYBODY)),
    st.tuples(st.just("lapse")),
    st.tuples(st.just("withdraw")),
)


@dataclass
class Model:
    """What a hold should be, and what each call should say."""

    quorum: int
    groups: int
    on_lapse: str
    state: str = "open"
    deadline: str = AHEAD
    step: int = 0
    asked_again: bool = False
    extensions: int = 0
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)

    def apply(self, call: Call) -> str:
        match call:
            case ("answer", who, word, seen):
                return self._answer(who, word, seen)
            case ("extend", who):
                return self._extend(who)
            case ("lapse",):
                return self._lapse()
        if self.state != "open":
            return "already_ended"
        self.state = "withdrawn"
        return "withdrawn"

    def _entitled(self, who: str) -> bool:
        return who in PAYROLL_PEOPLE or (who == MANAGING and self.step == 1)

    def _too_late(self) -> str:
        return "already_ended" if self.state != "open" else "too_late" if self.deadline != AHEAD else ""

    def _answer(self, who: str, word: str, seen: str) -> str:
        if not self._entitled(who):
            return "not_yours"
        if self.answers.get(who) == (word, seen):
            return "repeated"
        if no := self._too_late():
            return no
        if seen != DIGEST:
            return "plan_changed"
        if who in self.answers:
            return "already_answered"
        self.answers[who] = (word, seen)
        if word == "reject":
            self.state = "rejected"
        elif sum(said == "approve" for said, _ in self.answers.values()) >= self.quorum:
            self.state = "approved"
        return "counted" if self.state == "open" else "settled"

    def _extend(self, who: str) -> str:
        if not self._entitled(who):
            return "not_yours"
        if no := self._too_late():
            return no
        if self.extensions == holds.EXTENSIONS:
            return "no_more_time"
        self.extensions += 1
        return "extended"

    def _lapse(self) -> str:
        if self.state != "open":
            return "already_ended"
        if self.deadline == AHEAD:
            return "not_due"
        late, further = self.deadline == LATE, self.step + 1 < self.groups
        if further and (late or self.on_lapse == "escalate"):
            self.step, self.asked_again, self.deadline = self.step + 1, False, AHEAD
            return "escalated"
        if late and not self.asked_again:
            self.asked_again, self.deadline = True, AHEAD
            return "escalated"
        self.state = "lapsed"
        return "release" if late or self.on_lapse == "release" else "contain"


class HoldsInAnyOrder(RuleBasedStateMachine):
    people: dict[str, Actor]

    @initialize(quorum=st.integers(1, 3), groups=st.integers(1, 2), on_lapse=st.sampled_from(["contain", "release", "escalate"]))
    def open(self, quorum: int, groups: int, on_lapse: str) -> None:
        terms = Terms(quorum, (PAYROLL, MANAGERS)[:groups], {self.people[REQUESTER].principal: "the requester"})
        self.hold = opened(terms=terms, on_lapse=on_lapse, in_the_end="contain")
        self.model = Model(quorum, groups, on_lapse)

    @rule(call=calls)
    def one_call(self, call: Call) -> None:
        assert said(self.said_by(call)) == self.model.apply(call)

    @rule(late=st.booleans())
    def time_passes(self, late: bool) -> None:
        """No precondition: which of two calls came first is the database's choice, and rules must not be drawn by it."""
        if self.model.state == "open":
            self.pass_deadline(late)
            self.model.deadline = LATE if late else DUE

    @rule(first=calls, second=calls, passes=st.sampled_from([None, None, DUE, LATE]))
    def two_calls_at_once(self, first: Call, second: Call, passes: str | None) -> None:
        """Both wait for the row; the deadline may pass while they do."""
        meanwhile = (lambda: self.pass_deadline(passes == LATE)) if passes and self.model.state == "open" else (lambda: None)
        outcomes = in_the_same_instant(
            "hold", self.hold.pk, *[lambda call=call: self.said_by(call) for call in (first, second)], meanwhile=meanwhile
        )
        if passes and self.model.state == "open":
            self.model.deadline = passes
        heard = tuple(said(outcome) for outcome in outcomes)
        possible = {}
        for order in ((0, 1), (1, 0)):
            model, expected = copy.deepcopy(self.model), ["", ""]
            for turn in order:
                expected[turn] = model.apply((first, second)[turn])
            if tuple(expected) == heard and model.state == Hold.objects.get(pk=self.hold.pk).state:
                possible[order] = model
        assert possible, f"{first} and {second} said {heard}, which neither order explains"
        self.model = next(iter(possible.values()))

    @invariant()
    def the_hold_is_as_the_model_says(self) -> None:
        hold = Hold.objects.get(pk=self.hold.pk)
        assert (hold.state, hold.as_terms().step, hold.extensions) == (self.model.state, self.model.step, self.model.extensions)
        assert (hold.closed_at is None) == (hold.state == "open")
        names = {actor.principal: name for name, actor in self.people.items()}
        assert {names[given.principal]: (given.word, given.plan_digest) for given in hold.answers.all()} == self.model.answers

    @invariant()
    def every_change_has_one_entry(self) -> None:
        verbs = list(AuditEntry.objects.filter(subject=str(self.hold.ref)).values_list("verb", flat=True))
        assert verbs.count("hold.answered") == len(self.model.answers)
        assert verbs.count("hold.extended") == self.model.extensions
        assert [verb for verb in verbs if verb.removeprefix("hold.") in ENDED] == [f"hold.{self.model.state}"] * (
            self.model.state != "open"
        )

    def pass_deadline(self, late: bool) -> None:
        past_deadline(self.hold.pk, timedelta(minutes=6) if late else timedelta(0))

    def said_by(self, call: Call) -> object:
        key = self.hold.pk
        try:
            match call:
                case ("answer", who, word, seen):
                    return holds.answer(key, word, actor=self.people[who], seen_digest=seen, reason="because")  # type: ignore[arg-type]
                case ("extend", who):
                    holds.extend(key, actor=self.people[who])
                    return "extended"
                case ("lapse",):
                    return holds.lapse(key).lapsed_to
            return holds.withdraw(key, "the run ended", actor=SYSTEM).state
        except Refusal as refusal:
            return refusal


def said(outcome: object) -> str:
    match outcome:
        case Refusal():
            return outcome.code
        case holds.Answered():
            return "repeated" if not outcome.first else "settled" if outcome.settled else "counted"
    return str(outcome)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.big)])
def test_a_hold_has_one_ending_in_any_order_of_events(examples):
    teams = {**dict.fromkeys((*PAYROLL_PEOPLE, REQUESTER), "payroll"), MANAGING: "managers", OUTSIDE: "sales"}
    HoldsInAnyOrder.people = {name: person(name, teams=(teams[name],)) for name in EVERYBODY}
    run_state_machine_as_test(
        HoldsInAnyOrder,
        settings=settings(
            max_examples=examples, stateful_step_count=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert chain.first_break(AuditEntry.objects.order_by("seq"), head=AuditHead.objects.get()) is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM hold_answer a JOIN hold h ON h.id = a.hold_id WHERE h.terms->'never' ? a.principal")
        assert cursor.fetchone() == (0,)
