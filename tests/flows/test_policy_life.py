"""The life of a policy version: whose word it takes, what the approver has to have seen, the ramp to enforce, and the way back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from accounts import people
from accounts.models import Person
from audit import clock
from audit.models import AuditEntry
from connectors import registry
from connectors.postgres import PostgresConnector
from containment import inventory, policies, policy_approvals, ramp
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.gate import Gate
from containment.models import Backtest, Decision, Identity, PolicyApproval, PreflightCheck, ProtectedConfirmation, RiskPolicyVersion
from containment.ramp import Point
from containment.refusals import ApprovedAlready, NotAcknowledged, NotAsShown, NotGreen, NotTested, NotThePerson, OwnApproval
from core.actor import SYSTEM
from core.refusals import BadInput, Missing, Refusal
from tests import cast, make

pytestmark = pytest.mark.django_db

TIGHTER = ("service_account, soft: 40", "service_account, soft: 35")
LOOSER = ("service_account, soft: 40", "service_account, soft: 45")


@pytest.fixture(autouse=True)
def house():
    make.house()


def drafted(was: str, becomes: str, by: str = "enzo") -> RiskPolicyVersion:
    text = policies.in_force().text
    assert was in text
    return policies.draft(text.replace(was, becomes, 1), actor=cast.person(by))


def approve(version: RiskPolicyVersion, name: str, **more: Any) -> RiskPolicyVersion:
    said: dict[str, Any] = {"seen_digest": version.digest, "acknowledged": True} | more
    return policy_approvals.approve(version.pk, actor=cast.person(name), **said)


def verbs(version: RiskPolicyVersion) -> list[str]:
    return list(AuditEntry.objects.filter(subject=str(version.ref)).order_by("seq").values_list("verb", flat=True))


def many(role: str) -> str:
    """Somebody who writes policies and approves them."""
    people.add(role, name=role.title(), roles=["engineer", "manager"], actor=SYSTEM)
    cast.ROLES[role] = (("engineer", "manager"), ())  # type: ignore[assignment]  # two roles, where the cast has one each
    return role


def test_loosening_takes_one_person_other_than_the_author():
    before, version = policies.in_force(), drafted(*LOOSER)
    assert policy_approvals.what_it_takes(version).needed == 1
    approve(version, "mara")
    version.refresh_from_db()
    before.refresh_from_db()
    assert (version.state, str(version.approver), before.state) == ("in_force", "Mara", "superseded")
    assert (version.supersedes, version.approvals_needed) == (before, 1)
    assert verbs(version) == ["policy.drafted", "policy.approved"]


def test_tightening_takes_two_people():
    version = drafted(*TIGHTER)
    assert policy_approvals.what_it_takes(version).needed == 2
    approve(version, "mara")
    version.refresh_from_db()
    assert (version.state, policies.in_force().version) == ("draft", 1)
    assert policy_approvals.what_it_takes(version).missing == 1
    approve(version, "mia")
    version.refresh_from_db()
    assert (version.state, version.approvals_needed, str(version.approver)) == ("in_force", 2, "Mia")
    assert verbs(version) == ["policy.drafted", "policy.agreed", "policy.approved"]


def test_one_person_counts_once():
    version = drafted(*TIGHTER)
    approve(version, "mara")
    with pytest.raises(ApprovedAlready):
        approve(version, "mara")
    assert version.approvals.count() == 1


def test_the_author_approves_neither_first_nor_second():
    lena = many("lena")
    version = drafted(*TIGHTER, by=lena)
    with pytest.raises(OwnApproval):
        approve(version, lena)
    approve(version, "mara")
    with pytest.raises(OwnApproval):
        approve(version, lena)
    assert policies.in_force().version == 1


@pytest.mark.parametrize("name", ["ines", "enzo", "wren", "ada"])
def test_who_may_not_approve_is_refused(name):
    with pytest.raises(NotThePerson):
        approve(drafted(*LOOSER), name)


def test_a_program_neither_writes_nor_approves():
    robot = cast.detector()
    with pytest.raises(NotThePerson):
        policies.draft(policies.in_force().text, actor=robot)
    version = drafted(*LOOSER)
    with pytest.raises(NotThePerson):
        policy_approvals.approve(version.pk, actor=robot, seen_digest=version.digest, acknowledged=True)


def test_the_text_and_what_it_is_compared_with_must_be_those_on_screen():
    version, other = drafted(*TIGHTER), drafted(*LOOSER)
    base = policies.in_force()
    with pytest.raises(NotAsShown):
        approve(version, "mara", seen_digest="sha256:" + "0" * 64)
    with pytest.raises(NotAcknowledged):
        approve(version, "mara", acknowledged=False)
    approve(other, "mara")
    with pytest.raises(NotAsShown, match="Another version"):
        approve(version, "mara", seen_base=base.pk)
    assert not version.approvals.exists()


def test_a_word_against_an_earlier_version_counts_no_more():
    version, other = drafted(*TIGHTER), drafted(*LOOSER)
    approve(version, "mara")
    approve(other, "mia")
    assert policy_approvals.what_it_takes(version).missing == 2
    approve(version, "mia")
    version.refresh_from_db()
    assert version.state == "draft"
    approve(version, "mara")
    assert policies.in_force() == version


@pytest.mark.parametrize("state", ["in_force", "superseded"])
def test_what_is_no_draft_any_more_is_not_approved(state):
    version = drafted(*LOOSER)
    approve(version, "mara")
    if state == "superseded":
        approve(drafted("service_account, soft: 45", "service_account, soft: 46"), "mara")
    version.refresh_from_db()
    with pytest.raises(Refusal, match="already"):
        approve(version, "mia")
    assert version.state == state
    with pytest.raises(Missing):
        policy_approvals.approve(UUID(int=0), actor=cast.person("mara"), seen_digest="", acknowledged=True)


def test_where_there_is_history_the_approver_has_seen_what_it_would_have_done():
    decided()
    version, other = drafted(*LOOSER), drafted(*TIGHTER)
    make.backtest_seen(version, "mia")
    make.backtest_seen(other, "mara")
    with pytest.raises(NotTested):
        approve(version, "mara")
    unfinished = make.backtest_seen(version, "mara")
    unfinished.state, unfinished.next_at = "running", clock.now()
    unfinished.save()
    with pytest.raises(NotTested):
        approve(version, "mara")
    approve(version, "mia")
    assert policies.in_force() == version
    assert not version.approvals.get().untested


def test_a_glance_at_a_long_history_is_not_enough_and_all_of_a_short_one_is():
    decided()
    version = drafted(*LOOSER)
    make.backtest_seen(version, "mara", days=1)
    with pytest.raises(NotTested, match="covers 24 hours of decisions; 7 days, or all there is, are needed"):
        approve(version, "mara")
    Decision.objects.update(decided_at=clock.now() - timedelta(hours=1))
    make.backtest_seen(version, "mara", days=1)
    approve(version, "mara")
    assert policies.in_force() == version


def test_where_there_is_none_the_approval_says_so():
    version = drafted(*LOOSER)
    approve(version, "mara")
    assert version.approvals.get().untested


# -- what the database keeps ---------------------------------------------------------------------------------------------------------------


def refused_by_the_database(change) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        change()


def test_the_database_refuses_the_authors_word_and_a_version_with_too_few():
    version = drafted(*TIGHTER)
    base, now = policies.in_force(), clock.now()
    of = {"version": version, "base": base, "digest": version.digest, "at": now}
    refused_by_the_database(lambda: PolicyApproval.objects.create(**of, person_id=UUID(cast.person("enzo").principal)))
    mara = UUID(cast.person("mara").principal)

    def in_force(needed: int) -> None:
        base.state = "superseded"
        base.save()
        version.state, version.approver_id, version.supersedes, version.approvals_needed = "in_force", mara, base, needed
        version.save()

    refused_by_the_database(lambda: in_force(1))
    PolicyApproval.objects.create(**of, person_id=mara)
    refused_by_the_database(lambda: PolicyApproval.objects.create(**of, person_id=mara))
    refused_by_the_database(lambda: in_force(2))
    refused_by_the_database(lambda: PolicyApproval.objects.all().delete())
    in_force(1)


def test_the_database_knows_one_in_force_and_one_in_the_shadow():
    one, other = drafted(*LOOSER), drafted(*TIGHTER)
    RiskPolicyVersion.objects.filter(pk=one.pk).update(state="shadow")
    refused_by_the_database(lambda: RiskPolicyVersion.objects.filter(pk=other.pk).update(state="shadow"))
    refused_by_the_database(lambda: RiskPolicyVersion.objects.filter(pk=other.pk).update(state="tried"))
    refused_by_the_database(lambda: RiskPolicyVersion.objects.filter(pk=other.pk).update(loosens_only=True))


# -- the ramp ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def observing(role):
    """Everything observes; analysts and managers can be asked, one service account is listed, nothing was confirmed or tried."""
    RiskPolicyVersion.objects.all().delete()
    policies.ship(mode=Mode.OBSERVE)
    role("etl_reader")
    make.identity("etl_reader", environment="prod")
    cast.person("mia")


def decided(days_ago: int = 29) -> None:
    """Something so many days and an hour ago, and something now."""
    make.identity("somebody", environment="dev")
    for ago in (timedelta(days=days_ago, hours=1), timedelta(0)):
        decision = make.detected("somebody", context={"environment": "dev", "source_ip": "10.0.0.9"})
        Decision.objects.filter(pk=decision.pk).update(decided_at=decision.decided_at - ago)


def enforcing() -> RiskPolicyVersion:
    return policy_approvals.draft_enforcing(Kind.SERVICE_ACCOUNT, "prod", actor=cast.person("enzo"))


def cell(version: RiskPolicyVersion, viewer: str = "mara") -> ramp.Cell:
    policy = policies.document(version.text)
    return policy_approvals.cell(Kind.SERVICE_ACCOUNT, "prod", policy=policy, version=version, viewer=cast.person(viewer))


def make_green(version: RiskPolicyVersion, *but: Point) -> None:
    if Point.BACKTEST not in but:
        make.backtest_seen(version, "mara", "mia")
    if Point.PROTECTED not in but:
        ramp.confirm_protected(actor=cast.person("ada"))
    if Point.PREFLIGHT not in but:
        ramp.preflight(cell(version), actor=cast.person("enzo"))


def red(version: RiskPolicyVersion, name: str = "mara") -> list[str]:
    with pytest.raises(NotGreen) as refused:
        approve(version, name)
    assert {fault.path for fault in refused.value.faults} == {"modes.service_account.prod"}
    return [fault.code for fault in refused.value.faults]


def test_the_button_changes_one_mode_and_enforcing_takes_two_and_five_lights(observing):
    decided()
    version = enforcing()
    assert policy_approvals.what_it_takes(version).cells == ((Kind.SERVICE_ACCOUNT, "prod"),)
    make_green(version)
    assert all(light.green for light in ramp.lights(cell(version))), ramp.lights(cell(version))
    approve(version, "mara")
    assert policies.in_force().version == 1
    approve(version, "mia")
    policy = policies.document(policies.in_force().text)
    assert [policy.mode(Kind.SERVICE_ACCOUNT, where) for where in ("prod", "dev")] == [Mode.ENFORCE, Mode.OBSERVE]
    with pytest.raises(Refusal, match="enforced already"):
        enforcing()


@pytest.mark.parametrize("point", [Point.BACKTEST, Point.PROTECTED, Point.PREFLIGHT])
def test_enforcing_is_refused_while_one_light_is_red(observing, point):
    decided()
    version = enforcing()
    make_green(version, point)
    if point is Point.BACKTEST:
        make.backtest_seen(version, "mara", days=13)  # a day too short, though seen
    assert red(version) == [point]
    make_green(version)
    approve(version, "mara")


def test_each_approver_has_seen_a_backtest_that_is_long_enough(observing):
    decided()
    version = enforcing()
    make_green(version, Point.BACKTEST)
    make.backtest_seen(version, "mara")
    make.backtest_seen(version, "mia", days=13)
    approve(version, "mara")
    assert red(version, "mia") == [Point.BACKTEST]


def test_days_in_which_nothing_was_decided_do_not_count(observing):
    decided(days_ago=0)
    version = enforcing()
    make_green(version)  # over 30 days, of which one hour has decisions in it
    assert red(version) == [Point.BACKTEST]
    assert "there are no 14 days of them to test on yet" in ramp.lights(cell(version))[0].said
    Decision.objects.update(decided_at=clock.now() - timedelta(days=15))
    approve(version, "mara")


def test_a_backtest_of_an_empty_installation_is_worth_nothing_once_something_was_decided(observing):
    version = enforcing()
    make_green(version)
    decided()
    with pytest.raises(NotTested, match="judged no decision"):
        approve(version, "mara")
    assert "judged no decision" in ramp.lights(cell(version))[0].said


def test_a_backtest_that_ended_long_ago_says_nothing_of_today(observing):
    decided()
    version = enforcing()
    make_green(version)
    week = timedelta(days=8)
    Backtest.objects.update(since=F("since") - week, until=F("until") - week)
    with pytest.raises(NotTested, match="more than 7 days ago"):
        approve(version, "mara")
    assert "more than 7 days ago" in ramp.lights(cell(version))[0].said


def test_the_light_says_how_much_of_the_time_is_missing(observing):
    decided()
    version = enforcing()
    make_green(version, Point.BACKTEST)
    assert ramp.lights(cell(version))[0].said == "You have not opened a finished backtest of exactly this text."
    make.backtest_seen(version, "mara", days=13)
    assert "covers 13 days of decisions; 14 days are needed." in ramp.lights(cell(version))[0].said


def test_without_any_history_there_is_nothing_to_enforce_on(observing):
    version = enforcing()
    make_green(version)
    assert red(version) == [Point.BACKTEST]


def test_without_a_budget_nothing_is_enforced(observing):
    decided()
    text = policies.in_force().text
    budget = next(line for line in text.splitlines() if line.startswith("budget:"))
    without = policies.draft(text.replace(budget, ""), actor=cast.person("enzo"))
    make.backtest_seen(without, "mara")
    approve(without, "mara")
    version = enforcing()
    make_green(version)
    assert red(version) == [Point.BUDGET]


def test_without_two_people_who_may_answer_nothing_is_enforced(observing):
    decided()
    version = enforcing()
    make_green(version)
    Person.objects.filter(username__in=["ines", "omar", "mia"]).update(is_active=False)
    assert red(version) == [Point.APPROVERS]
    Person.objects.filter(username="omar").update(is_active=True)
    approve(version, "mara")


def test_the_author_of_the_version_is_not_one_of_them(observing):
    decided()
    lena = many("lena")
    version = policy_approvals.draft_enforcing(Kind.SERVICE_ACCOUNT, "prod", actor=cast.person(lena))
    make_green(version)
    Person.objects.filter(username__in=["ines", "omar", "mia"]).update(is_active=False)
    assert red(version) == [Point.APPROVERS]


def test_a_confirmation_ages_and_ends_when_somebody_is_taken_off_the_list(observing):
    guarded = make.identity("break_glass", environment="prod")
    inventory.protect(guarded.pk, "break-glass", actor=cast.person("ada"))
    version = enforcing()
    ramp.confirm_protected(actor=cast.person("ada"))
    assert ramp.lights(cell(version))[1].green
    inventory.unprotect(guarded.pk, "not needed", actor=cast.person("ada"))
    assert "1 of them is not protected any more" in ramp.lights(cell(version))[1].said
    ramp.confirm_protected(actor=cast.person("ada"))
    long_ago("protected_confirmation", 91)
    assert "more than 90 days ago" in ramp.lights(cell(version))[1].said


def test_only_who_edits_the_protected_list_confirms_it(observing):
    with pytest.raises(NotThePerson):
        ramp.confirm_protected(actor=cast.person("mara"))
    assert not ProtectedConfirmation.objects.exists()


def test_a_preflight_is_kept_with_what_is_missing_and_grows_old(observing, estate):
    version = enforcing()
    registry.register("postgres", PostgresConnector(dsn="host=127.0.0.1 port=1 dbname=estate user=nobody connect_timeout=1"))
    found = ramp.preflight(cell(version), actor=cast.person("mara"))
    assert [(check.provider, check.green, check.looked_at) for check in found] == [("postgres", False, 1)]
    assert "on etl_reader:" in found[0].lacks[0][0]
    assert "cannot do it" in ramp.lights(cell(version))[2].said
    registry.register("postgres", PostgresConnector(dsn=estate.dsn("estate")))
    ramp.preflight(cell(version), actor=cast.person("mara"))
    assert ramp.lights(cell(version))[2].green
    long_ago("preflight_check", 2)
    assert "more than 24 hours ago" in ramp.lights(cell(version))[2].said


def test_a_preflight_without_a_connector_or_anybody_to_ask_about_says_so(observing):
    version = enforcing()
    registry.configure({}, gate=Gate())
    found = ramp.preflight(cell(version), actor=cast.person("mara"))
    assert not found[0].green
    assert "No connector can" in found[0].lacks[0][0]
    Identity.objects.all().update(environment="dev")
    assert "is listed" in ramp.lights(cell(version))[2].said
    with pytest.raises(Refusal, match="List some"):
        ramp.preflight(cell(version), actor=cast.person("mara"))
    with pytest.raises(NotThePerson):
        ramp.preflight(cell(version), actor=cast.person("ines"))
    assert PreflightCheck.objects.count() == 1


def test_no_version_lowers_the_bar_for_itself(observing):
    decided()
    text = enforcing().text + "\nramp: {backtest_days: 0}\n"
    version = policies.draft(text, actor=cast.person("enzo"))
    make_green(version, Point.BACKTEST)
    make.backtest_seen(version, "mara", days=13)
    assert red(version) == [Point.BACKTEST]


def test_everything_at_once_is_refused_for_whatever_is_not_green(observing):
    decided()
    text = policies.in_force().text.replace("default: observe", "default: enforce")
    version = policies.draft(text, actor=cast.person("enzo"))
    make_green(version)
    with pytest.raises(NotGreen) as refused:
        approve(version, "mara")
    assert {"modes.human.prod", "modes.ai_agent.*"} <= {fault.path for fault in refused.value.faults}
    assert "modes.service_account.prod" not in {fault.path for fault in refused.value.faults}


# -- the way back --------------------------------------------------------------------------------------------------------------------------


def test_one_person_goes_back_to_observing_at_once(observing):
    decided()
    version = enforcing()
    make_green(version)
    approve(version, "mara")
    approve(version, "mia")
    back = policy_approvals.step_back(Kind.SERVICE_ACCOUNT, "prod", actor=cast.person("mara"))
    assert policies.in_force() == back
    assert (back.loosens_only, back.author, back.supersedes) == (True, back.approver, version)
    assert policies.document(back.text).mode(Kind.SERVICE_ACCOUNT, "prod") is Mode.OBSERVE
    assert verbs(back) == ["policy.drafted", "policy.stepped_back"]
    with pytest.raises(Refusal, match="observed already"):
        policy_approvals.step_back(Kind.SERVICE_ACCOUNT, "prod", actor=cast.person("mia"))


def test_going_back_takes_a_manager():
    with pytest.raises(NotThePerson):
        policy_approvals.step_back(Kind.HUMAN, "prod", actor=cast.person("ines"))
    assert policies.in_force().version == 1


def test_what_was_enforced_everywhere_is_observed_for_one_kind_in_one_place():
    policy_approvals.step_back(Kind.HUMAN, "prod", actor=cast.person("mara"))
    policy = policies.document(policies.in_force().text)
    assert policy.mode(Kind.HUMAN, "prod") is Mode.OBSERVE
    assert {policy.mode(kind, where) for kind in Kind for where in ("prod", "dev", "") if (kind, where) != (Kind.HUMAN, "prod")} == {
        Mode.ENFORCE
    }


def test_a_faulty_text_is_no_draft():
    with pytest.raises(BadInput):
        policies.draft("version: 1", actor=cast.person("enzo"))
    assert RiskPolicyVersion.objects.count() == 1
    assert {fault.code for fault in policies.check("version: 1")} == {"missing"}
    assert policies.check(policies.in_force().text) == []


def long_ago(table: str, days: int) -> None:
    """As if the last row of a final table had been written so many days ago."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER rows_are_final")
        cursor.execute(f"UPDATE {table} SET at = at - make_interval(days => %s)", [days])
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER rows_are_final")
