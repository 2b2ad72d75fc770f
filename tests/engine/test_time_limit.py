"""A containment with a time limit ends by itself: by the clock, through the same undo as a person's, whoever was restarted meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import Mood
from containment import duties
from core.actor import SYSTEM
from playbooks import engine, returning, runs
from playbooks.models import Run
from playbooks.refusals import NotProlongable
from tests.engine.test_claims import driven, world

pytestmark = pytest.mark.django_db

CUT = "workload.isolate"


@pytest.fixture(autouse=True)
def _no_renewal(monkeypatch):
    monkeypatch.setattr(engine, "RENEW_EVERY_S", 3600)


@pytest.fixture
def limited(started):
    def contain(hours=4, *, hard=()):
        run = started(CUT, hard=hard)
        Run.objects.filter(pk=run.pk).update(terms={"lasts_s": hours * 3600})
        return driven(run)

    return contain


def let_pass(run):
    Run.objects.filter(pk=run.pk).update(lasts_until=clock.now())


def test_it_counts_from_the_moment_it_stands_and_ends_by_the_clock(limited, sandbox):
    run = limited()
    assert run.lasts_until == run.finished_at + timedelta(hours=4)
    assert returning.end_due() == 0
    let_pass(run)
    assert returning.end_due() == 1
    run.refresh_from_db()
    assert (run.state, run.undo_by, run.lasts_until) == ("undoing", "clock:clock", None)
    assert driven(run).state == "undone"
    assert world(sandbox, run.target["subject"]) == "open"
    entry = AuditEntry.objects.get(subject=str(run.ref), verb="run.time_over")
    assert entry.actor == "clock:clock"
    assert returning.end_due() == 0


def test_every_sweeper_looks_after_it():
    assert returning.end_due in duties.soon


def test_the_harder_stage_starts_its_time_anew(limited):
    run = limited(hard=("session.pause",))
    first = run.lasts_until
    runs.raise_stage(run.pk, to="hard", because="it went on")
    run.refresh_from_db()
    assert run.lasts_until is None
    assert driven(run).lasts_until > first


@pytest.mark.parametrize(("by", "fits"), [(timedelta(hours=24), True), (timedelta(days=7), False), (timedelta(0), False)])
def test_a_person_prolongs_it_within_bounds(limited, by, fits):
    run = limited()
    if fits:
        until = run.lasts_until + by
        assert returning.prolong(run.pk, by=by, actor=SYSTEM, reason="not clear yet").lasts_until == until
        return
    with pytest.raises(NotProlongable):
        returning.prolong(run.pk, by=by, actor=SYSTEM, reason="not clear yet")


def test_what_is_undone_before_its_time_is_not_prolonged_nor_ended_again(limited):
    run = limited()
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    with pytest.raises(NotProlongable):
        returning.prolong(run.pk, by=timedelta(hours=1), actor=SYSTEM, reason="not clear yet")
    let_pass(run)
    assert returning.end_due() == 0


def test_an_undo_that_fails_again_and_again_becomes_a_persons_after_five_tries(limited, sandbox):
    run = limited()
    sandbox.set_mood(run.target["subject"], Mood.FAILS_AFTER, times=100)
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    assert driven(run).state == "needs_human"
    step = run.steps.get()
    assert step.journal.filter(direction="undo", kind="intent").count() == 5
    assert "was tried 5 times" in step.said
    sandbox.set_mood(run.target["subject"], Mood.FAILS_BEFORE, times=1)
    runs.undo(run.pk, actor=SYSTEM, reason="it is up again")
    assert driven(run).state == "undone"
