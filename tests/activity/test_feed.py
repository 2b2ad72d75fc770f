"""What identities do is learned, and what leaves it is reported by ourselves: against real rows, through the feed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from audit import clock
from containment.activity import Taken
from containment.models import Activity, Baseline, Case, DailyUse, Decision, Detection, Habit, Identity, Resource, Session, Source, Trail
from tests import cast, make
from tests.feed import MINUTE, event, lived, raised, told, workdays

pytestmark = pytest.mark.django_db(transaction=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def today() -> datetime:
    """Noon of the day on which everything else happens: safely in the past, whenever the test runs."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - DAY


@pytest.fixture
def etl(connected):
    make.house(teaches=True)
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}])
    identity = make.identity("etl_reader")
    make.session(identity, "etl-main", workflow="ingest")
    Resource.objects.create(kind="table", key="sales.orders", sensitivity="moderate", system="sales-db")
    Resource.objects.create(kind="table", key="hr.salaries", sensitivity="high", system="hr-db")
    return identity


def own(identity: Identity) -> Baseline:
    return Baseline.objects.get(identity=identity, role="", workflow="", tenant="")


def detection_of(answer: Taken) -> UUID:
    assert answer.detection is not None
    return answer.detection


def test_a_feed_teaches_the_workflow_s_baseline_and_the_identity_s_own(etl, today):
    lived(workdays(10, 30, until=today))
    of_workflow = Baseline.objects.get(identity=etl, workflow="ingest")
    assert (own(etl).events, of_workflow.events) == (300, 300)
    assert len(of_workflow.learned["days"]) == 10
    assert set(Habit.objects.filter(baseline=of_workflow).values_list("about", "one", "two", "count")) == {
        ("action", "data.read", "", 300),
        ("resource", "table", "sales.orders", 300),
        ("pair", "data.read", "data.read", 299),
    }
    first, last = Habit.objects.filter(baseline=of_workflow, about="resource").values_list("first_at", "last_at").get()
    assert (last - first) == 9 * DAY + 29 * MINUTE


def test_the_same_ids_again_change_nothing(etl, today):
    messages = workdays(3, 20, until=today)
    told(messages)
    before = (list(Baseline.objects.values()), list(Habit.objects.values()), list(Trail.objects.values()), list(DailyUse.objects.values()))
    again = told(messages)
    assert all(answer.duplicate for answer in again)
    assert before == (
        list(Baseline.objects.values()),
        list(Habit.objects.values()),
        list(Trail.objects.values()),
        list(DailyUse.objects.values()),
    )
    assert Activity.objects.count() == 60


def test_one_id_twice_in_a_batch_is_one_event(etl, today):
    answers = told([event(at=today, key="twin"), event(at=today, key="twin")])
    assert [answer.duplicate for answer in answers] == [False, True]
    assert own(etl).events == 1


def test_the_same_id_of_another_source_is_another_event(etl, today):
    Source.objects.create(name="proxy", teaches=True)
    told([event(at=today, key="one")])
    told([event(at=today, key="one")], actor=cast.detector("proxy"))
    assert own(etl).events == 2


def test_nobody_learns_under_a_role_that_only_a_message_names(etl, today):
    told([event(at=today, session="never-heard-of")])
    assert set(Baseline.objects.values_list("identity_id", "workflow")) == {(etl.pk, "")}
    assert Session.objects.get(external_id="never-heard-of").discovered_at is not None


def test_what_was_not_seen_before_is_discovered(connected, today):
    make.house(teaches=True)
    told([event("stranger", on="new.table", at=today)])
    assert Identity.objects.get(subject="stranger").discovered_at is not None
    assert Resource.objects.get(key="new.table").discovered_at is not None


