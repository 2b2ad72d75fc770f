"""Sessions of runtimes: registered inside a profile, read before each call, narrowed, ended."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import Person
from audit import clock
from audit.models import AuditEntry
from containment import sessions
from containment.gate import Gate
from containment.models import Designation, Identity, Session, WorkDocument
from core.actor import SYSTEM
from core.digest import digest
from core.ids import uuid7
from playbooks.models import Run
from tests import cast, make
from tests.api.v1.conftest import Caller

pytestmark = pytest.mark.django_db

SESSIONS = "/api/v1/sessions"
PROFILE = {
    "scope": [{"action": "data.read", "resource": "invoices.*"}],
    "tools": [{"name": "invoices.read", "writes": False}, {"name": "mail.*", "writes": True}],
    "environments": ["prod"],
    "ttl_minutes": 60,
}


@pytest.fixture(autouse=True)
def profile():
    now = clock.now()
    WorkDocument.objects.create(
        kind="agent_profile",
        name="invoices",
        version=1,
        body=PROFILE,
        digest=digest(PROFILE),
        state="in_force",
        author_id=UUID(cast.person("enzo").principal),
        approver_id=UUID(cast.person("mara").principal),
        drafted_at=now,
        in_force_at=now,
    )


@pytest.fixture
def runtime(program):
    return program("sessions.write", source="")


def beginning(**changes):
    body = {
        "identity": {"kind": "ai_agent", "provider": "holdfast", "subject": "invoice-agent"},
        "id": "inv-1",
        "intent": {"profile": "invoices", "tools": ["invoices.read", "mail.send"]},
        "role": "cfo",
        "ttl_seconds": 3600,
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def test_an_agent_begins_and_reads_that_it_may_go_on(runtime, program):
    said = runtime.post(SESSIONS, beginning())
    assert said.status == 201
    assert (said.body["state"], said.body["name"], said.body["expires_at"] is not None) == ("active", "inv-1", True)
    for place in (said.headers["Location"], f"{SESSIONS}/inv-1"):
        assert runtime.get(place).body["state"] == "active"
        assert program("guard.ask", source="").get(place).status == 200


def test_what_a_client_says_of_its_role_stays_a_claim(runtime):
    said = runtime.post(SESSIONS, beginning(workflow="payments", tenant="acme", drive="human")).body
    assert (said["role"], said["workflow"], said["tenant"], said["drive"]) == ("", "", "", "")
    assert said["claimed"] == {"role": "cfo", "workflow": "payments", "tenant": "acme", "drive": "human"}


def test_registering_again_finds_the_first_and_somebody_else_is_refused(runtime, program):
    first = runtime.post(SESSIONS, beginning())
    again = runtime.post(SESSIONS, beginning())
    assert (again.status, again.body["id"]) == (200, first.body["id"])
    other = program("sessions.write", source="", owner="omar").post(SESSIONS, beginning())
    assert (other.status, other.body["code"]) == (409, "session_exists")
    assert AuditEntry.objects.filter(verb="session.registered").count() == 1


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"intent": {"profile": "root"}}, ["intent.profile"]),
        ({"intent": {"profile": "invoices", "tools": ["shell.run"]}}, ["intent.tools[0]"]),
        ({"intent": {"profile": "invoices", "tools": ["*"]}}, ["intent.tools[0]"]),
        ({"intent": {"profile": "invoices", "environments": ["prod", "test"]}}, ["intent.environments[1]"]),
        ({"intent": {"profile": "invoices", "scope": [{"action": "data.read"}]}}, ["intent.scope[0]"]),
        ({"intent": {"profile": "invoices", "scope": [{"action": "secret.read", "resource": "invoices.x"}]}}, ["intent.scope[0]"]),
        ({"intent": {"profile": "invoices", "tools": [{"name": "invoices.read", "writes": True}]}}, ["intent.tools[0]"]),
        ({"intent": {"profile": "invoices", "resources": ["invoices.*"]}}, ["intent.resources[0]"]),
        ({"intent": {"profile": "invoices", "budgets": {"calls": 4}}}, ["intent.budgets.calls"]),
        ({"intent": {"profile": "invoices", "budgets": {"calls_per_day": "many"}}}, ["intent.budgets.calls_per_day"]),
        ({"intent": {"profile": "invoices", "bounds": {"mail.send": 5}}}, ["intent.bounds.mail.send"]),
        ({"intent": {"profile": "invoices", "bounds": {"mail.send": {"to": {}}}}}, ["intent.bounds.mail.send.to"]),
        ({"ttl_seconds": 3601}, ["ttl_seconds"]),
        ({"ttl_seconds": None}, ["ttl_seconds"]),
        ({"ttl_seconds": 0}, ["ttl_seconds"]),
        ({"parent": str(uuid7())}, ["parent"]),
        ({"parent": "inv-0"}, ["parent"]),
        ({"identity": {"kind": "ai_agent"}}, ["identity.provider", "identity.subject"]),
        ({"id": None}, ["id"]),
        ({"critical": True}, ["critical"]),
    ],
)
def test_what_lies_outside_the_profile_or_makes_no_sense_is_refused_with_its_place(runtime, changes, paths):
    said = runtime.post(SESSIONS, beginning(**changes))
    assert (said.status, [fault["path"] for fault in said.body["errors"]]) == (422, paths)
    assert not Session.objects.exists()


def test_an_intent_inside_the_profile_is_taken(runtime):
    inside = {"profile": "invoices", "scope": [{"action": "data.read", "resource": "invoices.2026"}], "environments": ["prod"]}
    assert runtime.post(SESSIONS, beginning(intent=inside)).status == 201
    assert runtime.post(SESSIONS, beginning(intent=None, id="idle", ttl_seconds=None)).status == 201


def test_a_session_gives_rights_up_and_gets_none_back(runtime):
    place = runtime.post(SESSIONS, beginning()).headers["Location"]
    narrow = {"intent": {"profile": "invoices", "tools": ["invoices.read"]}, "ttl_seconds": 60}
    assert runtime("PATCH", place, narrow).body["intent"]["tools"] == ["invoices.read"]
    for wider in ({"intent": beginning()["intent"]}, {"ttl_seconds": 3600}, {"intent": {"profile": "other"}}):
        said = runtime("PATCH", place, wider)
        assert (said.status, said.body["code"]) == (409, "would_widen")


def test_a_sign_of_life_is_not_an_audit_entry(runtime):
    place = runtime.post(SESSIONS, beginning()).headers["Location"]
    entries, seen = AuditEntry.objects.count(), clock.now()
    assert runtime("PATCH", place, {}).status == 200
    assert AuditEntry.objects.count() == entries
    assert Session.objects.filter(last_seen_at__gt=seen).exists()


def test_a_paused_session_reads_that_it_is_paused_and_why(runtime):
    runtime.post(SESSIONS, beginning())
    session = Session.objects.get()
    Gate().set(str(session.identity_id), "inv-1", state="paused", because="it sends mail to strangers", key="k")
    said = runtime.get(f"{SESSIONS}/inv-1").body
    assert (said["state"], said["because"]) == ("paused", "it sends mail to strangers")
    assert runtime("PATCH", f"{SESSIONS}/{session.pk}", {}).body["state"] == "paused"


def test_a_child_of_a_paused_session_begins_paused(runtime):
    parent = runtime.post(SESSIONS, beginning()).body["id"]
    Gate().set(str(Session.objects.get().identity_id), "inv-1", state="paused", because="stop", key="k")
    other = {"kind": "ai_agent", "provider": "holdfast", "subject": "mail-agent"}
    assert runtime.post(SESSIONS, beginning(id="mail-1", identity=other, parent=parent)).body["state"] == "paused"


@pytest.mark.parametrize("state", ["paused", "restricted"])
def test_whoever_was_stopped_in_a_session_begins_no_other_one(runtime, state):
    first = runtime.post(SESSIONS, beginning()).headers["Location"]
    lead = {"kind": "ai_agent", "provider": "holdfast", "subject": "lead-agent"}
    parent = runtime.post(SESSIONS, beginning(id="lead-1", identity=lead)).body["id"]
    stopped = Session.objects.get(external_id="inv-1")
    Gate().set(str(stopped.identity_id), "inv-1", state=state, because="it sends mail to strangers", key="guard:1")
    for way in (beginning(id="inv-2"), beginning(id="inv-2", intent=None), beginning(id="inv-2", parent=parent)):
        said = runtime.post(SESSIONS, way)
        assert (said.status, said.body["code"]) == (409, "another_session_stopped")
        assert "a manager lets it go on" in said.body["detail"]
    said = runtime("DELETE", first)
    assert (said.status, said.body["code"]) == (409, "session_stopped"), "nor does it end it, and begin anew"
    assert runtime.post(SESSIONS, beginning()).body["state"] == state, "the same one is found, and stays as it is"
    Gate().set(str(stopped.identity_id), "inv-1", state="active", because="", key="")
    assert runtime.post(SESSIONS, beginning(id="inv-2")).status == 201
    assert runtime("DELETE", first).status == 204


def test_ending_the_session_that_it_worked_for_frees_nobody_who_was_stopped(runtime):
    other = {"kind": "ai_agent", "provider": "holdfast", "subject": "mail-agent"}
    parent = runtime.post(SESSIONS, beginning())
    runtime.post(SESSIONS, beginning(id="mail-1", identity=other, parent=parent.body["id"]))
    Gate().set(str(Session.objects.get(external_id="mail-1").identity_id), "mail-1", state="paused", because="stop", key="guard:1")
    assert runtime("DELETE", parent.headers["Location"]).body["code"] == "session_stopped"


def test_a_session_that_was_stopped_does_not_lapse(runtime):
    runtime.post(SESSIONS, beginning())
    Session.objects.update(gate="paused", expires_at=clock.now() - timedelta(days=2))
    assert sessions.lapse_due() == 0
    assert runtime.post(SESSIONS, beginning(id="inv-2")).body["code"] == "another_session_stopped"


def test_so_many_sessions_of_an_identity_live_and_no_more(runtime, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_LIVE", 2)
    assert [runtime.post(SESSIONS, beginning(id=f"inv-{n}")).status for n in range(2)] == [201, 201]
    said = runtime.post(SESSIONS, beginning(id="inv-2"))
    assert (said.status, said.body["code"]) == (409, "too_many_sessions")
    Session.objects.filter(external_id="inv-0").update(expires_at=clock.now() - timedelta(seconds=1))
    assert runtime.post(SESSIONS, beginning(id="inv-2")).status == 201, "one whose time is over takes nobody's place"


def test_a_session_that_was_told_of_is_taken_over_as_it_stands(runtime):
    agent = make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    make.session(agent, "inv-1", discovered_at=clock.now(), gate="paused", gate_because="stop", gate_key="k")
    make.session(agent, "inv-0", discovered_at=clock.now(), gate="ended", ended_at=clock.now())
    assert runtime.post(SESSIONS, beginning(id="inv-0")).body["code"] == "session_ended"
    said = runtime.post(SESSIONS, beginning())
    assert (said.status, said.body["state"], said.body["discovered_at"]) == (201, "paused", None)


# -- a token that is bound to one agent ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bound():
    """A token that is bound to invoice-agent."""
    agent = make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    enzo = Person.objects.get(pk=cast.person("enzo").principal)
    _, text = tokens.issue(name="t", owner=enzo, scopes=["sessions.write"], actor=SYSTEM, speaks_for=str(agent.ref))
    return Caller(Client(), text)


def test_a_bound_token_begins_sessions_of_its_own_agent_and_of_those_that_work_for_it(bound, runtime):
    other = {"kind": "ai_agent", "provider": "holdfast", "subject": "mail-agent"}
    mine = bound.post(SESSIONS, beginning())
    theirs = runtime.post(SESSIONS, beginning(id="mail-0", identity=other))
    assert (mine.status, theirs.status) == (201, 201)
    for way in (beginning(id="mail-1", identity=other), beginning(id="mail-1", identity=other, parent=theirs.body["id"])):
        said = bound.post(SESSIONS, way)
        assert (said.status, said.body["code"]) == (403, "not_its_identity")
    child = bound.post(SESSIONS, beginning(id="mail-1", identity=other, parent=mine.body["id"]))
    assert child.status == 201
    for method, body in (("PATCH", {}), ("DELETE", None)):
        assert bound(method, theirs.headers["Location"], body).body["code"] == "not_its_identity"
    assert bound("DELETE", child.headers["Location"]).status == 204


def test_a_bound_token_invents_nobody(bound):
    nobody = {"kind": "ai_agent", "provider": "holdfast", "subject": "nobody"}
    assert bound.post(SESSIONS, beginning(identity=nobody)).body["code"] == "not_its_identity"
    assert not Identity.objects.filter(subject="nobody").exists()


def test_a_bound_token_follows_its_agent_where_that_is_merged(bound):
    into = make.identity("invoicer", provider="holdfast", kind="ai_agent")
    Identity.objects.filter(subject="invoice-agent").update(merged_into=into)
    assert bound.post(SESSIONS, beginning()).status == 201
    assert Session.objects.get().identity == into


def test_a_contained_identity_begins_nothing_under_another_name(runtime, connected):
    make.house()
    runtime.post(SESSIONS, beginning())
    make.session(make.identity("etl_reader"), "etl-main")
    run = make.detected("etl_reader").run
    assert run is not None
    Run.objects.filter(pk=run.pk).update(identity_ref=str(Session.objects.get(external_id="inv-1").identity.ref), state="contained")
    said = runtime.post(SESSIONS, beginning(id="inv-2"))
    assert (said.status, said.body["code"]) == (409, "identity_contained")


def test_a_session_ends_once_and_does_not_come_back(runtime):
    place = runtime.post(SESSIONS, beginning()).headers["Location"]
    assert [runtime("DELETE", place).status for _ in range(2)] == [204, 204]
    assert runtime.get(place).body["state"] == "ended"
    assert runtime("PATCH", place, {}).body["code"] == "session_ended"
    assert runtime.post(SESSIONS, beginning()).body["code"] == "session_ended"
    assert AuditEntry.objects.filter(verb="session.ended").count() == 1


def test_only_who_registered_a_session_changes_it(runtime, program, person):
    place = runtime.post(SESSIONS, beginning()).headers["Location"]
    other = program("sessions.write", source="", owner="omar")
    assert other("PATCH", place, {}).status == 403
    assert other("DELETE", place).status == 403
    assert program("read").get(place).status == 200
    assert program("read")("DELETE", place).status == 403
    assert person("mara").post(SESSIONS, beginning()).status == 403


def test_a_name_that_several_identities_use_is_not_guessed(runtime):
    runtime.post(SESSIONS, beginning())
    runtime.post(SESSIONS, beginning(identity={"kind": "ai_agent", "provider": "holdfast", "subject": "other-agent"}))
    said = runtime.get(f"{SESSIONS}/inv-1")
    assert said.status == 404
    assert "id" in said.body["detail"]


def test_a_session_that_a_detection_named_is_taken_over_by_its_runtime(runtime, connected):
    make.house()
    make.detected(
        "invoice-agent",
        identity={"kind": "ai_agent", "provider": "holdfast", "subject": "invoice-agent"},
        session={"id": "inv-1", "role": "cfo"},
        claims=[],
        severity="low",
        action={"name": "data.read"},
        credential=None,
        resource=None,
    )
    found = Session.objects.get(external_id="inv-1")
    assert found.discovered_at is not None
    said = runtime.post(SESSIONS, beginning())
    assert (said.status, said.body["id"], said.body["discovered_at"]) == (201, str(found.pk), None)
    assert Session.objects.get().registered_by == str(Person.objects.get(username="enzo").pk)


def test_a_session_says_what_is_left_and_who_works_for_it(runtime):
    budgets = {"profile": "invoices", "budgets": {"writes_per_hour": 4}}
    first = runtime.post(SESSIONS, beginning(intent=budgets, heartbeat_seconds=30)).body
    child = runtime.post(SESSIONS, beginning(id="inv-2", intent=None, parent=first["id"])).body
    said = runtime.get(f"{SESSIONS}/{first['id']}").body
    assert said["budgets"] == [{"what": "writes", "per": "hour", "most": 4.0, "left": 4.0, "of": ""}]
    assert (said["children"], said["heartbeat_seconds"], child["parent"]) == (1, 30, first["id"])
    assert said["next_heartbeat_at"] > said["started_at"]
    shared = runtime.get(f"{SESSIONS}/{child['id']}").body["budgets"]
    assert [(one["left"], "inv-1" in one["of"]) for one in shared] == [(4.0, True)]
    assert [one["name"] for one in runtime.get(f"{SESSIONS}?parent={first['id']}").body["results"]] == ["inv-2"]


def test_a_sign_of_life_moves_the_next_one(runtime):
    first = runtime.post(SESSIONS, beginning(heartbeat_seconds=60)).body
    assert runtime("PATCH", f"{SESSIONS}/{first['id']}", {}).body["next_heartbeat_at"] > first["next_heartbeat_at"]


def test_how_critical_it_is_stays_a_claim(runtime):
    said = runtime.post(SESSIONS, beginning(business_critical={"because": "payroll runs tonight"}, environment="prod")).body
    assert said["claimed"] == {"role": "cfo", "environment": "prod", "business_critical": "payroll runs tonight"}
    assert Designation.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"business_critical": True}, ["business_critical"]),
        ({"business_critical": {"because": ""}}, ["business_critical.because"]),
        ({"heartbeat_seconds": 4}, ["heartbeat_seconds"]),
        ({"environment": "moon"}, ["environment"]),
        (
            {"intent": {"profile": "invoices", "tools": ["mail.*", "m?il.send", "mail.[st]*"], "environments": ["pr*"]}},
            ["intent.tools[1]", "intent.tools[2]", "intent.environments[0]"],
        ),
    ],
)
def test_a_registration_that_says_too_much_is_refused_with_every_place(runtime, changes, paths):
    said = runtime.post(SESSIONS, beginning(**changes))
    assert (said.status, [fault["path"] for fault in said.body["errors"]]) == (422, paths)


def test_a_stranger_has_nobody_work_for_a_session(runtime, program):
    parent = runtime.post(SESSIONS, beginning()).body["id"]
    said = program("sessions.write", source="", owner="omar").post(SESSIONS, beginning(id="inv-2", parent=parent))
    assert (said.status, said.body["code"]) == (403, "not_your_session")


def test_those_that_work_for_a_session_end_with_it(runtime):
    parent = runtime.post(SESSIONS, beginning())
    child = runtime.post(SESSIONS, beginning(id="inv-2", parent=parent.body["id"])).body["id"]
    runtime("DELETE", parent.headers["Location"])
    said = runtime.get(f"{SESSIONS}/{child}").body
    assert (said["state"], said["because"]) == ("ended", "the session inv-1, which it worked for, has ended")
