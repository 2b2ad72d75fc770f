"""What a detection does to a run that has its identity already: it raises it, or says that it does not."""

from __future__ import annotations

from uuid import uuid4

import pytest

from approvals.models import Hold
from audit import clock
from containment import flow, intake
from containment.models import ContainmentSpend, Identity, Source
from sources import native
from tests import cast, make
from tests.raising import AGENT, MILD

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def soft():
    """An agent under a run at the soft stage."""
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")
    decision = make.detected("invoice-agent", identity=AGENT, **MILD)
    assert (decision.verdict, decision.stage) == ("contain", "soft")
    return make.run_of(decision)


def worse():
    return make.detected("invoice-agent", identity=AGENT, credential=None, severity="critical", confidence=1.0)


def test_a_worse_case_raises_the_run(soft, drive):
    decision = worse()
    soft.refresh_from_db()
    assert (decision.verdict, decision.stage, soft.stage) == ("covered", "hard", "hard")
    assert drive(soft.pk).state == "contained"


def spend_everything():
    source, now = Source.objects.get(), clock.now()
    others = Identity.objects.bulk_create(
        Identity(provider="agents", subject=str(uuid4()), kind="ai_agent", created_at=now) for _ in range(60)
    )
    ContainmentSpend.objects.bulk_create(ContainmentSpend(identity=one, kind=one.kind, source=source, at=now) for one in others)


def test_a_budget_that_is_spent_raises_nothing(soft):
    spend_everything()
    decision = worse()
    soft.refresh_from_db()
    assert (decision.verdict, decision.stage, soft.stage) == ("covered", "soft", "soft")


@pytest.fixture
def held():
    """An agent whose run waits for people because of the source's ceiling; another source may do more."""
    make.house()
    Source.objects.update(ceiling="hold")
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")
    decision = make.detected("invoice-agent", identity=AGENT, **MILD)
    assert (decision.verdict, decision.stage, make.hold_of(decision).reason_class) == ("hold", "soft", "ceiling")
    Source.objects.update(ceiling="contain")
    return decision


def test_what_contains_by_itself_does_not_wait_behind_a_question(held, drive):
    decision = worse()
    assert (decision.verdict, decision.stage, decision.run_id) == ("covered", "hard", held.run_id)
    assert "waits no longer" in decision.because
    assert Hold.objects.get().state == "superseded"
    assert ContainmentSpend.objects.count() == 1
    run = drive(held.run_id)
    assert (run.state, run.stage) == ("contained", "hard")


def test_what_people_released_softly_rises_by_itself_and_takes_one_from_the_budget(held):
    flow.answer_hold(make.hold_of(held).pk, "approve", actor=cast.person("omar"), seen_digest=make.hold_of(held).plan_digest)
    assert ContainmentSpend.objects.count() == 0
    decision = worse()
    run = make.run_of(held)
    run.refresh_from_db()
    assert (decision.verdict, decision.run_id, run.stage) == ("covered", run.pk, "hard")
    assert ContainmentSpend.objects.count() == 1
    worse()
    assert ContainmentSpend.objects.count() == 1


def test_what_people_released_softly_stays_soft_where_nothing_is_left_to_spend(held):
    flow.answer_hold(make.hold_of(held).pk, "approve", actor=cast.person("omar"), seen_digest=make.hold_of(held).plan_digest)
    spend_everything()
    worse()
    run = make.run_of(held)
    run.refresh_from_db()
    assert run.stage == "soft"


@pytest.mark.parametrize("why", ["ceiling", "budget", "quiet"])
def test_what_would_not_contain_by_itself_leaves_the_question_open(held, why):
    if why == "ceiling":
        Source.objects.update(ceiling="hold")
    if why == "budget":
        spend_everything()
    if why == "quiet":
        decision = make.detected("invoice-agent", identity=AGENT, **MILD | {"confidence": 0.1, "severity": "low", "claims": []})
    else:
        decision = worse()
    run = make.run_of(held)
    run.refresh_from_db()
    assert (decision.verdict, decision.stage, run.state, Hold.objects.get().state) == ("covered", "soft", "waiting", "open")


def test_people_asked_about_a_payment_go_on_deciding():
    make.house()
    agent = make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow")
    make.session(agent, "inv-1")
    make.designation(agent, "inv-1")
    asked = make.detected("invoice-agent", identity=AGENT, **MILD)
    agent.designations.update(ended_at=clock.now())
    decision = worse()
    assert (decision.verdict, decision.would_have) == ("covered", "contain")
    hold = make.hold_of(asked)
    hold.refresh_from_db()
    assert (hold.reason_class, hold.state) == ("payment", "open")


def received(**changes):
    body = make.message("invoice-agent", identity=AGENT, credential=None, **changes)
    return intake.receive(native.read(body), body, actor=cast.detector()).detection.pk


def test_a_run_that_is_being_undone_covers_nothing_new(soft, drive):
    drive(soft.pk)
    flow.undo_run(soft.pk, actor=cast.person("mara"), reason="a drill")
    key = received(severity="critical", confidence=1.0, claims=["token_mint"], action={"name": "token.mint"})
    assert flow.decide_due(key) is None
    assert drive(soft.pk).state == "undone"
    decision = flow.decide_due(key)
    assert decision is not None
    assert decision.verdict in {"hold", "contain"}
    assert decision.run_id != soft.pk


def test_what_is_kept_after_a_lapse_makes_way_for_something_new(drive):
    make.house()
    agent = make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow")
    make.session(agent, "inv-1")
    make.designation(agent, "inv-1")
    decision = make.detected("invoice-agent", identity=AGENT, **MILD)
    assert (make.hold_of(decision).reason_class, make.hold_of(decision).keep_interim_s) == ("payment", 3600)
    drive(make.run_of(decision).pk)
    make.deadline_passed(make.hold_of(decision))
    assert flow.lapse_hold(make.hold_of(decision).pk).lapsed_to == "release"
    assert drive(make.run_of(decision).pk).state == "undoing"  # its interim stage is kept
    key = received()
    assert flow.decide_due(key) is None
    assert drive(make.run_of(decision).pk).state == "undone"
    later = flow.decide_due(key)
    assert later is not None
    assert (later.verdict, make.hold_of(later).state) == ("hold", "open")