def test_a_late_event_counts_for_what_was_used_and_not_for_how_fast_or_in_which_order(etl, today):
    told([event(at=today + number * MINUTE) for number in range(5)])
    late = today - 3 * DAY
    told([event(action="data.export", on="sales.old", at=late, count=5000)])
    assert Habit.objects.get(baseline=own(etl), about="resource", two="sales.old").first_at == late
    assert own(etl).events == 5 + 100  # a message is one message, whatever it counts
    assert not Habit.objects.filter(about="pair", two="data.export").exists()
    assert not Habit.objects.filter(about="pair", one="data.export").exists()
    windows = own(etl).learned["windows"]
    assert windows["minute"][1] == 1  # the running minute holds the last event of those on time
    assert windows["day"][1] == 5


def test_an_event_of_a_clock_that_runs_before_ours_is_as_of_now(etl):
    (answer,) = told([event(at=datetime.now(UTC) + 2 * MINUTE)])
    newest_at = own(etl).newest_at
    assert answer.learned
    assert newest_at is not None
    assert newest_at <= clock.now()
    assert Activity.objects.get().occurred_at <= clock.now()


@pytest.mark.fault("D8")
def test_an_event_that_is_dated_ahead_is_neither_learned_nor_a_step(etl):
    (answer,) = told([event(at=datetime.now(UTC) + 10 * DAY)])
    assert not answer.learned
    assert not Baseline.objects.exists()
    assert not Trail.objects.exists()


def test_an_event_that_leads_to_more_than_watch_becomes_a_detection_of_the_feed(etl, today):
    lived(workdays(20, 30, until=today))
    answers = told([event(action="secret.read", on="vault.card_tokens", at=today)])
    (answer,) = raised(answers)
    detection = Detection.objects.get(pk=detection_of(answer))
    assert (detection.source.name, detection.severity, detection.confidence, detection.claims) == ("edr-prod", "low", 0.0, [])
    assert detection.title == "Observed: secret.read on vault.card_tokens (first access, tool chain, unexpected secret read)"
    decision = Decision.objects.get(detection=detection)
    assert decision.verdict == "contain"
    assert {signal["code"] for signal in decision.signals if signal["decibans"]} == {
        "unexpected_secret_read",
        "first_access",
        "tool_chain",
    }
    assert decision.run is not None
    assert Case.objects.get(identity=etl).state == "open"


def test_what_raised_a_detection_is_not_learned_nor_anything_while_the_case_is_open(etl, today):
    lived(workdays(20, 30, until=today))
    attack = event(action="secret.read", on="vault.card_tokens", at=today)
    after = event(on="sales.orders", at=today + MINUTE)
    assert [answer.learned for answer in told([attack, after])] == [False, False]
    assert not told([event(at=today + HOUR)])[0].learned
    assert not Habit.objects.filter(two="vault.card_tokens").exists()
    assert own(etl).events == 600
    assert Activity.objects.filter(learned=False).count() == 3
    Case.objects.update(state="closed")
    assert told([event(at=today + 2 * HOUR)])[0].learned


def test_a_hundred_like_it_in_one_batch_make_one_detection(etl, today):
    lived(workdays(20, 30, until=today))
    attack = [event(action="secret.read", on="vault.card_tokens", at=today + number * MINUTE / 60) for number in range(100)]
    told(attack)
    assert Detection.objects.count() <= 3  # the first, and where a further signal joined


def test_the_same_facts_lead_to_the_same_signals_through_either_door(etl, today):
    lived(workdays(20, 30, until=today))
    posted = make.detected(
        session={"id": "etl-main"},
        occurred_at=today.isoformat(),
        claims=[],
        severity="low",
        confidence=0,
        credential=None,
        action={"name": "secret.read"},
        context={},
    )
    observed = Decision.objects.get(detection=posted.detection)
    other = make.identity("etl_twin")
    make.session(other, "etl-main", workflow="ingest")
    lived(workdays(20, 30, until=today, subject="etl_twin"))
    (answer,) = raised(told([event("etl_twin", "secret.read", "vault.card_tokens", at=today)]))
    fed = Decision.objects.get(detection_id=detection_of(answer))

    def told_of(decision: Decision) -> list[tuple[str, float, int | None]]:
        return [(one["code"], one["decibans"], one["observations"]) for one in decision.signals]

    assert told_of(fed) == told_of(observed)
    assert float(fed.risk) == float(observed.risk)
