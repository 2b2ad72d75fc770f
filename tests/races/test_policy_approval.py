"""Two managers approve in the same instant: each word counts once, and exactly one of them puts the version in force."""

from __future__ import annotations

import pytest

from audit.models import AuditEntry
from containment import policies, policy_approvals
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.models import RiskPolicyVersion
from containment.refusals import ApprovedAlready
from core.refusals import Refusal
from tests import cast, make
from tests.races.sessions import in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house():
    make.house()
    cast.person("mia"), cast.person("enzo")


def drafted(soft: int, hard: int = 70) -> RiskPolicyVersion:
    text = policies.in_force().text.replace("service_account, soft: 40, hard: 70", f"service_account, soft: {soft}, hard: {hard}")
    return policies.draft(text, actor=cast.person("enzo"))


def approving(version: RiskPolicyVersion, name: str):
    actor = cast.person(name)
    return lambda: policy_approvals.approve(version.pk, actor=actor, seen_digest=version.digest, acknowledged=True)


def put_in_force() -> int:
    return AuditEntry.objects.filter(verb="policy.approved").count() - 1  # the shipped one


def test_of_two_words_for_a_tightening_the_second_puts_it_in_force():
    version = drafted(35)
    said = in_the_same_instant("risk_policy_version", version.pk, approving(version, "mara"), approving(version, "mia"))
    assert sorted(one.state for one in said) == ["draft", "in_force"]
    assert (version.approvals.count(), put_in_force(), policies.in_force()) == (2, 1, version)


def test_of_two_words_for_a_loosening_one_puts_it_in_force_and_the_other_hears_so():
    version = drafted(45)
    said = in_the_same_instant("risk_policy_version", version.pk, approving(version, "mara"), approving(version, "mia"))
    assert sorted(isinstance(one, Refusal) for one in said) == [False, True]
    assert (version.approvals.count(), put_in_force()) == (1, 1)


def test_a_double_click_is_one_word():
    version = drafted(35)
    said = in_the_same_instant("risk_policy_version", version.pk, approving(version, "mara"), approving(version, "mara"))
    assert sorted(isinstance(one, ApprovedAlready) for one in said) == [False, True]
    assert (version.approvals.count(), put_in_force()) == (1, 0)


def test_of_two_versions_in_the_same_instant_the_second_is_compared_with_the_first():
    softer, harder = drafted(45), drafted(40, hard=75)  # each loosens what is in force, and takes back what the other loosens
    base = policies.in_force()
    said = in_the_same_instant("risk_policy_version", base.pk, approving(softer, "mara"), approving(harder, "mia"))
    assert sorted(one.state for one in said) == ["draft", "in_force"]
    assert put_in_force() == 1
    late = next(one for one in said if one.state == "draft")
    assert policy_approvals.what_it_takes(late).missing == 1


def test_of_two_steps_back_in_the_same_instant_one_is_taken():
    base = policies.in_force()
    mara, mia = cast.person("mara"), cast.person("mia")
    said = in_the_same_instant(
        "risk_policy_version",
        base.pk,
        lambda: policy_approvals.step_back(Kind.HUMAN, "prod", actor=mara),
        lambda: policy_approvals.step_back(Kind.HUMAN, "prod", actor=mia),
    )
    assert sorted(isinstance(one, Refusal) for one in said) == [False, True]
    assert policies.document(policies.in_force().text).mode(Kind.HUMAN, "prod") is Mode.OBSERVE
    assert policies.in_force().version == base.version + 1
