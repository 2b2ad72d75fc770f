"""Many at once: a frozen list, two people, and each run undone by itself, whatever became of it meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from audit import clock
from audit.models import AuditEntry
from containment import mass_undo
from containment.mass_undo import Picks
from containment.models import MassUndo, MassUndoMember
from containment.refusals import AlreadySettled, ListChanged, NotThePerson
from core import crashpoints
from core.refusals import BadInput
from playbooks import switching
from playbooks.models import Run
from tests import cast, make
from tests.engine.conftest import sandbox, started

__all__ = ["sandbox", "started"]

pytestmark = pytest.mark.django_db


def rested(started: Callable[..., Run], count: int, *, state: str = "contained") -> list[Run]:
    """Runs that came to rest without having been carried out: nothing of them is asked outside."""
    runs = [started("workload.isolate") for _ in range(count)]
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(state=state, next_at=None)
    return runs


def everything() -> Picks:
    return Picks(since=clock.now() - timedelta(days=1))


def asked(by: str = "mara", picks: Picks | None = None) -> MassUndo:
    return mass_undo.ask(picks or everything(), "the policy was wrong", actor=cast.person(by))


def agreed(row: MassUndo, by: str = "mia") -> MassUndo:
    return mass_undo.approve(row.pk, actor=cast.person(by), seen_digest=row.digest)


def standing(row: MassUndo) -> list[str]:
    return list(row.members.order_by("id").values_list("state", flat=True))


def due() -> None:
    MassUndoMember.objects.filter(next_at__isnull=False).update(next_at=clock.now() - timedelta(seconds=1))


def test_the_list_is_frozen_and_nothing_is_undone_before_somebody_else_agrees(started):
    first, second = rested(started, 2)
    row = asked()
    late = rested(started, 1)[0]
    assert [member.run_ref for member in row.members.order_by("id")] == [str(first.ref), str(second.ref)]
    assert mass_undo.go_on() == 0
    with pytest.raises(NotThePerson):
        agreed(row, by="mara")
    with pytest.raises(ListChanged):
        mass_undo.approve(row.pk, actor=cast.person("mia"), seen_digest="sha256:" + "0" * 64)
    agreed(row)
    mass_undo.go_on()
    assert standing(row) == ["undoing", "undoing"]
    late.refresh_from_db()
    assert late.state == "contained"


def test_it_is_undone_by_a_persons_word_so_that_a_cool_off_follows(started):
    run = rested(started, 1)[0]
    agreed(asked())
    mass_undo.go_on()
    run.refresh_from_db()
    assert (run.state, run.undo_by) == ("undoing", str(cast.person("mia")))
    assert "Mara asked, Mia agreed" in run.undo_reason


def test_agreeing_twice_is_once_and_a_second_person_is_told_who_was_first(started):
    rested(started, 1)
    row = agreed(asked())
    assert agreed(row).approved_at == MassUndo.objects.get().approved_at
    with pytest.raises(NotThePerson):
        agreed(row, by="ines")
    MassUndo.objects.update(approver=cast.person("omar").principal)
    with pytest.raises(AlreadySettled, match="Omar"):
        agreed(row)


def test_the_database_compares_the_two(started):
    rested(started, 1)
    row = asked()
    with pytest.raises(IntegrityError), transaction.atomic():
        MassUndo.objects.filter(pk=row.pk).update(approver=row.requester)
    with pytest.raises(IntegrityError), transaction.atomic():
        MassUndo.objects.filter(pk=row.pk).update(state="approved")


def test_what_is_picked_has_all_of_it_in_common(started):
    runs = rested(started, 2)
    Run.objects.filter(pk=runs[0].pk).update(created_at=clock.now() - timedelta(hours=5))
    name = runs[0].playbook.name
    since = Picks(since=clock.now() - timedelta(hours=1))
    assert [run.pk for run in mass_undo.preview(since).runs] == [runs[1].pk]
    assert [run.pk for run in mass_undo.preview(Picks(playbook=name)).runs] == [runs[0].pk]
    assert [run.pk for run in mass_undo.preview(Picks(playbook=str(runs[0].playbook))).runs] == [runs[0].pk]
    assert not mass_undo.preview(Picks(playbook=f"{name} v99")).runs
    assert not mass_undo.preview(Picks(playbook=name, since=clock.now() - timedelta(hours=1))).runs
    for nothing in (Picks(), Picks(source="nobody")):
        with pytest.raises(BadInput):
            mass_undo.ask(nothing, "because", actor=cast.person("mara"))


def test_a_policy_version_and_a_source_pick_the_runs_that_they_began(postgres_plans):
    make.house()
    make.identity("etl_reader")
    run = make.run_of(make.detected("etl_reader"))
    for picks in (Picks(policy_version=1), Picks(source="edr-prod"), Picks(policy_version=1, source="edr-prod")):
        assert [one.pk for one in mass_undo.preview(picks).runs] == [run.pk]
    assert not mass_undo.preview(Picks(policy_version=2)).runs


def test_a_preview_that_is_out_of_date_is_not_asked_for(started):
    rested(started, 1)
    picks = everything()
    seen = mass_undo.preview(picks)
    rested(started, 1)
    with pytest.raises(ListChanged):
        mass_undo.ask(picks, "because", actor=cast.person("mara"), seen_digest=seen.digest)


def test_a_list_that_nobody_could_read_is_refused(started, monkeypatch):
    monkeypatch.setattr(mass_undo, "MOST", 1)
    rested(started, 2)
    with pytest.raises(BadInput, match="Narrow it down"):
        asked()


def test_a_run_that_is_no_more_undoable_is_refused_in_its_own_words_and_the_rest_goes_on(started):
    gone, stays = rested(started, 2)
    row = agreed(asked())
    Run.objects.filter(pk=gone.pk).update(state="accepted")
    mass_undo.go_on()
    refused, other = row.members.order_by("id")
    assert (refused.state, other.state) == ("refused", "undoing")
    assert "This run is accepted" in refused.said
    assert Run.objects.get(pk=stays.pk).state == "undoing"


def test_what_has_not_come_to_rest_is_called_off_too(started):
    run = started("workload.isolate")
    row = agreed(asked())
    mass_undo.go_on()
    assert (Run.objects.get(pk=run.pk).state, standing(row)) == ("undoing", ["undoing"])


def test_it_is_over_once_it_is_known_what_became_of_each(started):
    rested(started, 3)
    row = agreed(asked())
    mass_undo.go_on()
    first, second, third = (Run.objects.get(pk=member.run_ref.partition(":")[2]) for member in row.members.order_by("id"))
    Run.objects.filter(pk=first.pk).update(state="undone")
    Run.objects.filter(pk=second.pk).update(state="contained", because="new evidence in the watch window")
    due()
    mass_undo.go_on()
    assert standing(row) == ["undone", "refused", "undoing"]
    Run.objects.filter(pk=third.pk).update(state="undone")
    due()
    mass_undo.go_on()
    row.refresh_from_db()
    assert (row.state, row.ended_at is not None) == ("done", True)
    assert AuditEntry.objects.filter(verb="mass_undo.done").count() == 1


def test_calling_it_off_leaves_contained_what_has_not_begun(started, monkeypatch):
    monkeypatch.setattr(mass_undo, "AT_A_TIME", 1)
    runs = rested(started, 2)
    row = agreed(asked())
    mass_undo.go_on()
    mass_undo.withdraw(row.pk, actor=cast.person("mara"))
    assert standing(row) == ["undoing", "refused"]
    assert Run.objects.get(pk=runs[1].pk).state == "contained"


def test_under_nothing_it_waits_and_under_no_new_it_goes_on(started, monkeypatch):
    monkeypatch.setattr(mass_undo, "AT_A_TIME", 1)
    rested(started, 3)
    row = agreed(asked())
    mass_undo.go_on()
    switching.turn("no_new", "", actor=cast.person("ines"))
    mass_undo.go_on()
    assert standing(row) == ["undoing", "undoing", "waiting"]
    switching.turn("nothing", "", actor=cast.person("ines"))
    mass_undo.go_on()
    assert standing(row) == ["undoing", "undoing", "waiting"]
    switching.ask_lift("no_new", "enough", actor=cast.person("mara"))
    switching.lift(cast.person("mia"))
    mass_undo.go_on()
    assert standing(row) == ["undoing", "undoing", "undoing"]


# -- carried out -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_somebody_else_changed_is_for_a_person_and_the_others_are_back(started, sandbox):
    from playbooks import engine

    runs = [started("workload.isolate") for _ in range(2)]
    for run in runs:
        engine.drive(run.pk, executor="command")
    drifted = runs[0].target["subject"]
    with sandbox.connected() as outside:
        sandbox.put(outside, drifted, "workload.isolate", "changed by somebody else")
    row = agreed(asked())
    for _ in range(5):
        due()
        mass_undo.go_on()
        for run in runs:
            engine.drive(run.pk, executor="command")
    assert standing(row) == ["drifted", "undone"]
    row.refresh_from_db()
    assert row.state == "done"
    assert Run.objects.get(pk=runs[0].pk).state == "needs_human"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", ["before_commit", "after_commit"])
def test_a_worker_that_is_killed_between_members_leaves_each_done_once_or_due(started, place):
    rested(started, 3)
    row = agreed(asked())
    killed = _killed_at(f"containment.mass_undo.follow.{place}", nth=2)
    assert killed == signal.SIGKILL
    assert standing(row).count("undoing") == (1 if place == "before_commit" else 2)
    due()
    mass_undo.go_on()
    assert standing(row) == ["undoing"] * 3
    assert AuditEntry.objects.filter(verb="run.undo_requested").count() == 3


def _killed_at(place: str, *, nth: int) -> int:
    """The signal that ended a process which had a sweeper's turn."""
    connection.close()
    child = os.fork()
    if child == 0:
        crashpoints._plan = crashpoints._planned(f"{place}:kill:{nth}")
        try:
            mass_undo.go_on()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


@pytest.fixture
def postgres_plans() -> Iterator[Any]:
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate

    nowhere = {"use": "postgres", "dsn": "postgresql://nobody@127.0.0.1:1/estate"}
    registry.configure(settings.CONNECTORS | {"postgres": nowhere}, gate=Gate())
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())
