"""Sources and counted verdicts, as programs and people read them."""

from __future__ import annotations

import pytest
from django.test import Client

from containment import cases, limits
from containment.models import Source
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(connected):
    make.house()
    make.identity("etl_reader"), make.identity("other")


def test_a_source_is_shown_with_its_limits_its_rate_and_its_alarm(program):
    Source.objects.filter(name="edr-prod").update(rate_per_minute=1)
    token = program("read", "detections.write")
    assert token.post("/api/v1/detections", make.message("etl_reader")).body["decision"]["verdict"] == "contain"
    over = token.post("/api/v1/detections", make.message("other"))
    assert (over.status, over.body["decision"]["verdict"], over.body["decision"]["would_have"]) == (201, "watch", "contain")
    assert over.body["run"] is None
    shown = token.get("/api/v1/sources?name=edr-prod").body["results"][0]
    assert (shown["state"], shown["alarm"]["over"], shown["alarm"]["limit"]) == ("observing", "rate", 1)
    assert shown["rate"]["this_minute"] + shown["rate"]["minute_before"] == 2
    assert shown["observes_until"]
    assert token.get(f"/api/v1/sources/{shown['id']}").body["name"] == "edr-prod"


def test_what_waits_for_a_second_person_is_shown_beside_what_holds(program):
    Source.objects.filter(name="edr-prod").update(trust=0.5)
    limits.change(Source.objects.get().pk, {"trust": 0.9}, actor=cast.person("enzo"))
    shown = program("read").get("/api/v1/sources?name=edr-prod").body["results"][0]
    assert shown["trust"] == 0.5
    assert (shown["waits"]["was"], shown["waits"]["wanted"], shown["waits"]["asked_by"]) == ({"trust": 0.5}, {"trust": 0.9}, "Enzo")


def test_a_batch_over_the_rate_is_stored_and_observed(program):
    Source.objects.filter(name="edr-prod").update(rate_per_minute=5)
    from containment import flow
    from containment.models import Detection

    token = program("detections.write")
    said = token.post("/api/v1/detections/batch", [make.message("etl_reader") for _ in range(9)])
    assert (said.status, said.body["accepted"]) == (202, 9)
    verdicts = {flow.decide(one.pk).verdict for one in Detection.objects.all()}
    assert verdicts == {"watch"}


def test_verdicts_are_counted_for_each_signal_and_source(program, person):
    decision = make.detected("etl_reader")
    assert decision.case is not None
    said = person("ines").post(f"/api/v1/cases/{decision.case.pk}/verdict", {"verdict": "benign", "reason": "a drill"})
    assert said.status == 200
    cases.judge(decision.case.pk, "true_positive", "it was no drill", actor=cast.person("omar"))
    token = program("read")
    counted = {(one["kind"], one["name"]): one for one in token.get("/api/v1/verdicts").body["results"]}
    one = counted["signal", "unexpected_secret_read"]
    assert (one["true_positive"], one["benign"], one["judged"], one["precision"]) == (1, 0, 1, 1.0)
    assert counted["source", "edr-prod"]["judged"] == 1
    assert token.get("/api/v1/sources?name=edr-prod").body["results"][0]["verdicts"]["true_positive"] == 1
    assert token.get("/api/v1/verdicts?kind=source").body["results"] == [counted["source", "edr-prod"]]


@pytest.mark.parametrize("path", ["/api/v1/sources", "/api/v1/verdicts", "/api/v1/exposures"])
def test_reading_takes_the_right_to_read(program, nobody, path):
    assert nobody.get(path).status == 401
    assert program("detections.write").get(path).status == 403
    assert program("read").get(path).status == 200
    assert program("read").get(f"{path}?nonsense=1").status == 422


def test_sources_that_observe_are_counted_for_the_monitoring():
    Source.objects.filter(name="edr-prod").update(state="observing", observes_because="a person said so")
    assert 'holdfast_sources{state="observing"} 1.0' in Client().get("/metrics").content.decode()
