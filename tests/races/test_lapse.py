"""A deadline passes while the policy is changed, the identity becomes protected, or others lapse as well: silence contains no more than it
may at that moment."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import connection, transaction

from approvals.models import Hold
from approvals.refusals import PlanChanged
from containment import flow, policy_approvals
from containment.domain.facts import Kind
from containment.models import ContainmentSpend, Identity
from core.actor import Actor
from playbooks.models import Run
from tests import cast, make
from tests.flows.test_lapse import allow, spent_long_ago, trained
from tests.races.sessions import Session, in_the_same_instant

pytestmark = pytest.mark.django_db(transaction=True)


def step_back(actor: Actor) -> None:
    Session(lambda: policy_approvals.step_back(Kind.AI_AGENT, "prod", actor=actor)).outcome()


def test_a_step_back_while_a_lapse_waits_for_its_identity_is_heard():
    make.house()
    hold, mara = trained("trainer"), cast.person("mara")
    make.deadline_passed(hold)
    key = Identity.objects.get(subject="trainer").pk
    (lapsed,) = in_the_same_instant("identity", key, lambda: flow.lapse_hold(hold.pk), meanwhile=lambda: step_back(mara))
    assert lapsed.lapsed_to == "release"


def test_of_two_that_lapse_at_once_only_as_many_contain_as_the_hour_has_left():
    make.house()
    waiting = [trained("one"), trained("two")]
    spent_long_ago(*waiting)
    allow(per_source_hour=1)
    for hold in waiting:
        make.deadline_passed(hold)
    said = in_the_same_instant_on_the_budget(*waiting)
    assert sorted(hold.lapsed_to for hold in said) == ["contain", "escalated"]
    assert Run.objects.filter(released_at__isnull=False).count() == 1


def in_the_same_instant_on_the_budget(*waiting: Hold) -> list[Hold]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM budget_lock FOR UPDATE")
        sessions = [Session(partial(flow.lapse_hold, hold.pk)) for hold in waiting]
        for session in sessions:
            session.seen_waiting()
    return [session.outcome() for session in sessions]


def test_an_answer_that_waits_while_the_identity_becomes_protected_asks_two():
    make.house()
    hold, omar = trained("trainer"), cast.person("omar")
    key = Identity.objects.get(subject="trainer").pk
    (said,) = in_the_same_instant(
        "identity",
        key,
        lambda: flow.answer_hold(hold.pk, "approve", actor=omar, seen_digest=hold.plan_digest),
        meanwhile=lambda: Identity.objects.filter(pk=key).update(protected=True, protected_because="break glass"),
    )
    assert isinstance(said, PlanChanged)
    assert Run.objects.get().state == "waiting"
    assert ContainmentSpend.objects.count() == 1
    asking = Hold.objects.get(state="open")
    assert (asking.reason_class, asking.as_terms().quorum, asking.on_lapse) == ("protected", 2, "release")
