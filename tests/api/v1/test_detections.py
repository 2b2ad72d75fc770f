"""Detections by the door: what is stored, what is told, and that nothing is stored of what is refused."""

import json
from datetime import timedelta

import pytest
from django.db import OperationalError

from api import examples
from audit import clock
from audit.models import AuditEntry
from containment import flow
from containment.models import Detection, DetectionBody, Identity, RiskPolicyVersion, Source
from playbooks.models import Run
from tests import make

pytestmark = pytest.mark.django_db

DETECTIONS = "/api/v1/detections"
BATCH = "/api/v1/detections/batch"


@pytest.fixture
def house(connected):
    make.house()
    make.workflow("ingest", [{"action": "data.read", "resource": "ingest.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")


@pytest.fixture
def edr(house, program):
    return program("detections.write", "read")


@pytest.fixture
def bare(program):
    """The same token in a house where nothing is set up: what is refused needs no more."""
    return program("detections.write")


def test_the_detection_of_the_contract_is_contained_with_the_risk_of_the_contract(edr):
    said = edr.post(DETECTIONS, examples.DETECTION)
    assert said.status == 201
    decision = said.body["decision"]
    assert (decision["verdict"], decision["stage"], decision["risk"]) == ("contain", "hard", 85.5)
    assert decision["thresholds"] == {"soft": 40.0, "hard": 70.0}
    secret_read = next(signal for signal in decision["signals"] if signal["code"] == "unexpected_secret_read")
    assert (secret_read["family"], secret_read["strength"], secret_read["decibans"]) == ("scope", 1.0, 24.0)
    assert decision["digest"].startswith("sha256:")
    assert said.body["run"]["state"] == "pending"
    assert said.body["hold"] is None
    assert said.body["case"]["url"] == f"/cases/{said.body['case']['id']}/"
    assert said.headers["Location"] == f"/api/v1/detections/{said.body['id']}"


def test_the_answer_has_the_members_that_the_documentation_shows(edr):
    answer = edr.post(DETECTIONS, examples.DETECTION).body
    assert set(answer) == set(examples.ANSWER)
    for part in ("decision", "case", "run"):
        assert set(answer[part]) == set(examples.ANSWER[part])
    assert set(answer["decision"]["signals"][0]) == set(examples.ANSWER["decision"]["signals"][0])


def test_the_same_detection_again_is_told_the_first_decision_and_how_it_stands_now(edr):
    first = edr.post(DETECTIONS, examples.DETECTION).body
    Run.objects.filter(pk=first["run"]["id"]).update(state="contained")
    again = edr.post(DETECTIONS, examples.DETECTION)
    assert again.status == 200
    assert again.body["duplicate"] is True
    assert again.body["differs"] is False
    assert again.body["id"] == first["id"]
    assert again.body["decision"] == first["decision"]
    assert again.body["run"] == {**first["run"], "state": "contained"}
    assert Detection.objects.count() == 1


def test_the_same_id_with_another_body_is_told_so_and_changes_nothing(edr):
    first = edr.post(DETECTIONS, examples.DETECTION).body
    again = edr.post(DETECTIONS, {**examples.DETECTION, "severity": "low"})
    assert (again.status, again.body["differs"]) == (200, True)
    assert again.body["decision"] == first["decision"]
    assert Detection.objects.get().severity == "high"


def test_a_hold_is_told_with_its_deadline_and_the_digest_to_answer(edr):
    pay = make.identity("payments_writer", known_networks=[])
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(pay, "pay-main", workflow="payments")
    make.designation(pay, "pay-main", schemas=["payments"])
    said = edr.post(DETECTIONS, make.message("payments_writer", session=None))
    assert said.body["decision"]["verdict"] == "hold"
    assert said.body["run"]["state"] == "waiting"
    assert set(said.body["hold"]) >= {"state", "deadline", "plan_digest", "on_lapse"}
    assert said.body["hold"]["state"] == "open"


def test_a_watched_detection_has_neither_run_nor_hold(edr):
    said = edr.post(DETECTIONS, make.message("etl_reader", claims=[], severity="low", action={"name": "data.read"}, resource=None))
    assert said.status == 201
    assert (said.body["decision"]["verdict"], said.body["run"], said.body["hold"]) == ("watch", None, None)


def test_without_a_policy_a_detection_is_stored_and_decided_later(edr):
    RiskPolicyVersion.objects.update(state="draft")
    said = edr.post(DETECTIONS, examples.DETECTION)
    assert said.status == 202
    assert (said.body["decision"], said.body["run"]) == (None, None)
    waiting = Detection.objects.get()
    assert waiting.next_at is not None
    RiskPolicyVersion.objects.update(state="in_force")
    flow.decide_due(waiting.pk)
    again = edr.post(DETECTIONS, examples.DETECTION)
    assert (again.status, again.body["decision"]["verdict"]) == (200, "contain")


@pytest.mark.parametrize("trouble", [OperationalError("canceling statement due to lock timeout"), ZeroDivisionError()])
def test_trouble_while_deciding_costs_no_acknowledged_detection(edr, monkeypatch, trouble):
    def decide(*_, **__):
        raise trouble

    monkeypatch.setattr(flow, "_decide", decide)
    said = edr.post(DETECTIONS, examples.DETECTION)
    assert (said.status, said.body["decision"]) == (202, None)
    assert Detection.objects.filter(next_at__lte=clock.now() + timedelta(seconds=5)).exists()


def changed(path: str, value):
    message = json.loads(json.dumps(examples.DETECTION))
    *parents, last = path.split(".")
    place = message
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("severity", "terrible"),
        ("severity", None),
        ("confidence", 1.5),
        ("confidence", True),
        ("occurred_at", "yesterday"),
        ("occurred_at", "2026-11-22T10:00:00"),
        ("identity.kind", "robot"),
        ("identity.subject", None),
        ("identity", None),
        ("action.count", -1),
        ("action.count", 2.5),
        ("action.name", "DROP TABLE"),
        ("title", "  "),
        ("title", 5),
        ("external_id", "x" * 201),
        ("serverity", "high"),
        ("identity.team", "soc"),
        ("context", []),
    ],
)
def test_a_wrong_member_is_named_and_nothing_is_stored(bare, path, value):
    before = AuditEntry.objects.count(), Identity.objects.count()
    said = bare.post(DETECTIONS, changed(path, value))
    assert said.status == 422
    assert path in [fault["path"] for fault in said.body["errors"]]
    assert said.headers["Content-Type"] == "application/problem+json"
    assert not Detection.objects.exists()
    assert (AuditEntry.objects.count(), Identity.objects.count()) == before


