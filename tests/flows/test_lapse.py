"""What follows a hold, where the budget is spent or no machine can act."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from audit import clock
from containment import flow
from containment.models import ContainmentSpend, Identity, Source
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)

AGENT: dict[str, Any] = {"kind": "ai_agent", "provider": "agents", "subject": "trainer"}


def spend_all_but(left: int) -> None:
    """The hourly budget of the source, shared out among others."""
    source, now = Source.objects.get(), clock.now()
    others = Identity.objects.bulk_create(
        Identity(provider="agents", subject=str(uuid4()), kind="workload", created_at=now) for _ in range(60 - left)
    )
    ContainmentSpend.objects.bulk_create(ContainmentSpend(identity=one, kind=one.kind, source=source, at=now) for one in others)


@pytest.fixture
def long_job():
    """A hold on a long job, opened when the budget was spent: silence contains, and the interim stage did not run."""
    make.house()
    trainer = make.identity("trainer", provider="agents", kind="ai_agent")
    make.session(trainer, "train-7")
    make.designation(trainer, "train-7", kind="long_running_job")
    spend_all_but(0)
    decision = make.detected("trainer", identity=AGENT, session=None, credential=None)
    assert (decision.verdict, make.hold_of(decision).reason_class, make.hold_of(decision).on_lapse) == (
        "hold",
        "long_running_job",
        "contain",
    )
    return make.hold_of(decision)


def test_silence_contains_nobody_beyond_the_budget(long_job):
    make.deadline_passed(long_job)
    assert flow.lapse_hold(long_job.pk).lapsed_to == "escalated"
    make.deadline_passed(long_job)
    lapsed = flow.lapse_hold(long_job.pk)
    assert (lapsed.state, lapsed.lapsed_to) == ("lapsed", "release")
    assert "budget" in lapsed.closed_because


def test_silence_that_contains_takes_one_from_the_budget(long_job):
    ContainmentSpend.objects.all().delete()
    make.deadline_passed(long_job)
    assert flow.lapse_hold(long_job.pk).lapsed_to == "contain"
    assert ContainmentSpend.objects.count() == 1


def test_an_interim_stage_that_was_spent_for_is_not_spent_for_again():
    make.house()
    trainer = make.identity("trainer", provider="agents", kind="ai_agent")
    make.session(trainer, "train-7")
    make.designation(trainer, "train-7", kind="long_running_job")
    hold = make.hold_of(make.detected("trainer", identity=AGENT, session=None, credential=None))
    assert ContainmentSpend.objects.count() == 1
    make.deadline_passed(hold)
    assert flow.lapse_hold(hold.pk).lapsed_to == "contain"
    assert ContainmentSpend.objects.count() == 1


def test_what_people_approved_and_no_connector_can_do_waits_for_a_person():
    make.house()
    Source.objects.update(ceiling="hold")
    make.identity("stranger", provider="nobody-connected")
    decision = make.detected("stranger", identity={"kind": "service_account", "provider": "nobody-connected", "subject": "stranger"})
    assert "No connector" in make.hold_of(decision).because
    flow.answer_hold(make.hold_of(decision).pk, "approve", actor=cast.person("omar"), seen_digest=make.hold_of(decision).plan_digest)
    make.run_of(decision).refresh_from_db()
    assert (make.run_of(decision).state, make.run_of(decision).because) == (
        "needs_human",
        "No connector can carry this plan out. A person has to.",
    )
