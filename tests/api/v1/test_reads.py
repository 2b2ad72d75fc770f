"""Reading: one thing, lists of them, their filters and their pages."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.ids import uuid7
from tests import make

pytestmark = pytest.mark.django_db

LISTS = ["detections", "decisions", "cases", "runs", "holds", "identities", "exceptions", "sessions", "guard/calls"]


@pytest.fixture
def house(connected):
    make.house()
    make.workflow("ingest", [{"action": "data.read", "resource": "ingest.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    pay = make.identity("payments_writer", known_networks=[])
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(pay, "pay-main", workflow="payments")
    make.designation(pay, "pay-main", schemas=["payments"])


@pytest.fixture
def reader(program):
    return program("read")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_for_those_who_may_read(program, person, nobody, name):
    assert program("read").get(f"/api/v1/{name}").status == 200
    assert person("wren").get(f"/api/v1/{name}").status == 200
    assert nobody.get(f"/api/v1/{name}").status == 401
    assert program("detections.write").get(f"/api/v1/{name}").status == 403


@pytest.mark.parametrize("name", LISTS)
def test_one_that_is_not_there_is_404(reader, name):
    said = reader.get(f"/api/v1/{name}/{uuid7()}")
    assert (said.status, said.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=%D9%A1", "limit"),
        ("cursor=next", "cursor"),
        ("cursor=%00", "cursor"),
        ("limit=1&limit=2", "limit"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_its_member(reader, name, query, path):
    said = reader.get(f"/api/v1/{name}?{query}")
    assert said.status == 422
    assert [fault["path"] for fault in said.body["errors"]] == [path]


@pytest.mark.parametrize("value", ["%00", "%ED%A0%80", "%FF", "x" * 400, "'; DROP TABLE run; --", "%F0%9F%98%80"])
def test_odd_values_of_a_filter_find_nothing_or_are_refused(reader, value):
    assert reader.get(f"/api/v1/runs?state={value}").status in {200, 422}
    assert reader.get(f"/api/v1/sessions?name={value}").status in {200, 422}
    assert reader.get(f"/api/v1/exceptions?identity={value}").status in {200, 422}
    assert reader.get(f"/api/v1/sessions/{value}").status == 404


def test_pages_follow_each_other_without_gap_or_repetition(reader, house):
    made = [str(make.detected("etl_reader").detection_id) for _ in range(5)]
    seen, cursor = [], ""
    while True:
        page = reader.get(f"/api/v1/detections?limit=2{cursor}").body
        seen += [item["id"] for item in page["results"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == made[::-1]


def test_filters_choose(reader, house):
    etl, pay = make.detected("etl_reader"), make.detected("payments_writer", session=None)
    assert (etl.verdict, pay.verdict) == ("contain", "hold")

    def ids(path):
        said = reader.get(f"/api/v1/{path}")
        assert said.status == 200, said.body
        return [item["id"] for item in said.body["results"]]

    assert ids("decisions?verdict=hold") == [str(pay.pk)]
    assert ids(f"runs?case={etl.case_id}") == [str(etl.run_id)]
    assert ids("runs?state=waiting") == [str(pay.run_id)]
    assert ids(f"holds?identity={pay.detection.identity_id}&state=open") == [str(pay.hold_id)]
    assert ids(f"cases?identity={etl.detection.identity_id}") == [str(etl.case_id)]
    assert ids("identities?subject=etl_reader") == [str(etl.detection.identity_id)]
    assert ids("detections?source=nobody") == []
    assert ids("sessions?name=pay-main&live=true") == [str(pay.detection.identity.sessions.get(external_id="pay-main").pk)]


def test_a_decision_shows_how_its_risk_came_about(reader, house):
    decision = make.detected("etl_reader")
    said = reader.get(f"/api/v1/decisions/{decision.pk}").body
    assert said["waterfall"]["waterfall"]["risk"] == said["risk"] == 85.5
    assert (said["run"], said["hold"], said["exception"]) == (str(decision.run_id), None, None)


def test_a_run_shows_its_steps_and_a_hold_its_plan_and_what_silence_means(reader, house):
    pay = make.detected("payments_writer", session=None)
    run = reader.get(f"/api/v1/runs/{pay.run_id}").body
    assert run["state"] == "waiting"
    assert {step["stage"] for step in run["steps"]} == {"interim"}
    assert all(set(step) >= {"measure", "state", "proof", "proof_level"} for step in run["steps"])
    hold = reader.get(f"/api/v1/holds/{pay.hold_id}").body
    assert (hold["state"], hold["run"]) == ("open", str(pay.run_id))
    assert hold["plan_digest"] == run["plan_digest"]
    assert hold["on_lapse"] in {"contain", "release", "escalate"}


def test_a_run_never_shows_what_undo_keeps_sealed(reader, house):
    run = reader.get(f"/api/v1/runs/{make.detected('etl_reader').run_id}").body
    for step in run["steps"]:
        assert not {"was", "was_sealed", "key"} & set(step)


@pytest.mark.parametrize("name", ["detections", "decisions", "runs", "holds", "cases"])
def test_a_longer_list_takes_no_more_queries(reader, house, name):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert reader.get(f"/api/v1/{name}").status == 200
        return sum(query["sql"].startswith("SELECT") for query in captured)  # a token's last use is written once a minute

    make.detected("payments_writer", session=None)
    queries()
    few = queries()
    for number in range(4):
        make.identity(f"reader_{number}")
        make.detected(f"reader_{number}")
    assert queries() <= few


def test_the_trail_is_for_people_and_says_what_happened(program, person, house):
    make.detected("etl_reader")
    assert program("read").get("/api/v1/audit").status == 403
    said = person("wren").get("/api/v1/audit?verb=decision.made").body["results"][0]
    assert said["said"].startswith("decided contain")
    assert said["facts"]["risk"] == 85.5
    page = person("wren").get("/api/v1/audit?limit=1").body
    following = person("wren").get(f"/api/v1/audit?limit=1&cursor={page['next']}").body
    assert following["results"][0]["seq"] < page["results"][0]["seq"]


def test_a_route_that_is_not_there_is_told_as_a_problem(reader, nobody):
    assert reader.get("/api/v1/nothing").body["code"] == "not_found"
    assert nobody.get("/api/v1/holds/not-an-id").body["code"] == "not_found"
    said = reader("PUT", "/api/v1/holds")
    assert (said.status, said.body["code"]) == (405, "method_not_allowed")


def test_answers_are_not_cached(reader):
    assert reader.get("/api/v1/holds").headers["Cache-Control"] == "no-store"