def test_every_fault_is_named_at_once(bare):
    message = changed("severity", "terrible") | {"confidence": 7, "colour": "red"}
    assert {fault["path"] for fault in bare.post(DETECTIONS, message).body["errors"]} == {"severity", "confidence", "colour"}


@pytest.mark.parametrize(
    ("raw", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed"),
        (b'{"title": "a", "title": "b"}', "application/json", 400, "malformed"),
        (b'{"title": "a\\u0000"}', "application/json", 400, "malformed"),
        (b"[" * 100_000, "application/json", 400, "malformed"),
        (b"{}", "application/json; charset=utf-7", 415, "unsupported_media_type"),
        (b"{}", "application/json; charset=bogus", 415, "unsupported_media_type"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b'{"a": "' + b"x" * 1_048_576 + b'"}', "application/json", 413, "too_large"),
        (b"[]", "application/json", 422, "invalid"),
        (b"7", "application/json", 422, "invalid"),
    ],
)
def test_what_is_no_detection_is_refused_in_the_shape_of_the_contract(bare, raw, kind, status, code):
    said = bare("POST", DETECTIONS, raw=raw, kind=kind)
    assert (said.status, said.body["code"]) == (status, code)
    assert not Detection.objects.exists()


def test_a_source_speaks_for_itself_alone(edr, program):
    other = edr.post(DETECTIONS, {**examples.DETECTION, "source": "siem"})
    assert (other.status, other.body["code"]) == (403, "out_of_source")
    unknown = program("detections.write", source="nowhere").post(DETECTIONS, make.message())
    assert unknown.status == 403
    Source.objects.update(providers=["okta"])
    assert edr.post(DETECTIONS, examples.DETECTION).status == 403
    assert not Detection.objects.exists()


