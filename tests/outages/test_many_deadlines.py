"""Very many deadlines in the same second: in batches, each once, and no more of them contain than the budget allows."""

from __future__ import annotations

import pytest

from approvals.models import Hold
from audit import clock
from containment import sweep
from playbooks.models import Run
from tests import make
from tests.flows.test_lapse import allow, spent_long_ago, trained

pytestmark = pytest.mark.django_db

MANY, BATCH, ALLOWED = 14, 5, 3


@pytest.mark.fault("D5")
def test_a_second_full_of_deadlines_ends_in_batches_and_within_the_budget(monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", BATCH)
    make.house()
    waiting = [trained(f"trainer-{number}") for number in range(MANY)]
    spent_long_ago(*waiting)
    allow(per_source_hour=ALLOWED)
    Hold.objects.update(deadline=clock.now())
    rounds = []
    while done := sweep._holds():
        rounds.append(done)
        assert done <= BATCH
    assert sum(rounds) == MANY
    assert Run.objects.filter(released_at__isnull=False).count() == ALLOWED
    assert Hold.objects.filter(lapsed_to="contain").count() == ALLOWED
    assert Hold.objects.exclude(lapsed_to="contain").filter(lapsed_to="escalated", state="open").count() == MANY - ALLOWED
