"""The seed: a trial begins whole, `access.json` opens every door that it names, and a restart takes nothing from people."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from accounts import tokens
from accounts.models import Person, ServiceToken
from accounts.roles import Role
from audit.models import AuditEntry
from containment import policies
from containment.models import (
    Activity,
    Baseline,
    Designation,
    Detection,
    Identity,
    RiskPolicyVersion,
    Session,
    Source,
    WorkDocument,
)
from playbooks.models import PlaybookVersion
from tests.trial.begun import begun
from trial.agent.words import TOKEN
from trial.estate import Estate
from trial.seed import ACCESS, seed
from trial.workloads.telling import TOKEN as ACTIVITY_TOKEN

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8000"
PEOPLE = {"analyst", "analyst2", "manager", "manager2", "engineer", "auditor", "admin"}


@pytest.fixture
def fresh_home(tmp_path: Path) -> Path:
    return tmp_path


def test_access_json_opens_every_door_that_it_names(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    access = _access(fresh_home)
    assert stat.S_IMODE((fresh_home / ACCESS).stat().st_mode) == 0o600
    assert set(access) == {"url", "users", "tokens", "estate"}
    assert set(access["users"]) == PEOPLE
    assert set(access["tokens"]) == {"detections", "guard", "activity", "read"}
    for username, user in access["users"].items():
        assert Person.objects.get(username=username).check_password(user["password"])
    assert tokens.find(access["tokens"]["detections"]).source == "edr-prod"
    assert tokens.find(access["tokens"]["activity"]).source == "estate-activity"
    assert access["estate"]["dsn"] == built.dsn


def test_the_agents_token_speaks_for_the_agent_and_stays_the_same(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    text = json.loads((fresh_home / TOKEN).read_text())["token"]
    agent = Identity.objects.get(subject="invoice-agent")
    assert (tokens.find(text).speaks_for, agent.discovered_at) == (str(agent.ref), None)
    seed(fresh_home, url=URL, estate=built)
    assert json.loads((fresh_home / TOKEN).read_text())["token"] == text
    ServiceToken.objects.filter(name="invoice-agent").update(speaks_for="")
    seed(fresh_home, url=URL, estate=built)
    assert tokens.find(json.loads((fresh_home / TOKEN).read_text())["token"]).speaks_for == str(agent.ref)


def test_nobody_who_may_answer_a_hold_owns_the_token_that_asked_for_it(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    owners = {token.owner for token in ServiceToken.objects.select_related("owner")}
    assert not any({Role.ANALYST, Role.MANAGER} & owner.roles for owner in owners)


def test_what_must_not_be_cut_without_a_person_is_designated_by_two(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    found = {one.session_name: one for one in Designation.objects.select_related("requester", "granter")}
    assert {name: one.kind for name, one in found.items()} == {"pay-main": "payment", "train-7": "long_running_job"}
    assert all(one.granted_at and one.granter and one.granter != one.requester for one in found.values())
    assert found["pay-main"].must_go_on == {"schemas": ["payments"], "reconnect": True}


def test_every_workload_is_listed_with_where_it_comes_from(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    names = {"etl-main", "pay-main", "rep-daily", "rep-audit", "rep-adhoc", "train-7"}
    sessions = Session.objects.all()
    assert {session.external_id for session in sessions} == names
    assert all(session.origin == {"address": "127.0.0.1", "application": session.external_id} for session in sessions)
    assert {document.state for document in WorkDocument.objects.all()} == {"in_force"}
    assert Identity.objects.get(subject="estate_admin").protected
    shared = Identity.objects.get(subject="reports_shared").credential_uses.values_list("workflow", flat=True)
    assert sorted(shared) == ["adhoc", "audit", "daily"]


def test_everybody_has_a_past_of_two_weeks_that_fits_what_the_workloads_do(fresh_home: Path, built: Estate) -> None:
    """More than the policy's minimum, and no rate in it that an hour of the running trial would leave."""
    begun(fresh_home, URL, built)
    own = {str(one.identity.subject): one for one in Baseline.objects.select_related("identity").filter(workflow="")}
    assert own.keys() >= {"etl_reader", "payments_writer", "reports_shared", "trainer", "invoice-agent", "shop-api"}
    assert all(one.events >= 200 and len(one.learned["days"]) >= 7 for one in own.values())
    peaks = {subject: one.learned["windows"]["minute"][6][0][0] for subject, one in own.items()}
    assert round(peaks["etl_reader"]) == 120  # two batches a second
    assert round(peaks["payments_writer"]) == 60  # a payment a second
    assert not Activity.objects.exists()  # nothing raw is made up
    assert not Detection.objects.exists()


def test_the_workloads_get_a_token_for_telling_and_for_nothing_else(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    token = tokens.find(json.loads((fresh_home / ACTIVITY_TOKEN).read_text())["token"])
    assert (list(token.scopes), token.source) == (["detections.write"], "estate-activity")
    assert Source.objects.get(name="estate-activity").ceiling == "watch"


def test_a_second_start_changes_nothing_but_the_address(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    before, entries = _access(fresh_home), AuditEntry.objects.count()
    Identity.objects.filter(subject="trainer").update(reach="narrow")
    Session.objects.filter(external_id="rep-daily").update(gate="paused")
    seed(fresh_home, url="http://127.0.0.1:9000", estate=built)
    assert _access(fresh_home) == before | {"url": "http://127.0.0.1:9000"}
    assert AuditEntry.objects.count() == entries
    assert Identity.objects.get(subject="trainer").reach == "narrow"
    assert Session.objects.get(external_id="rep-daily").gate == "paused"


def test_a_lost_access_json_is_made_anew_and_opens_the_doors_again(fresh_home: Path, built: Estate) -> None:
    begun(fresh_home, URL, built)
    (fresh_home / ACCESS).unlink()
    seed(fresh_home, url=URL, estate=built)
    access = _access(fresh_home)
    assert Person.objects.count() == len(PEOPLE)
    assert Person.objects.get(username="analyst").check_password(access["users"]["analyst"]["password"])
    assert tokens.find(access["tokens"]["read"])


def test_an_empty_trial_observes_and_lists_nobody(fresh_home: Path) -> None:
    seed(fresh_home, url=URL, estate=None)
    assert set(_access(fresh_home)) == {"url", "users", "tokens"}
    assert not Identity.objects.exists()
    assert not (fresh_home / TOKEN).exists()
    assert policies.document(policies.in_force().text).default_mode == "observe"
    assert PlaybookVersion.objects.filter(state="in_force").exists()


def test_an_empty_trial_that_is_given_an_estate_later_keeps_what_was_discovered(fresh_home: Path, built: Estate) -> None:
    seed(fresh_home, url=URL, estate=None)
    now = RiskPolicyVersion.objects.get().drafted_at
    found = Identity.objects.create(provider="postgres", subject="etl_reader", kind="workload", discovered_at=now, created_at=now)
    begun(fresh_home, URL, built)
    found.refresh_from_db()
    assert (found.kind, found.discovered_at) == ("service_account", None)


def _access(home: Path) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((home / ACCESS).read_text())
    return kept