def test_the_door_opens_only_for_the_scope(program, person, nobody):
    assert nobody.post(DETECTIONS, examples.DETECTION).status == 401
    assert program("read").post(DETECTIONS, examples.DETECTION).status == 403
    assert person("mara").post(DETECTIONS, examples.DETECTION).status == 403
    assert program("detections.write").get(DETECTIONS).status == 403


def test_a_list_is_taken_item_by_item(edr):
    edr.post(DETECTIONS, examples.DETECTION)
    said = edr.post(BATCH, [make.message(), changed("severity", "terrible"), examples.DETECTION, 7, {**make.message(), "source": "siem"}])
    assert said.status == 202
    assert {name: said.body[name] for name in ("accepted", "duplicates", "refused")} == {"accepted": 1, "duplicates": 1, "refused": 3}
    assert [item["status"] for item in said.body["results"]] == [202, 422, 200, 422, 403]
    assert [fault["path"] for fault in said.body["results"][1]["errors"]] == ["[1].severity"]
    assert [fault["path"] for fault in said.body["results"][3]["errors"]] == ["[3]"]
    assert Detection.objects.count() == 2


def test_lines_are_taken_line_by_line_and_a_broken_one_is_its_own_fault(edr):
    lines = [json.dumps(make.message()), '{"title": "a\\u0000"}', "{", json.dumps(make.message())]
    said = edr("POST", BATCH, raw="\n".join(lines).encode(), kind="application/x-ndjson")
    assert [item["status"] for item in said.body["results"]] == [202, 400, 400, 202]
    assert said.body["results"][1]["errors"][0]["path"] == "[1].title"
    assert Detection.objects.filter(state="received", next_at__isnull=False).count() == 2


def test_the_same_detection_twice_in_one_batch_is_stored_once(edr):
    said = edr.post(BATCH, [examples.DETECTION, examples.DETECTION])
    assert [item["status"] for item in said.body["results"]] == [202, 200]
    assert said.body["results"][0]["id"] == said.body["results"][1]["id"]


def test_a_large_batch_is_stored_whole_and_in_order(edr):
    messages = [make.message() for _ in range(250)]
    said = edr.post(BATCH, messages)
    assert said.body["accepted"] == 250
    assert [item["index"] for item in said.body["results"]] == list(range(250))
    stored = Detection.objects.in_bulk([item["id"] for item in said.body["results"]])
    assert len(stored) == 250


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b"[" + b"{}," * 1000 + b"{}]", "application/json", 413),
        (b" " * (8 * 1024 * 1024 + 1), "application/json", 413),
        (b"[{]", "application/json", 400),
        (b"[]", "text/csv", 415),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(bare, raw, kind, status):
    assert bare("POST", BATCH, raw=raw, kind=kind).status == status


def test_what_was_posted_can_be_read_and_holds_no_secret(edr):
    secret = "hunter2-hunter2"
    message = make.message(credential={"kind": "api_key", "id": secret})
    answer = edr.post(DETECTIONS, message).body
    said = edr.get(f"{DETECTIONS}/{answer['id']}")
    assert said.status == 200
    assert said.body["action"] == {"name": "secret.read", "count": 3}
    assert said.body["resource"]["id"] == "vault.card_tokens"
    assert {part: said.body[part] for part in ("decision", "case", "run", "hold")} == {
        part: answer[part] for part in ("decision", "case", "run", "hold")
    }
    assert secret not in json.dumps(said.body)
    assert secret not in DetectionBody.objects.get().content
