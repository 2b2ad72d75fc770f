"""One ask about many, under joins, answers, leavings and deadlines at the same instant: what was read is what runs, each once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from approvals import groups, holds
from approvals.domain.quorum import Reviewers, Terms
from approvals.groups import Candidate
from approvals.holds import Answered
from approvals.models import Answer, GroupMember, Hold
from approvals.refusals import PlanChanged
from audit import chain
from audit.models import AuditEntry, AuditHead
from audit.record import story
from containment import flow, grouped
from core.actor import SYSTEM, Actor
from core.digest import digest
from core.ids import uuid7
from core.refusals import Refusal
from tests import cast
from tests.approvals.rows import MINUTE, past_deadline, person
from tests.flows.test_grouped import house, reported
from tests.races.sessions import Session, holding, in_the_same_instant

TEAM = Reviewers("the soc", teams=("soc",))
PEOPLE = ("ines", "omar", "olga")
_numbers = itertools.count(1)


def candidate(name: str) -> Candidate:
    key = uuid7()
    return Candidate(
        run_ref=f"run:{key}",
        case_ref=f"case:{key}",
        identity_ref=f"identity:{key}",
        name=name,
        kind="service_account",
        environment="prod",
        title="Secret read",
        because="the budget is spent",
        risk=80.0,
        plan_digest=digest({"plan": name}),
    )


@story
def joined(name: str) -> Hold | None:
    terms: Callable[[int, Any], Terms] = lambda quorum, never: Terms(quorum, (TEAM,), dict(never))  # noqa: E731 - reads as one line
    return groups.join(candidate(name), reviewers=terms, patience=30 * MINUTE, because="the budget is spent")


@story
def answered(hold_id: UUID, word: Any, actor: Actor, seen: str) -> Answered:
    """As flow.answer_hold does."""
    groups.close_list(hold_id, seen)
    return holds.answer(hold_id, word, actor=actor, seen_digest=seen, reason="because")


@story
def lapsed(hold_id: UUID) -> Hold:
    return holds.lapse(hold_id, budget_spent=True)


@story
def left(run_ref: str) -> GroupMember | None:
    return groups.leave(run_ref, "contained by itself", actor=SYSTEM)


@story
def followed(member_id: UUID) -> bool:
    """What a worker does, without a run."""
    if (member := groups.lock_due(member_id)) is None:
        return False
    groups.settle(member, "follow", because="as people said", actor=SYSTEM)
    return True


def soc(name: str) -> Actor:
    return person(name, teams=("soc",))


def waiting(hold: Hold) -> list[str]:
    return list(hold.members.filter(state="waiting").order_by("seq").values_list("name", flat=True))


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def group() -> Hold:
    joined("a")
    hold = joined("b")
    assert hold is not None
    return Hold.objects.get(pk=hold.pk)


def test_a_join_and_an_answer_in_the_same_instant_leave_nobody_unread(group):
    ines = soc("ines")
    outcomes = in_the_same_instant("hold", group.pk, lambda: joined("c"), lambda: answered(group.pk, "approve", ines, group.plan_digest))
    assert not any(isinstance(each, Refusal) for each in outcomes)
    closed = Hold.objects.get(pk=group.pk)
    assert (waiting(closed), closed.gathers) == (["a", "b"], False)
    assert waiting(Hold.objects.get(gathers=True)) == ["c"]


def test_two_who_open_the_first_group_at_once_open_one():
    sessions = [Session(partial(joined, name)) for name in "abcd"]
    found = {session.outcome().pk for session in sessions}
    assert Hold.objects.count() == len(found) == 1
    assert sorted(waiting(Hold.objects.get())) == list("abcd")
    seqs = list(GroupMember.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == [1, 2, 3, 4]


def test_two_approvals_in_the_same_instant_end_it_once(group):
    ines, omar = soc("ines"), soc("omar")
    said = in_the_same_instant(
        "hold", group.pk, *[lambda who=who: answered(group.pk, "approve", who, group.plan_digest) for who in (ines, omar)]
    )
    assert sorted(each.settled for each in said) == [False, True]
    assert AuditEntry.objects.filter(verb="hold.approved").count() == 1
    assert GroupMember.objects.filter(next_at__isnull=False).count() == 2


def test_two_who_read_different_lists_close_it_at_the_first_and_the_other_reads_again(group):
    ines, omar = soc("ines"), soc("omar")
    joined("c")
    longer = Hold.objects.get(pk=group.pk).plan_digest
    said = in_the_same_instant(
        "hold",
        group.pk,
        lambda: answered(group.pk, "approve", ines, group.plan_digest),
        lambda: answered(group.pk, "approve", omar, longer),
    )
    assert sorted(isinstance(each, PlanChanged) for each in said) == [False, True]
    assert Answer.objects.get().plan_digest == Hold.objects.get(pk=group.pk).plan_digest


def test_one_who_leaves_while_the_last_answer_comes_leaves_or_is_followed_and_never_both(group):
    ines, omar = soc("ines"), soc("omar")
    answered(group.pk, "approve", ines, group.plan_digest)
    member = group.members.get(name="a")
    gone, said = in_the_same_instant(
        "hold", group.pk, lambda: left(member.run_ref), lambda: answered(group.pk, "approve", omar, group.plan_digest)
    )
    assert said.settled
    member.refresh_from_db()
    assert (member.state, member.next_at is None) == (("left", True) if gone else ("waiting", False))


def test_two_workers_follow_one_member_once(group):
    for who in (soc("ines"), soc("omar")):
        answered(group.pk, "approve", who, group.plan_digest)
    keys = groups.due(10)
    with holding("hold_member", keys[0]):
        sessions = [Session(lambda: followed(keys[0])) for _ in range(2)]
        for session in sessions:
            session.seen_waiting()
    assert sorted(session.outcome() for session in sessions) == [False, True]
    assert AuditEntry.objects.filter(verb="group.followed").count() == 1


def test_a_member_is_not_due_while_a_worker_is_at_it():
    house(0)
    reported("a", "b")
    hold = Hold.objects.get()
    for name in ("ines", "omar"):
        flow.answer_hold(hold.pk, "approve", actor=cast.person(name), seen_digest=hold.plan_digest)
    first, second = groups.due(10)
    run = GroupMember.objects.get(pk=first).run_ref.partition(":")[2]
    with holding("run", UUID(run)):
        worker = Session(lambda: grouped.follow_due(first))
        worker.seen_waiting()
        assert groups.due(10) == [second]
        assert Session(lambda: grouped.follow_due(first)).outcome() is False
    assert worker.outcome() is True


def test_an_answer_and_the_deadline_in_the_same_instant_have_one_ending(group):
    answered(group.pk, "approve", soc("ines"), group.plan_digest)
    omar = soc("omar")
    said = in_the_same_instant(
        "hold",
        group.pk,
        lambda: answered(group.pk, "approve", omar, group.plan_digest),
        lambda: lapsed(group.pk),
        meanwhile=lambda: None,
    )
    assert sum(isinstance(each, Refusal) for each in said) == 1
    assert Hold.objects.get(pk=group.pk).state == "approved"


def test_who_left_a_list_that_nobody_else_is_on_makes_its_answer_a_new_reading(group):
    members = list(group.members.order_by("seq"))
    joined("c")
    for member in members:
        left(member.run_ref)
    with pytest.raises(PlanChanged):
        answered(group.pk, "approve", soc("ines"), group.plan_digest)
    assert waiting(Hold.objects.get(gathers=True)) == ["c"]


# -- any order ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Screen:
    """What somebody had before them."""

    hold: UUID
    digest: str
    names: frozenset[str] = field(default_factory=frozenset)


calls = st.one_of(
    st.tuples(st.just("join")),
    st.tuples(st.just("answer"), st.sampled_from(PEOPLE), st.sampled_from(["approve", "approve", "approve", "reject"]), st.integers(0, 50)),
    st.tuples(st.just("leave"), st.integers(0, 50)),
    st.tuples(st.just("lapse"), st.integers(0, 50)),
    st.tuples(st.just("follow"), st.integers(0, 50)),
)


class GroupsInAnyOrder(RuleBasedStateMachine):
    people: dict[str, Actor]

    @initialize()
    def begin(self) -> None:
        for hold in Hold.objects.filter(state="open"):
            holds.withdraw(hold.pk, "another example", actor=SYSTEM)
        while keys := groups.due(100):
            for key in keys:
                followed(key)
        self.since = AuditHead.objects.get().seq if AuditHead.objects.exists() else 0
        self.screens: list[Screen] = []
        self.names: set[str] = set()
        self.holds: set[UUID] = set()

    @rule(call=calls)
    def one_call(self, call: tuple[Any, ...]) -> None:
        self.look()
        self.said_by(call)

    @rule(first=calls, second=calls)
    def two_calls_at_once(self, first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
        self.look()
        sessions = [Session(partial(self.said_by, call)) for call in (first, second)]
        for session in sessions:
            session.outcome()

    @rule()
    def somebody_looks(self) -> None:
        self.look()

    @rule(which=st.integers(0, 50))
    def a_deadline_passes(self, which: int) -> None:
        hold = self.picked(list(Hold.objects.filter(state="open").order_by("id")), which)
        if hold is not None:
            past_deadline(hold.pk, timedelta(0))

    def look(self) -> None:
        for hold in Hold.objects.filter(state="open"):
            self.holds.add(hold.pk)
            screen = Screen(hold.pk, hold.plan_digest, frozenset(waiting(hold)))
            if screen not in self.screens:
                self.screens.append(screen)

    def said_by(self, call: tuple[Any, ...]) -> object:
        match call:
            case ("join",):
                name = f"n{next(_numbers)}"
                self.names.add(name)
                return joined(name)
            case ("answer", who, word, which):
                screen = self.picked(self.screens, which)
                return self.tried(lambda: answered(screen.hold, word, self.people[who], screen.digest)) if screen else None
            case ("leave", which):
                member = self.picked(list(GroupMember.objects.filter(name__in=self.names).order_by("id")), which)
                return self.tried(lambda: left(member.run_ref)) if member else None
            case ("lapse", which):
                hold = self.picked(list(Hold.objects.filter(state="open").order_by("id")), which)
                return self.tried(lambda: lapsed(hold.pk)) if hold else None
        key = self.picked(groups.due(50), call[1])
        return followed(key) if key else None

    @staticmethod
    def picked(things: list[Any], which: int) -> Any:
        return things[which % len(things)] if things else None

    @staticmethod
    def tried(deed: Callable[[], object]) -> object:
        try:
            return deed()
        except Refusal as refusal:
            return refusal

    @invariant()
    def each_is_asked_about_in_one_place(self) -> None:
        members = list(GroupMember.objects.filter(name__in=self.names).select_related("hold"))
        assert sorted(one.name for one in members) == sorted(self.names)
        for one in members:
            due = one.next_at is not None
            assert due == (one.state == "waiting" and not one.hold.is_open)
        assert Hold.objects.filter(gathers=True).count() <= 1

    @invariant()
    def what_runs_was_read_by_two(self) -> None:
        for hold in Hold.objects.filter(pk__in=self.holds, state="approved"):
            answers = list(hold.answers.all())
            assert len({one.principal for one in answers}) >= hold.as_terms().quorum >= groups.QUORUM
            assert {one.plan_digest for one in answers} == {hold.plan_digest}
            read = [screen.names for screen in self.screens if (screen.hold, screen.digest) == (hold.pk, hold.plan_digest)]
            runs = set(hold.members.exclude(state="left").values_list("name", flat=True))
            assert any(runs <= names for names in read)

    @invariant()
    def every_change_has_one_entry(self) -> None:
        def count(verb: str) -> int:
            return AuditEntry.objects.filter(verb=verb, seq__gt=self.since).count()

        mine = GroupMember.objects.filter(name__in=self.names)
        assert count("group.joined") == len(self.names)
        assert count("group.followed") == mine.filter(state="followed").count()
        assert count("group.left") == mine.filter(state="left").count()


@pytest.mark.parametrize("examples", [8, pytest.param(200, marks=pytest.mark.big)])
def test_what_was_read_is_what_runs_in_any_order_of_events(examples):
    GroupsInAnyOrder.people = {name: soc(name) for name in PEOPLE}
    run_state_machine_as_test(
        GroupsInAnyOrder,
        settings=settings(
            max_examples=examples, stateful_step_count=20, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert chain.first_break(AuditEntry.objects.order_by("seq"), head=AuditHead.objects.get()) is None
