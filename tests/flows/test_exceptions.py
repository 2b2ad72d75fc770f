"""Who must not sign an exception: whoever it would spare, by whatever name."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from approvals.refusals import NotYours
from audit import clock
from containment import exceptions
from containment.models import Credential
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("named", ["identity", "session", "credential"])
def test_the_owner_of_an_agent_does_not_sign_what_spares_it(named):
    make.house()
    owner = cast.person("mara")
    agent = make.identity("invoice-agent", provider="agents", kind="ai_agent", owner_id=UUID(owner.principal))
    keys = {"identity": agent.pk, "session": make.session(agent, "inv-1").pk, "credential": Credential.objects.get().pk}
    now = clock.now()
    asked = exceptions.ask(
        scope={named: str(keys[named])},
        reason="month-end close",
        ticket="",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        budget_count=1,
        budget_risk=100,
        actor=cast.person("ines"),
    )
    with pytest.raises(NotYours, match="the owner of this agent"):
        exceptions.sign(asked.pk, actor=owner)


def test_an_exception_that_names_nobody_is_signed_by_any_other_manager():
    make.house()
    make.identity("invoice-agent", provider="agents", kind="ai_agent", owner_id=UUID(cast.person("mara").principal))
    now = clock.now()
    asked = exceptions.ask(
        scope={"action": "data.export", "session": "whatever it was called"},
        reason="quarterly export",
        ticket="",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        budget_count=1,
        budget_risk=100,
        actor=cast.person("ines"),
    )
    assert exceptions.sign(asked.pk, actor=cast.person("mara")).state == "granted"
