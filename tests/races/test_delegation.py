"""Sessions and those that work for them, in the same instant: one row for one name, and no child comes up open under a closed parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from containment import sessions
from containment.gate import Gate
from containment.models import Identity
from containment.models import Session as Row
from containment.refusals import SessionEnded
from containment.sessions import Registration
from tests import cast, make
from tests.races.sessions import Session, holding, in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def parent() -> Row:
    make.house()
    cast.detector()
    make.identity("helper", provider="agents", kind="ai_agent")
    agent = make.identity("orchestrator", provider="agents", kind="ai_agent")
    return make.session(agent, "o-1", registered_by=cast.detector().principal)


def beginning(name: str, subject: str, parent: Row | None = None) -> Callable[[], Any]:
    said = Registration(provider="agents", subject=subject, kind="ai_agent", name=name, parent=parent.pk if parent else None)
    actor = cast.detector()
    return lambda: sessions.register(said, actor=actor)


def closing(row: Row, state: str) -> Callable[[], Any]:
    return lambda: Gate().set(str(row.identity_id), row.external_id, state=state, because="stop", key="k")


def state_of(name: str) -> str:
    return Row.objects.get(external_id=name).gate


def test_two_registrations_of_one_name_make_one_session(parent: Row) -> None:
    identity = Identity.objects.get(subject="helper")
    begin = beginning("h-1", "helper")
    (first, new), (second, again) = in_the_same_instant("identity", identity.pk, begin, begin)
    assert first.pk == second.pk
    assert sorted([new, again]) == [False, True]


def test_two_that_nobody_knew_make_one_identity_and_one_session(parent: Row) -> None:
    begin = beginning("n-1", "nobody-knew")
    outcomes = [one.outcome() for one in (Session(begin), Session(begin))]
    assert len({row.pk for row, _ in outcomes}) == 1
    assert Identity.objects.filter(subject="nobody-knew").count() == 1


@pytest.mark.parametrize("order", ["the parent is closed first", "the child begins first"])
def test_a_child_that_begins_while_its_parent_is_paused_is_paused(parent: Row, order: str) -> None:
    calls = [closing(parent, "paused"), beginning("h-1", "helper", parent)]
    first, second = calls if order == "the parent is closed first" else reversed(calls)
    with holding("session", parent.pk):
        earlier = Session(first)
        earlier.seen_waiting()
        later = Session(second)
        later.seen_waiting()
    earlier.outcome()
    later.outcome()
    assert (state_of("o-1"), state_of("h-1")) == ("paused", "paused")


def test_nobody_begins_to_work_for_a_session_that_ends_in_the_same_instant(parent: Row) -> None:
    with holding("session", parent.pk):
        ending = Session(lambda: sessions.end(parent.pk, actor=cast.detector()))
        ending.seen_waiting()
        begun = Session(beginning("h-1", "helper", parent))
        begun.seen_waiting()
    ending.outcome()
    outcome = begun.outcome()
    assert isinstance(outcome, SessionEnded) or state_of("h-1") == "ended"


def test_a_sign_of_life_opens_no_session_that_is_paused_meanwhile(parent: Row) -> None:
    actor = cast.detector()
    in_the_same_instant("session", parent.pk, closing(parent, "paused"), lambda: sessions.keep(parent.pk, actor=actor, intent=None))
    assert state_of("o-1") == "paused"


def test_a_sign_of_life_brings_back_no_session_that_ends_meanwhile(parent: Row) -> None:
    actor = cast.detector()
    outcomes = in_the_same_instant(
        "session", parent.pk, lambda: sessions.end(parent.pk, actor=actor), lambda: sessions.keep(parent.pk, actor=actor)
    )
    assert [type(one) for one in outcomes] in ([Row, SessionEnded], [Row, Row])
    assert state_of("o-1") == "ended"
    assert Row.objects.get(pk=parent.pk).ended_at is not None
