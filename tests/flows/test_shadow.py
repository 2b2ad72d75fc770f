"""A version in the shadow judges what the one in force decides, keeps what is different, and changes nothing."""

from __future__ import annotations

import pytest

from audit.models import AuditEntry
from containment import policies, policy_approvals, shadow
from containment.domain.policy import Mode
from containment.models import ContainmentSpend, RiskPolicyVersion, ShadowDifference
from containment.refusals import NotThePerson, ShadowTaken
from core.lifecycle import NoSuchMove
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def house(role):
    make.house()
    role("etl_reader")
    make.identity("etl_reader", environment="prod")
    make.workflow("ingest", [{"action": "data.read", "resource": "sales.*"}])


def drafted(was: str, becomes: str) -> RiskPolicyVersion:
    text = policies.in_force().text
    assert was in text
    return policies.draft(text.replace(was, becomes, 1), actor=cast.person("enzo"))


def in_the_shadow(was: str, becomes: str) -> RiskPolicyVersion:
    return shadow.start(drafted(was, becomes).pk, actor=cast.person("enzo"))


LOOSER = ("service_account, soft: 40, hard: 70", "service_account, soft: 90, hard: 95")


def test_what_it_would_have_decided_otherwise_is_kept_and_nothing_else_happens():
    version = in_the_shadow(*LOOSER)
    decision = make.detected()
    assert (decision.verdict, decision.policy.version) == ("contain", 1)
    difference = ShadowDifference.objects.get()
    assert (difference.decision, difference.version) == (decision, version)
    assert (difference.verdict, difference.stage, str(difference.soft)) == ("watch", "", "90.0")
    decision.refresh_from_db()
    assert difference.risk == decision.risk
    assert "under 90" in difference.because
    assert (Run.objects.count(), ContainmentSpend.objects.count()) == (1, 1)
    assert shadow.judged_count(version) == 1


def test_a_shadow_that_contains_where_the_other_watches_does_nothing():
    quiet = policies.draft(policies.in_force().text.replace(*LOOSER, 1), actor=cast.person("enzo"))
    policy_approvals.approve(quiet.pk, actor=cast.person("mara"), seen_digest=quiet.digest, acknowledged=True)
    in_the_shadow(LOOSER[1], LOOSER[0])
    decision = make.detected()
    assert decision.verdict == "watch"
    assert ShadowDifference.objects.get().verdict == "contain"
    assert not Run.objects.exists()
    assert not ContainmentSpend.objects.exists()


def test_what_both_decide_alike_is_not_kept():
    version = in_the_shadow("name: Shipped defaults", "name: The same")
    make.detected()
    assert not ShadowDifference.objects.exists()
    assert shadow.judged_count(version) == 1


def test_a_difference_is_seen_through_observe_mode_on_both_sides():
    RiskPolicyVersion.objects.update(state="draft")
    RiskPolicyVersion.objects.all().delete()
    policies.ship(mode=Mode.OBSERVE)
    in_the_shadow(*LOOSER)
    decision = make.detected()
    assert (decision.verdict, decision.would_have) == ("watch", "contain")
    difference = ShadowDifference.objects.get()
    assert (difference.verdict, difference.would_have) == ("watch", "")


def test_a_shadow_that_cannot_judge_leaves_the_decision_alone_and_says_so():
    version = in_the_shadow(*LOOSER)
    RiskPolicyVersion.objects.filter(pk=version.pk).update(text="version: 1")
    decision = make.detected()
    assert decision.verdict == "contain"
    assert "could not judge" in ShadowDifference.objects.get(decision=decision).trouble


def test_without_a_shadow_nothing_is_kept_and_stopping_ends_it():
    make.detected()
    version = in_the_shadow(*LOOSER)
    stopped = shadow.stop(version.pk, actor=cast.person("mara"))
    assert (stopped.state, stopped.shadow_until is not None) == ("draft", True)
    make.detected(subject="etl_reader")
    assert not ShadowDifference.objects.exists()
    verbs = AuditEntry.objects.filter(subject=str(version.ref)).order_by("seq").values_list("verb", flat=True)
    assert list(verbs) == ["policy.drafted", "policy.shadowed", "policy.unshadowed"]


def test_there_is_one_at_a_time_and_only_a_draft():
    version = in_the_shadow(*LOOSER)
    with pytest.raises(ShadowTaken, match="policy v2"):
        in_the_shadow("name: Shipped defaults", "name: Another")
    with pytest.raises(NoSuchMove):
        shadow.start(policies.in_force().pk, actor=cast.person("enzo"))
    with pytest.raises(NoSuchMove):
        shadow.stop(policies.in_force().pk, actor=cast.person("enzo"))
    assert RiskPolicyVersion.objects.get(state="shadow") == version


@pytest.mark.parametrize("name", ["ines", "wren", "ada"])
def test_who_neither_writes_nor_approves_policies_starts_no_shadow(name):
    with pytest.raises(NotThePerson):
        shadow.start(drafted(*LOOSER).pk, actor=cast.person(name))


def test_a_shadow_is_approved_as_it_stands():
    version = in_the_shadow(*LOOSER)
    policy_approvals.approve(version.pk, actor=cast.person("mara"), seen_digest=version.digest, acknowledged=True)
    version.refresh_from_db()
    assert (version.state, version.shadow_until is not None) == ("in_force", True)
