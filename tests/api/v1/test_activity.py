"""Activity by the door: one result per event, in their order; bad ones named with their path, good ones taken in all the same."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from api import examples
from audit.models import AuditEntry
from containment.models import Activity, Baseline, Detection, Identity, Resource, Source
from tests import make
from tests.feed import event, lived, workdays

pytestmark = pytest.mark.django_db
ACTIVITY = "/api/v1/activity"


@pytest.fixture
def feed(connected, program):
    make.house(teaches=True)
    make.workflow("ingest", [{"action": "data.*", "resource": "sales.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    return program("detections.write")


def test_the_events_that_the_documentation_shows_are_taken_in(feed):
    said = feed.post(ACTIVITY, examples.EVENTS)
    assert said.status == 202
    assert (said.body["accepted"], said.body["duplicates"], said.body["refused"], said.body["detections"]) == (2, 0, 0, 0)
    assert [result["learned"] for result in said.body["results"]] == [True, True]
    assert Activity.objects.get(external_id="ev-2").tool == "send_mail"
    assert Resource.objects.get(key="sales.orders").system == "sales-db"
    assert Identity.objects.get(subject="invoice-agent").kind == "ai_agent"


def test_lines_are_taken_in_as_well_as_a_list(feed):
    lines = "\n".join(json.dumps(event()) for _ in range(3)).encode()
    said = feed("POST", ACTIVITY, raw=lines, kind="application/x-ndjson")
    assert (said.status, said.body["accepted"]) == (202, 3)


def test_a_bad_event_is_named_with_its_path_and_does_not_spoil_the_others(feed):
    bad = event() | {"severity": "high"}
    bad["action"] = {"name": "Not A Word", "bytes": -1, "writes": "yes"}
    said = feed.post(ACTIVITY, [event(), bad, event()])
    assert [result["status"] for result in said.body["results"]] == [202, 422, 202]
    faults = {(fault["path"], fault["code"]) for fault in said.body["results"][1]["errors"]}
    assert faults == {
        ("[1].severity", "unknown_member"),
        ("[1].action.name", "wrong_form"),
        ("[1].action.bytes", "out_of_range"),
        ("[1].action.writes", "wrong_type"),
    }
    assert Activity.objects.count() == 2


def test_the_same_batch_again_is_told_so_and_learned_once(feed):
    batch = [event(key="a"), event(key="b")]
    feed.post(ACTIVITY, batch)
    said = feed.post(ACTIVITY, batch)
    assert (said.body["accepted"], said.body["duplicates"]) == (0, 2)
    assert [result["status"] for result in said.body["results"]] == [200, 200]
    assert {baseline.events for baseline in Baseline.objects.all()} == {2}


def test_a_source_speaks_only_about_its_kinds_and_providers(feed):
    Source.objects.filter(name="edr-prod").update(kinds=["service_account"], providers=["postgres"])
    elsewhere, person = event(), event()
    elsewhere["identity"] = elsewhere["identity"] | {"provider": "okta"}
    person["identity"] = {"kind": "human", "provider": "postgres", "subject": "ana"}
    said = feed.post(ACTIVITY, [elsewhere, person, event()])
    assert [(result["status"], result.get("code")) for result in said.body["results"]] == [
        (403, "out_of_source"),
        (403, "out_of_source"),
        (202, None),
    ]
    assert not Identity.objects.filter(subject="ana").exists()


def test_of_a_known_identity_the_inventory_s_kind_counts(feed):
    Source.objects.filter(name="edr-prod").update(kinds=["human"])
    make.identity("ana", kind="service_account")
    message = event("ana", session="")
    message["identity"]["kind"] = "human"
    assert feed.post(ACTIVITY, [message]).body["results"][0]["code"] == "out_of_source"


def test_another_source_in_the_body_is_refused(feed):
    said = feed.post(ACTIVITY, [event() | {"source": "somebody-else"}])
    assert said.body["results"][0]["status"] == 403


def test_what_leaves_the_usual_is_answered_with_its_detection(feed):
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    lived(workdays(20, 30, until=noon))
    said = feed.post(ACTIVITY, [event(action="secret.read", on="vault.card_tokens", at=noon, key="theft"), event(at=noon)])
    first, second = said.body["results"]
    assert said.body["detections"] == 1
    assert (first["learned"], second["learned"]) == (False, False)
    assert Detection.objects.get(pk=first["detection"]).external_id == "activity:theft"


def test_a_batch_is_one_entry_of_the_audit_trail(feed):
    feed.post(ACTIVITY, [event() for _ in range(5)])
    facts = json.loads(AuditEntry.objects.get(verb="activity.received").body)
    assert (facts["count"], facts["learned"], facts["identities"]) == (5, 5, 1)


@pytest.mark.parametrize("scopes", [("read",), ("guard.ask",), ("sessions.write",)])
def test_a_token_needs_the_scope_of_detections(feed, program, scopes):
    assert program(*scopes).post(ACTIVITY, [event()]).status == 403


def test_too_many_and_nothing_at_all_are_refused_whole(feed):
    assert feed.post(ACTIVITY, [event() for _ in range(1001)]).status == 413
    assert feed.post(ACTIVITY, []).status == 422
