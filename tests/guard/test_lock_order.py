"""A call, and somebody who ends its session at the same moment: both lock the session before what it used, so that one of them waits and
nobody is sent back, and whoever waited acts on what the other left."""

from __future__ import annotations

from typing import Any

import pytest

from containment import session_use, sessions
from containment.models import Session as Row
from guard import pausing
from guard.answers import Answer
from tests import cast, make
from tests.guard import stage
from tests.races.sessions import Session

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_session_that_ends_while_a_call_leaves_its_intent_waits_for_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    make.house()
    _, row = stage.agent()
    assert stage.asks().decision
    began: list[str] = []
    ended: list[Session] = []
    pause, enzo = pausing.pause, cast.person("enzo")

    def pauses(*args: Any, **how: Any) -> bool:
        began.append("pause")
        if not ended:
            ended.append(Session(lambda: sessions.end(row.pk, actor=enzo)))
            ended[0].seen_waiting()
        return pause(*args, **how)

    monkeypatch.setattr(pausing, "pause", pauses)
    assert stage.asks("shell.run").reason == "outside_intent"
    ended[0].outcome()
    assert began.count("pause") == 1, "the answer was found once, and not sent back"
    assert Row.objects.get(pk=row.pk).gate in ("paused", "ended")


def test_a_call_that_waited_for_the_end_of_its_session_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    make.house()
    _, row = stage.agent()
    assert stage.asks().decision
    calls: list[Session] = []
    forget, gateway = session_use.forget, stage.gateway()

    def call() -> Answer:
        return stage.asks("payments.book", actor=gateway)

    def forgets(session: Row) -> None:
        calls.append(Session(call))
        calls[0].seen_waiting()
        forget(session)

    monkeypatch.setattr(session_use, "forget", forgets)
    sessions.end(row.pk, actor=cast.person("enzo"))
    said = calls[0].outcome()
    assert (said.decision, said.reason) == (False, "session_ended")


def test_one_session_that_somebody_holds_keeps_no_other_from_being_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a transaction of its own: what is done with one is there before the next one's turn."""
    from datetime import timedelta

    from audit import clock
    from containment.models import SessionUse

    make.house()
    identity, first = stage.agent()
    second = make.session(identity, "run-2")
    for row in (first, second):
        SessionUse.objects.update_or_create(session=row, defaults={"marks": 3})
    Row.objects.update(last_seen_at=clock.now() - timedelta(days=2))
    forget, seen = session_use.forget, list[int]()

    def others_see() -> int:
        return SessionUse.objects.filter(marks=0).count()

    def forgets(session: Row) -> None:
        seen.append(Session(others_see).outcome())
        forget(session)

    monkeypatch.setattr(session_use, "forget", forgets)
    assert session_use.tidy(now=clock.now()) == 2
    assert seen == [0, 1]
