"""What follows a hold, where the budget is spent or no machine can act."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from approvals import holds
from approvals.models import Hold
from approvals.refusals import NotYours, PlanChanged
from audit import clock
from containment import flow, inventory, limits, policy_approvals
from containment.domain.facts import Kind
from containment.models import ContainmentSpend, Decision, Identity, RiskPolicyVersion, Source
from core.actor import SYSTEM
from core.digest import digest
from core.refs import Ref
from playbooks import runs
from playbooks.models import Run
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


# -- what has changed since it was asked ---------------------------------------------------------------------------------------------------


def trained(name: str) -> Hold:
    """A hold on a long job in production, with its interim stage: silence contains."""
    trainer = make.identity(name, provider="agents", kind="ai_agent", environment="prod")
    make.session(trainer, f"{name}-job")
    make.designation(trainer, f"{name}-job", kind="long_running_job")
    hold = make.hold_of(make.detected(name, identity=AGENT | {"subject": name}, session=None, credential=None))
    assert (hold.reason_class, hold.on_lapse) == ("long_running_job", "contain")
    return hold


def allow(**limits: int | float) -> None:
    """The policy in force, but with other numbers in its budget."""
    version = RiskPolicyVersion.objects.get(state="in_force")
    text = version.text
    for name, number in limits.items():
        text = re.sub(rf"{name}: [0-9.]+", f"{name}: {number}", text)
    RiskPolicyVersion.objects.filter(pk=version.pk).update(state="superseded")
    RiskPolicyVersion.objects.create(
        version=version.version + 1,
        text=text,
        digest=digest(text),
        shipped=True,
        state="in_force",
        drafted_at=clock.now(),
        in_force_at=clock.now(),
    )


def spent_long_ago(*asked: Hold) -> None:
    """As if these had waited for two hours."""
    for hold in asked:
        decision, earlier = Decision.objects.get(hold=hold), clock.now() - timedelta(hours=2)
        ContainmentSpend.objects.filter(at=decision.decided_at).update(at=earlier)
        Decision.objects.filter(pk=decision.pk).update(decided_at=earlier)


def test_silence_contains_nobody_whose_kind_is_only_observed_by_now():
    make.house()
    hold = trained("trainer")
    policy_approvals.step_back(Kind.AI_AGENT, "prod", actor=cast.person("mara"))
    make.deadline_passed(hold)
    lapsed = flow.lapse_hold(hold.pk)
    assert (lapsed.state, lapsed.lapsed_to) == ("lapsed", "release")
    assert lapsed.closed_because == "nobody answered, and every ai agent in prod is only observed by now"
    assert Run.objects.get().state in {"withdrawn", "undoing"}


def test_silence_contains_nobody_whose_source_is_only_observed_by_now():
    make.house()
    hold = trained("trainer")
    limits.observe(Source.objects.get().pk, "it cries wolf", actor=cast.person("enzo"))
    make.deadline_passed(hold)
    lapsed = flow.lapse_hold(hold.pk)
    assert (lapsed.lapsed_to, "edr-prod, which reported it, is only observed" in lapsed.closed_because) == ("release", True)


def test_people_may_still_contain_what_is_only_observed_by_now():
    make.house()
    hold = trained("trainer")
    policy_approvals.step_back(Kind.AI_AGENT, "prod", actor=cast.person("mara"))
    flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest)
    assert Run.objects.get().released_at is not None


def test_an_identity_whose_interim_stage_ran_counts_among_its_kind():
    make.house()
    allow(share_at_least=2, share_of_kind=0.01)
    trained("one"), trained("two")
    make.identity("three", provider="agents", kind="ai_agent", environment="prod")
    third = make.detected("three", identity=AGENT | {"subject": "three"}, session=None, credential=None)
    assert (third.verdict, make.hold_of(third).grouped) == ("hold", True)


def test_silence_that_contains_keeps_within_what_its_kind_allows_and_counts_itself_once():
    make.house()
    first, second = trained("one"), trained("two")
    allow(share_at_least=1, share_of_kind=0.01)
    for hold in (first, second):
        make.deadline_passed(hold)
    assert flow.lapse_hold(first.pk).lapsed_to == "escalated"
    holds.withdraw(first.pk, "not wanted", actor=SYSTEM)
    runs.stand_down(UUID(Ref.parse(first.run_ref).id), actor=SYSTEM, because="not wanted")
    assert flow.lapse_hold(second.pk).lapsed_to == "contain"


def test_silence_spends_again_once_what_was_spent_has_left_the_hour():
    make.house()
    hold = trained("trainer")
    spent_long_ago(hold)
    make.deadline_passed(hold)
    assert flow.lapse_hold(hold.pk).lapsed_to == "contain"
    assert ContainmentSpend.objects.filter(at__gt=clock.now() - timedelta(hours=1)).count() == 1


def test_what_was_spent_an_hour_ago_pays_for_nothing_today():
    make.house()
    hold = trained("trainer")
    spent_long_ago(hold)
    spend_all_but(0)
    make.deadline_passed(hold)
    assert flow.lapse_hold(hold.pk).lapsed_to == "escalated"


def test_one_word_does_not_contain_what_has_become_protected_and_two_do():
    make.house()
    hold = trained("trainer")
    inventory.protect(Identity.objects.get(subject="trainer").pk, "break glass", actor=cast.person("ada"))
    with pytest.raises(NotYours):
        flow.answer_hold(hold.pk, "approve", actor=cast.person("wren"), seen_digest=hold.plan_digest)
    assert Hold.objects.get().is_open
    with pytest.raises(PlanChanged) as refused:
        flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest)
    asking = Hold.objects.get(state="open")
    assert (refused.value.facts["hold"], Hold.objects.get(pk=hold.pk).state) == (str(asking.pk), "superseded")
    assert Decision.objects.get().hold_id == asking.pk
    for name, state in (("omar", "waiting"), ("ines", "pending")):
        flow.answer_hold(asking.pk, "approve", actor=cast.person(name), seen_digest=asking.plan_digest)
        assert Run.objects.get().state == state


def test_one_no_still_leaves_running_what_has_become_protected():
    make.house()
    hold = trained("trainer")
    inventory.protect(Identity.objects.get(subject="trainer").pk, "break glass", actor=cast.person("ada"))
    flow.answer_hold(hold.pk, "reject", actor=cast.person("omar"), seen_digest=hold.plan_digest, reason="a drill")
    assert Hold.objects.get().state == "rejected"
