"""Baselines as rows: what is read and written costs the same whatever came before, and what is old goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import clock
from containment import baselines
from containment.domain import baseline as usual
from containment.models import Activity, Baseline, Credential, CredentialUse, DailyUse, Decision, Habit, Resource, Trail
from tests import make
from tests.feed import MINUTE, event, lived, raised, told, workdays

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def noon() -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - DAY


@pytest.fixture
def etl(connected):
    make.house(teaches=True)
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}], joins=[["sales-db", "warehouse"]])
    identity = make.identity("etl_reader")
    make.session(identity, "etl-main", workflow="ingest")
    for key, system in (("sales.orders", "sales-db"), ("sales.copy", "warehouse"), ("hr.pay", "hr-db")):
        Resource.objects.create(kind="table", key=key, sensitivity="moderate", system=system)
    return identity


def queries_for(messages):
    with CaptureQueriesContext(
        connection,
    ) as counted:
        told(messages)
    return len(counted)


def test_a_batch_takes_as_many_queries_after_a_long_history_as_after_a_short_one(etl, noon):
    told([event(at=noon - 30 * DAY)])
    early = queries_for([event(at=noon - 29 * DAY + number * MINUTE) for number in range(50)])
    lived(workdays(20, 100, until=noon))
    late = queries_for([event(at=noon + number * MINUTE) for number in range(50)])
    assert late <= early


def test_more_events_of_the_same_identity_take_no_more_queries(etl, noon):
    told([event(at=noon - 30 * DAY)])
    few = queries_for([event(at=noon - 29 * DAY + number * MINUTE) for number in range(5)])
    many = queries_for([event(at=noon - 28 * DAY + number * MINUTE) for number in range(300)])
    assert many <= few


def test_a_full_baseline_lets_go_what_was_unused_for_longest(etl, noon, monkeypatch):
    monkeypatch.setitem(usual.MOST, usual.RESOURCE, 20)
    told([event(on=f"sales.t{number}", at=noon + number * MINUTE) for number in range(50)])
    of_workflow = Baseline.objects.get(identity=etl, workflow="ingest")
    left = set(Habit.objects.filter(baseline=of_workflow, about="resource").values_list("two", flat=True))
    assert left == {f"sales.t{number}" for number in range(32, 50)}
    assert of_workflow.learned["kept"]["resource"] == 18


def posted(on: str = "", action: str = "data.read", **more: Any) -> Decision:
    """A detection of just now that claims nothing."""
    resource = {"kind": "table", "id": on} if on else None
    said: dict[str, Any] = {
        "session": {"id": "etl-main"},
        "claims": [],
        "credential": None,
        "context": {},
        "occurred_at": clock.now().isoformat(),
    }
    return make.detected(**said | {"action": {"name": action}, "resource": resource} | more)


def test_a_move_that_an_approved_workflow_joins_is_no_signal_and_another_one_is(etl, noon):
    lived(workdays(20, 30, until=noon))
    assert "cross_system" not in {signal["code"] for signal in posted("sales.copy").signals}
    moved = next(signal for signal in posted("hr.pay").signals if signal["code"] == "cross_system")
    assert (moved["evidence"]["from"], moved["evidence"]["to"]) == ("warehouse", "hr-db")
    assert moved["observations"] == 600


def test_a_detection_beside_the_feed_that_told_of_the_same_event_still_sees_it_as_new(etl, noon):
    lived(workdays(20, 30, until=noon))
    Resource.objects.create(kind="table", key="sales.secret", sensitivity="high", system="sales-db")
    assert told([event(on="sales.secret", at=noon)])[0].learned
    decision = posted("sales.secret", occurred_at=noon.isoformat(), severity="low", confidence=0)
    assert "first_access" in {signal["code"] for signal in decision.signals}


def test_a_watched_detection_is_learned_and_one_that_was_held_is_not(etl, noon):
    lived(workdays(20, 30, until=noon))
    watched = posted("sales.new", severity="low")
    assert watched.verdict == "watch"
    assert Habit.objects.filter(about="resource", two="sales.new").exists()
    contained = make.detected(session={"id": "etl-main"}, credential=None)
    assert contained.verdict == "contain"
    assert not Habit.objects.filter(two="vault.card_tokens").exists()


def test_a_shared_credential_is_compared_with_its_workflow_and_the_smallest_cut_knows_whom_it_would_hurt(connected, noon):
    make.house(teaches=True)
    shared = make.identity("reports_shared")
    credential = Credential.objects.get(uses__identity=shared)
    for name in ("daily", "monthly"):
        make.workflow(name, [{"action": "data.read", "resource": f"reports.{name}"}])
        make.session(shared, f"r-{name}", workflow=name)
        CredentialUse.objects.create(credential=credential, identity=shared, workflow=name)
        Resource.objects.create(kind="table", key=f"reports.{name}", sensitivity="high", system="reports-db")
        lived(workdays(8, 30, until=noon, subject="reports_shared", on=f"reports.{name}", session=f"r-{name}"))
    told([event("reports_shared", on="reports.daily", session="r-daily", at=clock.now())])
    decision = make.detected(
        "reports_shared", session={"id": "r-monthly"}, claims=[], action={"name": "data.read"}, context={},
        credential=None, resource={"kind": "table", "id": "reports.daily"}, severity="low",
    )  # fmt: skip
    first = next(signal for signal in decision.signals if signal["code"] == "first_access")
    assert first["evidence"]["baseline"] == "the workflow monthly"
    assert first["observations"] == 240
    use = {(one["workflow"], one["events"]) for one in decision.facts["history"]["use"]}
    assert {workflow for workflow, _ in use} == {"daily", "monthly"}
    assert decision.waterfall["cut"]["level"] == "session"


def test_a_chain_that_the_policy_names_is_found_over_what_lies_between(etl, noon):
    told([event(action="secret.read", on="sales.key", at=noon)])
    told([event(at=noon + number * MINUTE) for number in range(1, 200)])
    decision = posted(action="message.send")
    chain = next(signal for signal in decision.signals if signal["code"] == "tool_chain")
    assert (chain["evidence"]["named"], chain["observations"], chain["thinned_to"]) == (True, None, 1.0)


def test_old_activity_trails_and_use_go_and_baselines_stay(etl, noon):
    lived(workdays(3, 10, until=noon))
    later = clock.now() + 60 * DAY
    assert baselines.tidy(now=later) > 0
    assert not Activity.objects.exists()
    assert not Trail.objects.exists()
    assert not DailyUse.objects.exists()
    assert Baseline.objects.get(identity=etl, workflow="ingest").events == 30


def test_an_event_whose_detection_was_lowered_to_watch_by_observe_mode_is_not_learned(connected, noon):
    from containment.domain.policy import Mode

    make.house(Mode.OBSERVE)
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    lived(workdays(20, 30, until=noon))
    (answer,) = raised(told([event(action="secret.read", on="vault.card_tokens", at=noon)]))
    assert answer.detection is not None
    decision = Decision.objects.get(detection_id=answer.detection)
    assert (decision.verdict, decision.would_have) == ("watch", "contain")
    assert not Habit.objects.filter(two="vault.card_tokens").exists()
