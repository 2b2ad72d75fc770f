"""The kill switch and a withdrawn playbook, as a run meets them: at its claim, at each intent, and before each call."""

from __future__ import annotations

import pytest

from audit import clock
from audit.models import AuditEntry
from connectors.sandbox import SandboxConnector
from core.actor import SYSTEM
from playbooks import boundary, engine, runs
from playbooks.models import Attempt, KillSwitch, PlaybookVersion, Run
from tests import cast
from tests.engine.test_evidence_first import states

pytestmark = pytest.mark.django_db


def switched(position):
    KillSwitch.objects.update_or_create(
        id=1, defaults={"position": position, "by_id": cast.person("mara").principal, "at": clock.now(), "because": "storm"}
    )


def lifted():
    KillSwitch.objects.all().delete()


def due_again(run):
    Run.objects.filter(pk=run.pk).update(next_at=run.created_at)


def driven_again(run):
    due_again(run)
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    return run


def waits_said(run):
    return AuditEntry.objects.filter(verb="run.waiting", subject=str(run.ref)).count()


@pytest.mark.parametrize("position", ["no_new", "nothing"])
def test_a_stopped_run_looks_again_says_so_once_and_goes_on_when_it_is_lifted(started, sandbox, position):
    run = started("workload.isolate")
    switched(position)
    for _ in range(4):
        run = driven_again(run)
    assert (run.state, run.crash_count, run.lease_until, states(run)) == ("pending", 0, None, ["planned"])
    assert run.because == {"no_new": boundary.NO_NEW, "nothing": boundary.NOTHING}[position]
    assert run.next_at > clock.now()
    assert (waits_said(run), Attempt.objects.filter(step__run=run).count()) == (1, 0)
    lifted()
    assert driven_again(run).state == "contained"


def test_no_new_lets_evidence_be_taken_and_what_was_done_be_put_back(started, sandbox):
    done = started("workload.isolate")
    engine.drive(done.pk, executor="command")
    run = started("evidence.preserve", "workload.isolate")
    switched("no_new")
    assert states(driven_again(run)) == ["done", "planned"]
    runs.undo(done.pk, actor=SYSTEM, reason="enough")
    assert driven_again(done).state == "undone"


def test_nothing_stops_the_way_back_as_well(started, sandbox):
    run = started("workload.isolate")
    engine.drive(run.pk, executor="command")
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    switched("nothing")
    assert (driven_again(run).state, states(run)) == ("undoing", ["done"])
    lifted()
    assert driven_again(run).state == "undone"


class Turning(SandboxConnector):
    """The sandbox, while somebody turns something at the moment it is looked at."""

    turn = staticmethod(lambda: None)
    looked = 0

    def look(self, step):
        seen = super().look(step)
        self.looked += 1
        self.turn()
        return seen


@pytest.fixture
def turning(sandbox):
    from connectors import registry

    connector = Turning(dsn=sandbox.dsn)
    registry.register("sandbox", connector)
    return connector


@pytest.mark.parametrize("measure", ["workload.isolate", "identity.disable"])
def test_a_switch_turned_between_look_and_cut_keeps_the_cut_from_going_out(started, turning, measure):
    run = started(measure)
    turning.turn = lambda: switched("nothing")
    engine.drive(run.pk, executor="command")
    assert turning.target.done(run.target["subject"]) == 0
    outcomes = list(Attempt.objects.filter(step__run=run).order_by("id").values_list("kind", "outcome"))
    assert outcomes == [("intent", ""), ("outcome", "stopped")]
    turning.turn = lambda: None
    lifted()
    run = driven_again(run)  # nothing went out, so nothing is in doubt: not even of a blind effect
    assert run.state in {"contained", "partial"}
    assert turning.target.done(run.target["subject"]) == 1


@pytest.mark.fault("G2")
def test_a_playbook_withdrawn_as_harmful_stops_its_run_at_the_next_boundary(started, turning):
    run = started("workload.isolate", "session.pause")
    turning.turn = lambda: PlaybookVersion.objects.filter(pk=run.playbook_id).update(
        state="revoked", ended_because="it cut the wrong schema", ended_at=clock.now()
    )
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    assert (run.state, run.because) == ("needs_human", "The playbook was withdrawn as harmful: it cut the wrong schema")
    assert (turning.looked, turning.target.done(run.target["subject"])) == (1, 0)
    assert "withdrawn as harmful" in runs.why_not_again(run)
    runs.undo(run.pk, actor=SYSTEM, reason="put it back")
    assert driven_again(run).state == "undone"


@pytest.mark.fault("G2")
def test_a_hold_stays_answerable_when_its_playbook_is_withdrawn(held, sandbox):
    run = held("session.pause")
    PlaybookVersion.objects.filter(pk=run.playbook_id).update(state="revoked", ended_because="harmful", ended_at=clock.now())
    run = driven_again(run)
    assert (run.state, run.next_at, states(run)) == ("waiting", None, ["planned"])


@pytest.mark.fault("A10")
def test_a_worker_that_wakes_after_its_lease_passed_calls_nobody(started, turning):
    run = started("workload.isolate")
    turning.turn = lambda: Run.objects.filter(pk=run.pk).update(lease_until=run.created_at)
    engine.drive(run.pk, executor="command")
    assert turning.target.done(run.target["subject"]) == 0
