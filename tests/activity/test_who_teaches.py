"""Who may teach a baseline, what, and how much at once: against real rows, through the doors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import clock
from audit.models import AuditEntry
from containment import baselines
from containment.models import Baseline, DailyUse, Decision, Detection, Habit, Identity, Resource, Source, Trail
from tests import cast, make
from tests.feed import MINUTE, event, lived, raised, told, workdays

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)
FAR = datetime(8999, 1, 1, tzinfo=UTC)


@pytest.fixture
def noon() -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - DAY


@pytest.fixture
def etl(connected):
    make.house(teaches=True)
    Source.objects.create(name="detector")
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}], joins=[["sales-db", "sales-db"]])
    identity = make.identity("etl_reader")
    make.session(identity, "etl-main", workflow="ingest")
    Resource.objects.create(kind="table", key="sales.orders", sensitivity="moderate", system="sales-db")
    return identity


def posted(source: str = "detector", **more: Any) -> Decision:
    """A harmless detection that claims nothing."""
    said: dict[str, Any] = {
        "session": {"id": "etl-main"},
        "claims": [],
        "severity": "low",
        "credential": None,
        "context": {},
        "occurred_at": clock.now().isoformat(),
        "action": {"name": "data.read"},
        "resource": {"kind": "table", "id": "sales.orders"},
    }
    return make.detected(actor=cast.detector(source), **said | more)


def own(identity: Identity) -> Baseline:
    return Baseline.objects.get(identity=identity, role="", workflow="", tenant="")


def codes(decision: Decision) -> set[str]:
    return {signal["code"] for signal in decision.signals if signal["decibans"]}


def a_burst() -> set[str]:
    """The signals of a detection of 5,000 requests in this minute."""
    return codes(posted(action={"name": "data.read", "count": 5000}))


# -- dated ahead ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["edr-prod", "detector"])
def test_a_detection_that_is_dated_ahead_makes_nothing_late(etl, noon, source):
    lived(workdays(20, 30, until=noon))
    assert posted(source, occurred_at=FAR.isoformat()).verdict == "watch"
    assert Baseline.objects.filter(newest_at__lt=clock.now()).count() == 2
    assert Trail.objects.filter(newest_at__lt=clock.now()).exists()
    assert "volume" in a_burst()


def test_what_says_that_it_is_from_the_future_is_as_of_now_and_goes_when_its_time_is_over(etl, noon):
    lived(workdays(20, 30, until=noon))
    for row in Baseline.objects.all():
        for window in row.learned["windows"].values():
            window[0] *= 50  # as a detection of the far future left them
        row.learned["days"] = [*row.learned["days"], 2_000_000]
        row.newest_at = FAR
        row.save()
    trail = Trail.objects.get()
    trail.newest_at, trail.kept["latest"][-1][0] = FAR, FAR.isoformat()
    trail.save()
    DailyUse.objects.filter(pk=DailyUse.objects.values("pk")[:1]).update(day=FAR.date())
    told([event(at=clock.now(), count=2)])
    assert not Baseline.objects.filter(newest_at__gt=clock.now()).exists()
    assert 2_000_000 not in own(etl).learned["days"]
    assert "volume" in a_burst()
    Trail.objects.update(newest_at=FAR)
    baselines.tidy(now=clock.now())
    assert not DailyUse.objects.filter(day=FAR.date()).exists()
    assert Trail.objects.filter(newest_at__lte=clock.now()).exists()


# -- who teaches ---------------------------------------------------------------------------------------------------------------------------


def test_a_detector_makes_nothing_usual_whatever_its_trust(etl, noon):
    Source.objects.filter(name="detector").update(trust=1.0)
    lived(workdays(20, 30, until=noon))
    before = own(etl).learned
    assert posted(action={"name": "data.read", "count": 5}, resource={"kind": "table", "id": "sales.new"}).verdict == "watch"
    assert own(etl).learned == before
    assert own(etl).events == 600
    assert not Habit.objects.filter(two="sales.new").exists()
    assert Trail.objects.get().kept["latest"][-1][4] == "sales.new"  # it still is a step, for the chains that follow


def test_a_feed_that_nobody_marked_is_compared_and_not_learned(etl, noon):
    lived(workdays(20, 30, until=noon))
    ordinary, theft = told(
        [event(at=noon), event(action="secret.read", on="vault.card_tokens", at=noon + MINUTE)], actor=cast.detector("detector")
    )
    assert (ordinary.learned, theft.learned) == (False, False)
    assert Detection.objects.get(pk=theft.detection).source.name == "detector"
    assert own(etl).events == 600


def test_one_message_counts_for_a_hundred_events_at_most(etl, noon):
    told([event(at=noon, count=1_000_000)])
    assert own(etl).events == 100
    assert own(etl).learned["windows"]["day"][1] == 1_000_000  # the rate is what it was


def test_days_that_are_told_in_an_hour_are_one_day(etl, noon):
    for day in range(9, 0, -1):
        told([event(at=noon - day * DAY)])
    assert len(own(etl).learned["days"]) == 1
    assert all(len(window[7]) <= 1 for window in own(etl).learned["windows"].values())


def test_a_past_that_an_engineer_answers_for_counts_by_its_days(etl, noon, tmp_path, capsys):
    past = tmp_path / "past.ndjson"
    past.write_text("\n".join(json.dumps(one) for one in workdays(10, 5, until=noon)))
    cast.person("wren")
    with pytest.raises(CommandError, match="wren may not set up sources"):
        call_command("learn_history", str(past), source="edr-prod", by="wren")
    with pytest.raises(CommandError, match="detector is no source that teaches"):
        call_command("learn_history", str(past), source="detector", by="enzo")
    call_command("learn_history", str(past), source="edr-prod", by="enzo")
    call_command("learn_history", str(past), source="edr-prod", by="enzo")
    assert capsys.readouterr().out == "50 of 50 events were learned.\n0 of 50 events were learned.\n"
    assert (own(etl).events, len(own(etl).learned["days"])) == (50, 10)
    assert AuditEntry.objects.get(verb="activity.lived_through").actor_name == "Enzo"


# -- how much ------------------------------------------------------------------------------------------------------------------------------


def test_over_its_rate_a_feed_teaches_nothing_more_and_what_it_raises_is_only_recorded(etl, noon):
    lived(workdays(20, 30, until=noon))
    Source.objects.filter(name="edr-prod").update(rate_per_minute=10)
    assert all(answer.learned for answer in told([event(at=noon + number * MINUTE) for number in range(10)]))
    flood = told([event(at=noon + (20 + number) * MINUTE) for number in range(10)])
    assert Source.objects.get(name="edr-prod").state == "observing"
    assert not any(answer.learned for answer in flood)
    assert own(etl).events == 610
    (answer,) = raised(told([event(action="secret.read", on="vault.card_tokens", at=noon + 40 * MINUTE)]))
    assert answer.detection is not None
    decision = Decision.objects.get(detection_id=answer.detection)
    assert (decision.verdict, decision.would_have) == ("watch", "contain")
    assert posted("edr-prod", resource={"kind": "table", "id": "sales.other"}).detection.observed_because
    assert not Habit.objects.filter(two="sales.other").exists()


def test_a_batch_about_many_identities_is_taken_in_parts_of_fifty(etl):
    answers = told([event(f"role-{number}", session="") for number in range(120)])
    assert all(answer.learned for answer in answers)
    parts = AuditEntry.objects.filter(verb="activity.received").order_by("seq")
    assert [json.loads(entry.body)["identities"] for entry in parts] == [50, 50, 20]


def test_who_it_is_about_is_looked_up_and_locked_once_for_a_part(etl):
    subjects = [f"role-{number}" for number in range(40)]
    told([event(subject, session=f"s-{subject}") for subject in subjects])
    with CaptureQueriesContext(connection) as counted:
        told([event(subject, session=f"s-{subject}") for subject in subjects])
    statements = [query["sql"] for query in counted]
    assert sum('FROM "identity"' in one and "FOR NO KEY UPDATE" in one for one in statements) == 1
    assert sum("FROM identity i JOIN" in one for one in statements) == 1
    assert sum('UPDATE "session"' in one for one in statements) == 1


# -- what is reported ----------------------------------------------------------------------------------------------------------------------


def test_the_second_and_worse_event_of_a_batch_is_reported_too(etl, noon):
    for key, sensitivity in (("hr.pay", "moderate"), ("vault.keys", "critical")):
        Resource.objects.create(kind="table", key=key, sensitivity=sensitivity, system="sales-db")
    lived(workdays(20, 30, until=noon))
    first = event(action="secret.read", on="hr.pay", at=noon)
    worse = event(action="secret.read", on="vault.keys", at=noon + MINUTE)
    twice = event(action="secret.read", on="vault.keys", at=noon + 2 * MINUTE)
    reported = [answer.detection for answer in raised(told([first, worse, twice]))]
    assert Detection.objects.filter(pk__in=[key for key in reported if key], resource__key="vault.keys").exists()
    assert Detection.objects.filter(resource__key="vault.keys").count() == 1


def test_a_thousand_different_thefts_in_one_batch_do_not_make_a_thousand_detections(etl, noon):
    lived(workdays(20, 30, until=noon))
    told([event(action="secret.read", on=f"vault.t{number}", at=noon + number * MINUTE / 60) for number in range(200)])
    assert 1 < Detection.objects.count() <= 25
