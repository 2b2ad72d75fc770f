"""What people do through the API: answer a hold, undo a run, ask for and sign an exception."""

from datetime import timedelta

import pytest

from accounts.models import Person
from approvals.models import Answer, ExceptionGrant, Hold
from audit import clock
from audit.models import AuditEntry
from containment.models import Detection, Identity
from core.ids import uuid7
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def house(connected):
    make.house()
    make.workflow("ingest", [{"action": "data.read", "resource": "ingest.*"}])
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    pay = make.identity("payments_writer", known_networks=[], owner_team="payments-team")
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(pay, "pay-main", workflow="payments")
    make.designation(pay, "pay-main", schemas=["payments"])


@pytest.fixture
def hold() -> Hold:
    hold = make.detected("payments_writer", session=None).hold
    assert hold is not None
    return hold


def answering(hold: Hold, word: str, **more):
    return {"word": word, "plan_digest": hold.plan_digest, **more}


def path_of(hold: Hold) -> str:
    return f"/api/v1/holds/{hold.pk}/answer"


def test_contain_now_releases_the_run(person, hold):
    said = person("omar").post(path_of(hold), answering(hold, "approve"))
    assert said.status == 200
    assert (said.body["settled"], said.body["first"], said.body["hold"]["state"]) == (True, True, "approved")
    assert said.body["hold"]["answers"][0]["person"] == "Omar"
    assert Run.objects.get().state == "pending"


def test_leave_it_running_takes_a_reason(person, hold):
    without = person("omar").post(path_of(hold), answering(hold, "reject"))
    assert (without.status, without.body["errors"][0]["path"]) == (422, "reason")
    said = person("omar").post(path_of(hold), answering(hold, "reject", reason="month end"))
    assert (said.status, said.body["hold"]["state"]) == (200, "rejected")


def test_the_same_answer_again_is_told_the_first_one(person, hold):
    omar = person("omar")
    first = omar.post(path_of(hold), answering(hold, "approve"))
    again = omar.post(path_of(hold), answering(hold, "approve"))
    assert (again.status, again.body["first"], again.body["settled"]) == (200, False, False)
    assert again.body["hold"] == first.body["hold"]
    assert Answer.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"deadline": timedelta(seconds=-1)}, "too_late"),
        ({"digest": "sha256:" + "0" * 64}, "plan_changed"),
        ({"state": "withdrawn"}, "already_ended"),
    ],
)
def test_an_answer_that_comes_to_nothing_is_a_conflict_with_its_code(person, hold, change, code):
    body = answering(hold, "approve")
    if "deadline" in change:
        Hold.objects.update(deadline=clock.now() + change["deadline"])
    if "state" in change:
        Hold.objects.update(state="withdrawn", closed_at=clock.now())
    if "digest" in change:
        body["plan_digest"] = change["digest"]
    said = person("omar").post(path_of(hold), body)
    assert (said.status, said.body["code"]) == (409, code)
    assert Run.objects.get().state == "waiting"
    assert not Answer.objects.exists()


def test_who_may_not_answer_is_told_before_anything_else(person, program, nobody, hold):
    Hold.objects.update(deadline=clock.now() - timedelta(seconds=1))
    assert nobody.post(path_of(hold), answering(hold, "approve")).status == 401
    assert person("wren").post(path_of(hold), answering(hold, "approve")).status == 403
    every = program("read", "detections.write", "guard.ask", "sessions.write", owner="omar")
    assert every.post(path_of(hold), answering(hold, "approve")).status == 403


def test_the_owner_of_the_token_that_reported_it_does_not_answer(person, program):
    reporter = program("detections.write", owner="omar")
    answer = reporter.post("/api/v1/detections", make.message("payments_writer", session=None)).body
    held = Hold.objects.get(pk=answer["hold"]["id"])
    said = person("omar").post(path_of(held), answering(held, "approve"))
    assert (said.status, said.body["code"]) == (403, "not_yours")


