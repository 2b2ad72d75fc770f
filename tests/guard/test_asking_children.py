"""A child asks before each call: held to what its parent may do, on its parent's budget, whichever way the question takes."""

from __future__ import annotations

import pytest

from containment.models import SessionUse
from guard import ask
from sources import authzen
from tests import make
from tests.guard import stage

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_child_is_denied_what_its_parent_may_not_do_and_spends_what_it_may() -> None:
    make.house()
    agent, parent = stage.agent(approved={"tools": stage.TOOLS[:3], "budgets": {"writes_per_hour": 2}})
    child = make.session(agent, "run-2", parent=parent, registered_by=parent.registered_by)

    def asks(tool: str, session: str) -> tuple[bool, str]:
        said = ask.answer(authzen.read(stage.body(tool, session=session)), stage.gateway()).to_json()
        return said["decision"], said["context"]["reason"]

    assert [asks("payments.book", session)[0] for session in ("run-2", "run-1")] == [True, True]
    assert SessionUse.objects.get(session=parent).windows["hour"]["writes"] == 2
    assert SessionUse.objects.get(session=child).windows["hour"]["writes"] == 1
    assert asks("mail.send", "run-2") == (False, "outside_intent")
    child.refresh_from_db()
    parent.refresh_from_db()
    assert (child.gate, parent.gate) == ("paused", "active")
    assert asks("payments.book", "run-1") == (False, "outside_intent")
