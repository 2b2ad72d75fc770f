"""What is due and cannot be done yet: it stays due, counts as nobody's crash, and keeps nothing else waiting."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.models import Hold
from containment import flow, intake, policies, sweep
from containment.domain.policy import Mode
from containment.gather import STRIKES
from containment.models import Detection, RiskPolicyVersion
from sources import native
from tests import cast, make
from tests.approvals.rows import opened, past_deadline

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_came_before_there_was_a_policy_is_decided_once_there_is_one():
    make.house()
    RiskPolicyVersion.objects.all().delete()
    body = make.message("etl_reader")
    key = intake.receive(native.read(body), body, actor=cast.detector()).detection.pk
    for _ in range(STRIKES + 2):
        assert flow.decide_due(key) is None
    assert Detection.objects.get(pk=key).state == "received"
    policies.ship(mode=Mode.ENFORCE)
    assert flow.decide_due(key) is not None


def test_two_workers_that_judge_a_spared_detection_again_make_one_decision():
    make.house()
    first = make.detected("etl_reader")
    Detection.objects.filter(pk=first.detection_id).update(state="received", next_at=first.decided_at)
    cause = "the exception that spared it was revoked"
    again, repeated = (flow.decide_again(first.detection_id, cause=cause) for _ in range(2))
    assert (again.generation, repeated.pk) == (1, again.pk)


def test_a_hold_that_meets_a_bug_does_not_keep_the_others_from_lapsing():
    make.house()
    broken = opened(identity_ref="identity:nobody we know")
    past_deadline(broken.pk, timedelta(minutes=2))
    make.identity("etl_reader", protected=True, protected_because="break-glass")
    other = make.hold_of(make.detected("etl_reader"))
    past_deadline(other.pk)
    sweep.sweep_once()
    assert Hold.objects.get(pk=other.pk).state == "lapsed"
    assert Hold.objects.get(pk=broken.pk).state == "open"