def test_more_time_is_asked_for_once_per_deadline_that_was_read(person, hold):
    omar = person("omar")
    read = omar.get(f"/api/v1/holds/{hold.pk}").body["deadline"]
    for _ in range(2):
        assert omar.post(path_of(hold), {"word": "extend", "deadline": read, "reason": "asking the owner"}).status == 200
    after = Hold.objects.get(pk=hold.pk)
    assert (after.extensions, after.state) == (1, "open")
    assert after.deadline > hold.deadline


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "word"),
        ({"word": "contain"}, "word"),
        ({"word": "approve"}, "plan_digest"),
        ({"word": "approve", "plan_digest": 5}, "plan_digest"),
        ({"word": "approve", "plan_digest": "x", "note": "hm"}, "note"),
        ({"word": "extend", "deadline": "2026-11-22T10:00:00"}, "deadline"),
    ],
)
def test_an_answer_that_is_none_is_refused_with_its_member(person, hold, body, path):
    said = person("omar").post(path_of(hold), body)
    assert (said.status, [fault["path"] for fault in said.body["errors"]]) == (422, [path])


def test_an_answer_to_a_hold_that_is_not_there_is_404(person):
    assert person("omar").post(f"/api/v1/holds/{uuid7()}/answer", {"word": "approve", "plan_digest": "x"}).status == 404


# -- undo --------------------------------------------------------------------------------------------------------------------------------
def contained() -> Run:
    run = make.detected("etl_reader").run
    assert run is not None
    Run.objects.filter(pk=run.pk).update(state="contained", next_at=None, contained_at=clock.now())
    return run


def test_a_manager_undoes_a_contained_run_and_the_trail_says_why(person):
    run = contained()
    said = person("mara").post(f"/api/v1/runs/{run.pk}/undo", {"reason": "it was the migration"})
    assert (said.status, said.body["state"]) == (202, "undoing")
    assert said.body["undo_reason"] == "it was the migration"
    assert "it was the migration" in AuditEntry.objects.get(verb="run.undo_requested").body


@pytest.mark.parametrize("state", ["waiting", "pending", "running", "undone", "withdrawn"])
def test_a_run_that_did_not_come_to_rest_cannot_be_undone(person, state):
    run = contained()
    Run.objects.filter(pk=run.pk).update(state=state)
    said = person("mara").post(f"/api/v1/runs/{run.pk}/undo", {"reason": "no"})
    assert (said.status, said.body["code"]) == (409, "not_undoable")


def test_undoing_takes_a_manager_and_a_reason(person, program):
    run = contained()
    path = f"/api/v1/runs/{run.pk}/undo"
    assert person("ines").post(path, {"reason": "no"}).status == 403
    assert program("read", owner="mara").post(path, {"reason": "no"}).status == 403
    for body in ({}, {"reason": " "}, {"reason": 7}):
        assert person("mara").post(path, body).status == 422
    assert person("mara").post(f"/api/v1/runs/{uuid7()}/undo", {"reason": "no"}).status == 404
    assert Run.objects.get().state == "contained"


@pytest.mark.parametrize("state", ["partial", "needs_human"])
def test_a_manager_accepts_as_it_is_what_did_not_end_whole(person, state):
    run = contained()
    path = f"/api/v1/runs/{run.pk}/accept"
    assert person("mara").post(path, {"reason": "it is gone"}).body["code"] == "not_acceptable"
    Run.objects.filter(pk=run.pk).update(state=state)
    assert person("ines").post(path, {"reason": "it is gone"}).status == 403
    assert person("mara").post(path, {"reason": " "}).status == 422
    said = person("mara").post(path, {"reason": "it is gone"})
    assert (said.status, said.body["state"]) == (200, "accepted")
    assert person("mara").post(f"/api/v1/runs/{uuid7()}/accept", {"reason": "no"}).status == 404


# -- exceptions --------------------------------------------------------------------------------------------------------------------------
EXCEPTIONS = "/api/v1/exceptions"


def asking(**changes):
    now = clock.now()
    body = {
        "scope": {"action": "secret.read", "resource": "vault.*"},
        "reason": "key rotation",
        "ticket": "OPS-1",
        "starts_at": (now - timedelta(minutes=1)).isoformat(),
        "ends_at": (now + timedelta(hours=2)).isoformat(),
        "budget": {"count": 3, "risk": 300},
    }
    return {**body, **changes}


def test_one_asks_and_another_signs(person):
    asked = person("ines").post(EXCEPTIONS, asking())
    assert (asked.status, asked.body["state"], asked.body["requester"]) == (201, "pending", "Ines")
    path = asked.headers["Location"]
    assert person("ines").post(f"{path}/grant").status == 403
    signed = person("mara").post(f"{path}/grant")
    assert (signed.status, signed.body["state"], signed.body["granter"]) == (200, "granted", "Mara")
    assert person("ines").get(path).body["budget"] == {"count": 3, "risk": 300.0, "used_count": 0, "used_risk": 0.0}


