"""Many connections post for one source at once: it may do exactly what it may, and makes no other source wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from audit.models import AuditEntry
from containment import intake, limits
from containment.models import Detection, Source, SourceAlarm, SourceMeter
from containment.refusals import AskAnswered
from core.refusals import Refusal
from sources import native
from tests import cast, make
from tests.races import sessions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _house() -> None:
    make.house()
    Source.objects.create(name="quiet")


def _source(name: str = "edr-prod") -> Source:
    return Source.objects.get(name=name)


def _in_its_own_connection(call: Any) -> Any:
    try:
        return call()
    finally:
        connection.close()


def test_of_sixteen_connections_exactly_as_many_messages_act_as_the_rate_allows():
    Source.objects.filter(name="edr-prod").update(rate_per_minute=10)
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda _: _in_its_own_connection(lambda: limits.admit(_source())), range(16)))
    assert said.count("") == 10
    assert SourceMeter.objects.get().in_minute + SourceMeter.objects.get().minute_before == 16
    assert SourceAlarm.objects.count() == 1


def test_a_message_that_waits_to_be_stored_holds_up_neither_its_own_source_nor_another():
    """The head of the audit trail is held, so that storing waits; counting goes on in both sources."""
    make.detected("etl_reader")
    body = make.message("etl_reader")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM audit_head FOR UPDATE")
        storing = sessions.Session(lambda: intake.receive(native.read(body), body, actor=cast.detector()))
        storing.seen_waiting()
        same = sessions.Session(lambda: limits.admit(_source()))
        other = sessions.Session(lambda: limits.admit(_source("quiet")))
        assert (same.outcome(), other.outcome()) == ("", "")
    assert storing.outcome().duplicate is False


def test_two_that_go_over_in_the_same_instant_raise_one_alarm():
    Source.objects.filter(name="edr-prod").update(rate_per_minute=1)
    source = _source()
    limits.admit(source)
    said = sessions.in_the_same_instant("source", source.pk, lambda: limits.admit(_source()), lambda: limits.admit(_source()))
    assert all("went over its rate" in one for one in said)
    assert SourceAlarm.objects.count() == 1
    assert _source().state == "observing"


@pytest.mark.fault("I6")
def test_the_budget_of_a_source_is_not_exceeded_by_one():
    """Eight are decided at once, with a budget of three."""
    from containment import flow

    Source.objects.filter(name="edr-prod").update(budget_per_hour=3)
    posted = []
    for number in range(8):
        make.identity(f"role_{number}")
        body = make.message(f"role_{number}")
        posted.append(intake.receive(native.read(body), body, actor=cast.detector()).detection.pk)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda key: _in_its_own_connection(lambda: flow.decide(key).verdict), posted))
    assert verdicts.count("contain") == 3
    assert verdicts.count("watch") == 5
    assert SourceAlarm.objects.filter(over="budget").count() == 1
    assert Detection.objects.filter(state="decided").count() == 8


def test_of_two_who_confirm_in_the_same_instant_one_does_and_it_is_once_on_record():
    source = _source()
    Source.objects.filter(pk=source.pk).update(ceiling="hold")
    limits.change(source.pk, {"ceiling": "contain"}, actor=cast.person("enzo"))
    source.refresh_from_db()
    found = limits.waiting(source)
    assert found is not None
    seen = limits.digest_of(found, source)
    mara, mia = cast.person("mara"), cast.person("mia")
    said = sessions.in_the_same_instant(
        "source",
        source.pk,
        lambda: limits.confirm(found.pk, seen_digest=seen, actor=mara),
        lambda: limits.confirm(found.pk, seen_digest=seen, actor=mia),
    )
    assert sorted(isinstance(one, AskAnswered) for one in said) == [False, True]
    assert AuditEntry.objects.filter(verb="source.confirmed").count() == 1
    assert _source().ceiling == "contain"


def test_what_is_lowered_in_the_instant_of_a_confirmation_is_not_raised_over_it():
    source = _source()
    Source.objects.filter(pk=source.pk).update(trust=0.5)
    limits.change(source.pk, {"trust": 1.0}, actor=cast.person("enzo"))
    source.refresh_from_db()
    found = limits.waiting(source)
    assert found is not None
    seen = limits.digest_of(found, source)
    mara, enzo = cast.person("mara"), cast.person("enzo")
    said = sessions.in_the_same_instant(
        "source",
        source.pk,
        lambda: limits.change(source.pk, {"trust": 0.1}, actor=enzo),
        lambda: limits.confirm(found.pk, seen_digest=seen, actor=mara),
    )
    confirmed = not isinstance(said[1], Refusal)
    assert _source().trust == 0.1, "whichever came first, the lower one stands in the end"
    assert AuditEntry.objects.filter(verb="source.confirmed").count() == confirmed
