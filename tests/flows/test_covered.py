"""What a detection does to a run that has its identity already: it raises it, or says that it does not."""

from __future__ import annotations

from uuid import uuid4

import pytest

from audit import clock
from containment.models import ContainmentSpend, Identity, Source
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

AGENT = {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}
MILD = {"resource": None, "credential": None, "confidence": 0.6, "session": {"id": "inv-1"}, "context": {"environment": "prod"}}


@pytest.fixture
def soft():
    """An agent under a run at the soft stage."""
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")
    decision = make.detected("invoice-agent", identity=AGENT, **MILD)
    assert (decision.verdict, decision.stage) == ("contain", "soft")
    return decision.run


def worse():
    return make.detected("invoice-agent", identity=AGENT, credential=None, severity="critical", confidence=1.0)


def test_a_worse_case_raises_the_run(soft, drive):
    decision = worse()
    soft.refresh_from_db()
    assert (decision.verdict, decision.stage, soft.stage) == ("covered", "hard", "hard")
    assert drive(soft.pk).state == "contained"


def test_a_budget_that_is_spent_raises_nothing(soft):
    source, now = Source.objects.get(), clock.now()
    others = Identity.objects.bulk_create(
        Identity(provider="agents", subject=str(uuid4()), kind="ai_agent", created_at=now) for _ in range(60)
    )
    ContainmentSpend.objects.bulk_create(ContainmentSpend(identity=one, kind=one.kind, source=source, at=now) for one in others)
    decision = worse()
    soft.refresh_from_db()
    assert (decision.verdict, decision.stage, soft.stage) == ("covered", "soft", "soft")


def test_a_run_that_waits_for_people_stays_what_they_read():
    make.house()
    Source.objects.update(ceiling="hold")
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")
    held = make.detected("invoice-agent", identity=AGENT, **MILD)
    assert (held.verdict, held.stage) == ("hold", "soft")
    Source.objects.update(ceiling="contain")
    decision = worse()
    assert (decision.verdict, decision.stage) == ("covered", "soft")
    assert "rises" not in decision.because