def test_nobody_signs_what_they_asked_for(person):
    path = person("mara").post(EXCEPTIONS, asking()).headers["Location"]
    said = person("mara").post(f"{path}/grant")
    assert (said.status, said.body["code"]) == (403, "not_yours")
    assert ExceptionGrant.objects.get().state == "asked"


def test_nobody_signs_for_their_own_identity(person):
    mara = make.identity("mara", provider="okta", kind="human")
    Person.objects.filter(username="mara").update(identity_ref=str(mara.ref))
    path = person("ines").post(EXCEPTIONS, asking(scope={"identity": str(mara.pk)})).headers["Location"]
    assert person("mara").post(f"{path}/grant").status == 403


def test_refused_and_revoked_say_why_and_end_it(person):
    refused = person("ines").post(EXCEPTIONS, asking()).headers["Location"]
    assert person("mara").post(f"{refused}/refuse", {}).status == 422
    assert person("mara").post(f"{refused}/refuse", {"reason": "not now"}).body["state"] == "refused"
    assert person("mara").post(f"{refused}/grant").body["code"] == "already_ended"


def test_revoking_has_what_it_spared_judged_again(person):
    path = (
        person("ines").post(EXCEPTIONS, asking(scope={"identity": str(Identity.objects.get(subject="etl_reader").pk)})).headers["Location"]
    )
    person("mara").post(f"{path}/grant")
    spared = make.detected("etl_reader")
    assert spared.verdict == "exempt"
    said = person("mara").post(f"{path}/revoke", {"reason": "it was abused"})
    assert said.body["state"] == "revoked"
    again = Detection.objects.get(pk=spared.detection_id)
    assert (again.state, again.next_at is not None) == ("received", True)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"scope": {}}, ["scope"]),
        ({"scope": {"colour": "red"}}, ["scope.colour"]),
        ({"scope": "everything"}, ["scope"]),
        ({"reason": ""}, ["reason"]),
        ({"ends_at": "2020-01-01T00:00:00Z"}, ["ends_at", "ends_at"]),
        ({"starts_at": "2026-11-22T10:00:00"}, ["starts_at"]),
        ({"budget": {"count": 0, "risk": 1}}, ["budget.count"]),
        ({"budget": {"count": 1}}, ["budget.risk"]),
        ({"budget": {"count": True, "risk": 1}}, ["budget.count"]),
        ({"forever": True}, ["forever"]),
    ],
)
def test_an_exception_that_makes_no_sense_is_refused_with_its_members(person, change, paths):
    said = person("ines").post(EXCEPTIONS, asking(**change))
    assert (said.status, [fault["path"] for fault in said.body["errors"]]) == (422, paths)
    assert not ExceptionGrant.objects.exists()


def test_an_exception_for_longer_than_a_month_is_refused(person):
    far = (clock.now() + timedelta(days=40)).isoformat()
    assert person("ines").post(EXCEPTIONS, asking(ends_at=far)).body["errors"][0]["path"] == "ends_at"


def test_asking_takes_the_role(person, program):
    assert person("wren").post(EXCEPTIONS, asking()).status == 403
    assert program("read", owner="ines").post(EXCEPTIONS, asking()).status == 403
    assert cast.person("enzo").may("exception.ask") is False


# -- cases -------------------------------------------------------------------------------------------------------------------------------
def test_an_analyst_says_what_a_case_was(person, program):
    case = contained_case()
    path = f"/api/v1/cases/{case}/verdict"
    said = person("ines").post(path, {"verdict": "benign", "reason": "a migration"})
    assert (said.status, said.body["verdict"], said.body["verdict_reason"]) == (200, "benign", "a migration")
    assert person("wren").post(path, {"verdict": "benign", "reason": "x"}).status == 403
    assert program("read", owner="ines").post(path, {"verdict": "benign", "reason": "x"}).status == 403
    assert [fault["path"] for fault in person("ines").post(path, {"verdict": "fine"}).body["errors"]] == ["verdict", "reason"]
    assert person("ines").post(f"/api/v1/cases/{uuid7()}/verdict", {"verdict": "benign", "reason": "x"}).status == 404


def contained_case() -> str:
    return str(make.detected("etl_reader").case_id)
