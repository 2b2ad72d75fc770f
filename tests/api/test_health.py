"""Alive, ready, counted; and the description of it all."""

import json
import re
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.urls import get_resolver

from api import examples, health
from audit import clock
from containment.models import Heartbeat, RiskPolicyVersion
from playbooks.models import PlaybookVersion
from sources import native
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(settings, tmp_path, connected):
    settings.TRIAL = False
    settings.HOME = tmp_path
    make.house()
    Heartbeat.objects.create(name="sweeper-1", kind="sweeper", at=clock.now())


def asked(client):
    answer = client.get("/readyz")
    return answer.status_code, answer.json()["checks"]


def test_alive_takes_no_database(client, django_db_blocker):
    with django_db_blocker.block():
        assert client.get("/livez").status_code == 200


def test_ready_when_what_arrives_will_be_decided(client, house):
    assert asked(client) == (200, {"migrated": True, "policy": True, "playbooks": True, "sweeper": True})


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (lambda: RiskPolicyVersion.objects.update(state="draft"), "policy"),
        (lambda: PlaybookVersion.objects.update(state="draft"), "playbooks"),
        (lambda: Heartbeat.objects.update(at=clock.now() - timedelta(seconds=11)), "sweeper"),
        (lambda: Heartbeat.objects.update(kind="worker"), "sweeper"),
    ],
)
def test_not_ready_says_what_is_missing(client, house, broken, name):
    broken()
    status, checks = asked(client)
    assert status == 503
    assert [check for check, good in checks.items() if not good] == [name]


def test_in_the_trial_the_access_file_and_the_estate_are_there_too(client, house, settings):
    settings.TRIAL, settings.TRIAL_EMPTY = True, False
    settings.CONNECTORS = {}
    assert [check for check, good in asked(client)[1].items() if not good] == ["access", "estate"]
    (settings.HOME / "access.json").write_text("{}")
    settings.CONNECTORS = {"postgres": {"use": "postgres"}}
    assert asked(client)[0] == 200
    settings.TRIAL_EMPTY, settings.CONNECTORS = True, {}
    assert asked(client)[0] == 200


def test_without_a_database_ready_is_no_and_not_an_error(client, house, monkeypatch):
    def away():
        raise OperationalError("connection refused")

    monkeypatch.setattr(health, "_policy", away)
    assert asked(client)[0] == 503


def test_the_numbers_are_those_of_the_rows(client, house):
    make.identity("etl_reader")
    make.detected("etl_reader")
    page = client.get("/metrics").content.decode()
    assert 'holdfast_decisions_total{verdict="contain"} 1.0' in page
    assert 'holdfast_runs{state="pending"} 1.0' in page
    assert "holdfast_detection_overdue_seconds 0.0" in page
    assert "etl_reader" not in page


def schema(client):
    answer = client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    return json.loads(answer.content)


def test_the_description_is_openapi_31_and_knows_every_route_of_v1(client):
    described = schema(client)
    assert described["openapi"].startswith("3.1")
    ours = {str(route.pattern) for entry in get_resolver().url_patterns for route in _below(entry, "api/v1/")}
    told = {path.removeprefix("/api/v1/") for path in described["paths"] if path.startswith("/api/v1/")}
    assert told == {_as_openapi(path) for path in ours}


def test_the_description_knows_every_route_of_the_guard_with_examples_that_are_good(client):
    from api.access import described, urls
    from sources import authzen, reports

    paths = {path: what for path, what in schema(client)["paths"].items() if not path.startswith("/api/v1/")}
    assert set(paths) == {f"/{_as_openapi(str(route.pattern))}" for route in urls.urlpatterns}
    for path, what in paths.items():
        for method in what.values():
            assert method["summary"], path
            assert {"200", "202"} & set(method["responses"]), path
    names = {parameter["name"] for parameter in paths["/access/v1/contained"]["get"]["parameters"]}
    assert names == {"after", "as_of", "wait"}
    body = paths["/access/v1/reports"]["post"]["requestBody"]["content"]["application/json"]
    for item in body["example"]["reports"]:
        reports.read(item, provider="holdfast")
    authzen.read(described.SUBMITTED)
    assert len({method["operationId"] for what in paths.values() for method in what.values()}) == len(paths)


def _below(entry, prefix):
    if getattr(entry, "url_patterns", None) is None:
        return []
    if str(entry.pattern) == prefix:
        return entry.url_patterns
    return [found for inner in entry.url_patterns for found in _below(inner, prefix)]


def _as_openapi(path: str) -> str:
    return re.sub(r"<(?:uuid|str):(\w+)>", r"{\1}", path)


def test_every_operation_says_what_it_needs_and_how_it_refuses(client):
    for path, methods in schema(client)["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/.well-known/"):
                assert operation["security"] == [{}], (method, path)  # where to ask stands open
                continue
            assert "Needs `" in operation["description"], (method, path)
            assert {"401", "403"} <= set(operation["responses"]), (method, path)
            assert operation["security"], (method, path)
            if "requestBody" in operation:
                asks = path.startswith("/access/")  # whose standard knows 400 alone for a body that is wrong
                wrong = {"400", "413"} if asks else {"400", "413", "415", "422"}
                assert wrong <= set(operation["responses"]), (method, path)


def test_the_example_of_the_description_is_a_detection_and_the_schema_names_all_members(client):
    assert native.read(examples.DETECTION).external_id == "a-1001"
    assert set(examples.DETECTION_SCHEMA["properties"]) == native.MEMBERS
    operation = schema(client)["paths"]["/api/v1/detections"]["post"]
    shown = operation["requestBody"]["content"]["application/json"]["examples"]
    assert next(iter(shown.values()))["value"] == examples.DETECTION


def test_every_operation_has_a_name_of_its_own(client, capfd):
    names = [operation["operationId"] for methods in schema(client)["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert {"holds_list", "holds_retrieve", "holds_answer_create", "detections_create"} <= set(names)
    assert "Warning" not in capfd.readouterr().err


def test_people_do_what_no_token_does(client):
    paths = schema(client)["paths"]
    assert paths["/api/v1/holds/{key}/answer"]["post"]["security"] == [{"session": []}]
    assert paths["/api/v1/detections"]["post"]["security"] == [{"token": []}]
    assert {"token": []} in paths["/api/v1/runs"]["get"]["security"]


def test_the_readable_description_loosens_the_policy_for_styles_alone(client):
    answer = client.get("/api/docs/")
    assert answer.status_code == 200
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert policy.count("unsafe-inline") == 1
    assert "unsafe-inline" in policy.partition("style-src")[2].partition(";")[0]
