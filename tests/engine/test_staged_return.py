"""A return in levels: each level stands before what is looser is given back, it is watched, and it is taken back at once when need be."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import Mood
from containment.models import Source
from core.actor import SYSTEM
from playbooks import engine, returning, runs, setback
from playbooks.domain.next_action import next_action
from playbooks.domain.step_view import StepView
from playbooks.models import Run, Step
from playbooks.refusals import NotReturning
from tests import cast, make
from tests.engine.test_claims import driven, world

pytestmark = pytest.mark.django_db

CUT, READS, SOME = "workload.isolate", "session.pause", "session.terminate"


@pytest.fixture(autouse=True)
def _no_renewal(monkeypatch):
    monkeypatch.setattr(engine, "RENEW_EVERY_S", 3600)


@pytest.fixture
def contained(started):
    """Contained, and to come back over two levels."""

    def contain(*levels):
        run = driven(started(CUT))
        plan = run.plan["soft"][0]
        run.terms = {"reinstatement": [{"steps": [plan | {"measure": measure}], "watch_s": 600} for measure in levels or (READS, SOME)]}
        run.save(update_fields=["terms"])
        return run

    return contain


def watched(run):
    """Driven until a level is watched, or until it is over."""
    for _ in range(12):
        engine.drive(run.pk, executor="command")
        run.refresh_from_db()
        if run.next_at is None or returning.is_watched(run):
            break
        run.steps.update(next_at=None)
        Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
    return run


def over(run):
    """As if the watch were over."""
    Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
    return watched(run)


def all_of(sandbox, run):
    return [world(sandbox, run.target["subject"], measure) for measure in (CUT, READS, SOME)]


def test_it_comes_back_level_by_level_and_is_open_only_at_the_end(contained, sandbox):
    run = contained()
    assert runs.undo(run.pk, actor=SYSTEM, reason="it was a drill").state == "reinstating"
    seen = []
    watched(run)
    for _ in range(2):
        seen.append((run.state, run.level, all_of(sandbox, run)))
        over(run)
    assert seen == [("reinstating", 1, ["open", "cut", "open"]), ("reinstating", 2, ["open", "open", "cut"])]
    assert (run.state, all_of(sandbox, run)) == ("undone", ["open", "open", "open"])
    entries = AuditEntry.objects.filter(subject=str(run.ref))
    assert entries.filter(verb="run.level_stands").count() == 2
    assert json.loads(entries.get(verb="run.gave_back").body)["of"] == 1


def test_a_level_goes_forward_before_anything_is_given_back(contained, sandbox):
    run = contained()
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    watched(run)
    with sandbox.connected() as connection:
        rows = connection.execute(
            "SELECT measure, did FROM sandbox_ledger WHERE subject = %s ORDER BY id", [run.target["subject"]]
        ).fetchall()
    assert rows == [(CUT, "cut"), (READS, "cut"), (CUT, "restored")]


def test_nothing_happens_while_a_level_is_watched_and_a_person_may_shorten_it(contained):
    run = contained(READS)
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    watched(run)
    assert engine.drive(run.pk, executor="command") is False
    returning.next_level(run.pk, actor=SYSTEM)
    assert watched(run).state == "undone"
    with pytest.raises(NotReturning):
        returning.next_level(run.pk, actor=SYSTEM)


@pytest.mark.parametrize("passed", [0, 1])
def test_contained_again_everything_is_cut_as_before_and_comes_back_another_time(contained, sandbox, passed):
    run = contained()
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    watched(run)
    for _ in range(passed):
        over(run)
    returning.contain_again(run.pk, actor=SYSTEM, because="it did it again")
    assert driven(run).state == "contained"
    assert (run.level, run.undo_at, world(sandbox, run.target["subject"])) == (0, None, "cut")
    runs.undo(run.pk, actor=SYSTEM, reason="a drill, really")
    watched(run)
    assert all_of(sandbox, run) == ["open", "cut", "open"]
    over(run), over(run)
    assert (run.state, all_of(sandbox, run)) == ("undone", ["open", "open", "open"])


def test_contained_again_in_the_middle_of_giving_back_it_is_still_cut_in_the_end(contained, sandbox):
    run = contained()
    subject = run.target["subject"]
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    sandbox.set_mood(subject, Mood.TIMES_OUT, times=2)  # the level is brought about, and then the cut is undone, without an answer
    while run.steps.get(seq=1).state != "undoing":
        run.steps.update(next_at=None)
        Run.objects.filter(pk=run.pk).update(next_at=run.created_at)
        engine.drive(run.pk, executor="command")
    returning.contain_again(run.pk, actor=SYSTEM, because="it did it again")
    assert driven(run).state == "contained"
    assert world(sandbox, subject) == "cut"


def test_a_level_that_does_not_come_to_stand_gives_nothing_looser_back(contained, sandbox):
    run = contained()
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    sandbox.set_mood(run.target["subject"], Mood.PERMISSION_LOST)
    assert driven(run).state == "needs_human"
    assert world(sandbox, run.target["subject"]) == "cut"
    assert runs.undo(run.pk, actor=SYSTEM, reason="the permission is back").state == "reinstating"
    assert watched(run).level == 1


def test_a_level_that_fails_twice_is_left_out_and_everything_comes_back(contained, sandbox):
    run = contained()
    for _ in range(2):
        assert runs.undo(run.pk, actor=SYSTEM, reason="it was a drill").state == "reinstating"
        sandbox.set_mood(run.target["subject"], Mood.PERMISSION_LOST)
        assert driven(run).state == "needs_human"
    assert runs.undo(run.pk, actor=SYSTEM, reason="it was a drill").state == "undoing"
    assert (driven(run).state, all_of(sandbox, run)) == ("undone", ["open", "open", "open"])


def test_a_person_may_give_everything_back_without_a_level(contained, sandbox):
    run = contained()
    returning.give_back_the_rest(run.pk, actor=SYSTEM, reason="it is surely fine")
    assert (driven(run).state, all_of(sandbox, run)) == ("undone", ["open", "open", "open"])


def test_a_person_may_give_the_rest_back_at_once(contained, sandbox):
    run = contained()
    runs.undo(run.pk, actor=SYSTEM, reason="it was a drill")
    watched(run)
    returning.give_back_the_rest(run.pk, actor=SYSTEM, reason="it is surely fine")
    assert (driven(run).state, all_of(sandbox, run)) == ("undone", ["open", "open", "open"])


def test_new_evidence_contains_again_at_once_what_is_on_its_way_back():
    make.house()
    make.identity("etl_reader")
    run = make.run_of(make.detected("etl_reader"))
    mara = cast.person("mara")
    Run.objects.filter(pk=run.pk).update(state="reinstating", undo_by=str(mara), undo_at=run.created_at, level=1)
    decision = make.detected("etl_reader")
    run.refresh_from_db()
    assert (decision.verdict, decision.run, run.state, run.level, run.undo_at) == ("covered", run, "pending", 0, None)


@pytest.mark.parametrize(("ceiling", "stays"), [("watch", False), ("hold", True)])
def test_what_a_source_may_not_contain_it_does_not_contain_again(ceiling, stays):
    make.house()
    make.identity("etl_reader")
    run = make.run_of(make.detected("etl_reader"))
    Step.objects.create(run=run, seq=1, stage="return-1-held", measure=READS, connector="sandbox", disruptive=True, timeout_s=5, settle_s=5)
    Run.objects.filter(pk=run.pk).update(state="reinstating", undo_at=run.created_at, next_at=clock.now(), level=1)
    Source.objects.update(ceiling=ceiling)
    make.detected("etl_reader")
    run.refresh_from_db()
    assert run.next_at is not None
    assert (run.state, run.level, run.next_at > clock.now()) == ("reinstating", 1, stays)


def of(seq, state, stage, *, seen=True):
    return StepView(seq=seq, state=state, disruptive=True, stage=stage, seen=seen, inverse="the state before")


@pytest.mark.parametrize(
    ("rows", "level", "wanted"),
    [
        ([("done", "hard")], 0, ("add_level", 1)),
        ([("done", "hard"), ("planned", "return-1")], 0, ("do", 2)),
        ([("done", "hard"), ("verifying", "return-1")], 0, ("probe", 2)),
        ([("done", "hard"), ("partial", "return-1")], 0, ("finish", 0)),
        ([("done", "soft"), ("done", "hard"), ("done", "return-1")], 0, ("undo", 2)),
        ([("undone", "hard"), ("done", "return-1")], 0, ("hold_level", 1)),
        ([("undone", "hard"), ("done", "return-1"), ("planned", "return-1-held")], 0, ("do", 3)),
        ([("undone", "hard"), ("done", "return-1"), ("failed", "return-1-held")], 0, ("finish", 0)),
        ([("undone", "hard"), ("done", "return-1"), ("done", "return-1-held")], 1, ("add_level", 2)),
        ([("undone", "hard"), ("done", "return-1"), ("done", "return-2")], 1, ("undo", 2)),
        ([("undone", "hard"), ("undone", "return-1"), ("done", "return-2"), ("done", "return-2-held")], 2, ("undo", 4)),
    ],
)
def test_what_is_next_on_the_way_back_is_asked_of_the_rows(rows, level, wanted):
    views = [of(seq, state, stage) for seq, (state, stage) in enumerate(rows, start=1)]
    action = next_action("reinstating", views, now=clock.now(), level=level, sizes=[1, 1])
    assert (action.kind, action.seq) == wanted


@pytest.mark.fault("D2")
def test_a_clock_that_is_set_back_ends_no_watch_that_was_said_since(contained):
    run = contained(READS)
    runs.undo(run.pk, actor=cast.person("mara"), reason="a false alarm")
    watched(run)
    assert setback.comes_back_later(clock.now()) == [run.pk]
    assert setback.comes_back_later(run.created_at - timedelta(seconds=1)) == []  # all of it was done under the former time
