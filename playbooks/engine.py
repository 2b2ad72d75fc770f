"""Drive a run: the one function that a Celery task, a sweeper and a command all call.

The row says what is next (domain/next_action.py); this file makes the outside calls between the short transactions of steps.py. Whoever
drives may die at any line: the next one claims the run when the lease has passed, looks before it acts, and goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from audit import clock, nudges
from connectors.base import (
    Busy,
    Connector,
    ConnectorTrouble,
    EffectClass,
    LockedOut,
    Measure,
    OnAmbiguous,
    Proof,
    ProofLevel,
    Rejected,
    State,
)
from connectors.base import Step as Call
from core.crashpoints import crashpoint
from playbooks import back, boundary, circuit, returning, runs, shield, steps
from playbooks.calls import call_of, connector_of, in_what_is_left, troubles
from playbooks.domain.moves import COMING_BACK
from playbooks.domain.next_action import next_action
from playbooks.domain.step_view import Action
from playbooks.domain.troubles import LOCKED_OUT_S, pause_s
from playbooks.models import Run, Step
from playbooks.refusals import LeaseLost, Occupied, Stopped, Turned
from playbooks.runs import Ticket

log = logging.getLogger(__name__)

TURN_S = 10.0  # one drive gives the run back after this long: with the longest call on top it stays under a worker's time limit
RENEW_EVERY_S = 2.5
A_MOMENT = timedelta(seconds=0.5)  # until it is asked again whether another run is done with a control
FORWARD = ("waiting", "pending", "running", "verifying")


def drive(run_id: UUID, *, executor: str, turn_s: float = TURN_S, stopping: Callable[[], bool] = lambda: False) -> bool:
    """Do everything that is due on this run, for about `turn_s`, or until `stopping`. False when there was nothing to claim."""
    try:
        ticket = runs.claim(run_id, executor=executor)
        if ticket is None:
            return False
        crashpoint("engine.drive.claimed")
        with _renewed(ticket) as lease:
            _drive(ticket, lease, turn_s, stopping)
    except (LeaseLost, Turned):
        log.info("run %s: it passed to another worker", run_id)
    return True


def _drive(ticket: Ticket, lease: _Lease, turn_s: float, stopping: Callable[[], bool]) -> None:
    enough = time.monotonic() + turn_s
    while True:
        if lease.lost:
            raise LeaseLost
        run = Run.objects.select_related("playbook").get(pk=ticket.run_id)
        if run.state in FORWARD and (because := boundary.withdrawn(run)):
            _stand_still(ticket, run, because)
            return
        now = clock.now()
        if run.state in COMING_BACK and run.next_at is not None and run.next_at > now:
            kept = "what was done while people decided stays until then"
            action = Action("wait", until=run.next_at, because=kept if run.state == "undoing" else run.because)
        else:
            sizes = [len(level["steps"]) for level in returning.levels(run)]
            action = next_action(run.state, steps.views(run), now=now, level=run.level, sizes=sizes)
        try:
            if not _take(ticket, run, action, now, patient=time.monotonic() < enough and not stopping()):
                return
        except Occupied as occupied:
            _stand_still(ticket, Run.objects.get(pk=ticket.run_id), occupied.said, until=now + A_MOMENT)
            return
        except Turned:  # by a person or another detection, since `run` was read: what it says now is next
            continue
        except Stopped as stopped:
            if not stopped.for_good:
                _stand_still(ticket, Run.objects.get(pk=ticket.run_id), stopped.because, until=stopped.until or now + boundary.LOOK_AGAIN)
                return


def _stand_still(ticket: Ticket, run: Run, because: str, *, until: datetime | None = None) -> None:
    """Until the kill switch is lifted; for good where the playbook was withdrawn: that is for a person, or for the hold that is open."""
    if until is None and run.state != "waiting":
        runs.give_up(ticket, because=because)
    else:
        runs.wait(ticket, until=until, because=because, verify=False, seen=run)


def _take(ticket: Ticket, run: Run, action: Action, now: datetime, *, patient: bool) -> bool:
    """Do one action. False when the run rests or waits."""
    if not patient and action.kind not in {"finish", "rest", "wait"}:
        runs.wait(ticket, until=now, because=run.because, verify=False, seen=run)
        nudges.wake_worker(runs.DRIVE, run.pk)  # it is due at once, and another turn need not wait for a sweeper
        return False
    match action.kind:
        case "do":
            boundary.heed(run, run.steps.get(seq=action.seq), "forward")
            if run.state == "pending":
                run = runs.begin(ticket, seen=run)
            _do(ticket, run, action.seq)
        case "probe":
            _probe(ticket, run, action.seq)
        case "undo":
            back.undo(ticket, run, action.seq)
        case "add_level" | "hold_level":
            returning.add_level(ticket, action, seen=run)
        case "skip":
            steps.skip(ticket, action.seq, because=action.because, seen=run)
        case "lose":
            steps.lose(ticket, action.seq, because=action.because, seen=run)
        case "let_be":
            steps.undone(ticket, action.seq, said=back.why_let_be(run, action.seq), was_done=False)
        case "finish" if action.move in returning.MOVES:
            return returning.finish(ticket, action, seen=run)
        case "finish":
            if run.state == "pending":
                run = runs.begin(ticket, seen=run)
            return runs.finish(ticket, action.move, because=action.because, seen=run)
        case "rest":
            because = "" if boundary.GOES_ON in run.because else run.because
            runs.wait(ticket, until=None, because=because, verify=False, seen=run)
            return False
        case "wait":
            assert action.until is not None  # noqa: S101 - next_action never waits without a time
            nap = (action.until - now).total_seconds()
            if nap <= 1.0 and patient and action.move in {"verify", "preserve"}:
                time.sleep(max(nap, 0))
                return True
            runs.wait(ticket, until=action.until, because=_waiting_for(run, action), verify=action.move == "verify", seen=run)
            return False
    return True


def _do(ticket: Ticket, run: Run, seq: int) -> None:
    """Intent, look, perform, probe, outcome."""
    step = run.steps.get(seq=seq)
    if steps.postponed(ticket, seq, seen=run):
        return
    connector, call = connector_of(step), call_of(run, step)
    in_doubt, began = step.was is not None and steps.may_have_acted(step), time.monotonic()
    step = steps.intend(ticket, seq, seen=run)
    is_evidence = step.measure == Measure.EVIDENCE_PRESERVE
    if connector is None or (is_evidence and Measure.EVIDENCE_PRESERVE not in connector.abilities):
        what = (
            f"No connector preserves evidence on “{step.connector}”."
            if is_evidence
            else f"No connector acts on “{step.connector}” any more."
        )
        steps.trouble(ticket, seq, outcome="rejected", said=what)
        return
    if not circuit.waits(step, "forward") and (because := circuit.said_open(circuit.door_of(step))):
        steps.trouble(ticket, seq, outcome="unavailable" if is_evidence else "rejected", said=because)
        return
    with troubles(ticket, step, "forward"):
        if is_evidence:
            crashpoint("engine.evidence.before_call")
            artefacts = connector.collect(call)
            crashpoint("engine.evidence.after_call")
            if artefacts:  # (a connector that has none may have asked nobody)
                circuit.let_in(step)
            steps.preserve(ticket, seq, artefacts)
            return
        crashpoint("engine.look.before_call")
        seen = connector.look(call)
        crashpoint("engine.look.after_call")
        circuit.let_in(step)
        _same_account(step, seen)
        first = step.was is None
        step = steps.see(ticket, seq, seen) if first else step
        was = steps.state_before(step) or seen
        effect = None
        if not seen.contained:
            if in_doubt and (step.effect == EffectClass.BLIND or step.on_ambiguous == OnAmbiguous.ASK):
                steps.trouble(
                    ticket, seq, outcome="blind", said="It may have happened, and trying again could do it twice. A person has to look."
                )
                return
            doubt = steps.doubt_ends(step) if in_doubt else None
            if doubt is not None and doubt > clock.now():
                steps.look_again(ticket, seq, until=doubt)
                return
            shield.look_again(run, step, connector, call)
            crashpoint("engine.perform.before_call")
            boundary.heed_now(ticket.run_id, ticket.fence, step, "forward")
            effect = connector.perform(in_what_is_left(call, began), key=str(step.key), was=was)
            crashpoint("engine.perform.after_call")
        steps.settle(ticket, seq, effect, _first_proof(ticket, connector, call, step, was))


def _probe(ticket: Ticket, run: Run, seq: int) -> None:
    step = run.steps.get(seq=seq)
    connector, was = connector_of(step), steps.state_before(step)
    if connector is None or was is None:
        said = f"No connector acts on “{step.connector}” any more."
        steps.prove(ticket, seq, Proof(dead=False, level=ProofLevel.ACKNOWLEDGED, said=said))
        return
    boundary.heed_now(ticket.run_id, ticket.fence, step, "forward")
    try:
        knocked = circuit.knock(step)
        proof = _probed(connector, call_of(run, step), step, was)
    except Stopped as stopped:
        steps.not_probed(ticket, seq, said=stopped.because, until=stopped.until or clock.now() + boundary.LOOK_AGAIN)
    except (LockedOut, Busy) as trouble:
        pause = pause_s("unavailable", tries=1, retry_after=trouble.retry_after or LOCKED_OUT_S)
        steps.not_probed(ticket, seq, said=_not_made(trouble).said, until=clock.now() + timedelta(seconds=pause))
    except ConnectorTrouble as trouble:
        steps.prove(ticket, seq, _not_made(trouble))
    else:
        steps.prove(ticket, seq, proof)
        if knocked is not None:
            circuit.let_in(step, asked=knocked)


def _first_proof(ticket: Ticket, connector: Connector, call: Call, step: Step, was: State) -> Proof:
    """Right after the cut, which is settled either way: where nothing may go out any more, it is proven later."""
    try:
        boundary.heed_now(ticket.run_id, ticket.fence, step, "forward")
        return _probed(connector, call, step, was)
    except Stopped as stopped:
        return Proof(dead=False, level=ProofLevel.ACKNOWLEDGED, said=f"Not probed yet. {stopped.because}")
    except ConnectorTrouble as trouble:
        return _not_made(trouble)


def _probed(connector: Connector, call: Call, step: Step, was: State) -> Proof:
    crashpoint("engine.probe.before_call")
    try:
        return connector.probe(call, key=str(step.key), was=was)
    finally:
        crashpoint("engine.probe.after_call")


def _not_made(trouble: ConnectorTrouble) -> Proof:
    """A probe that cannot be made proves nothing."""
    return Proof(dead=False, level=ProofLevel.ACKNOWLEDGED, said=f"The probe could not be made: {trouble.said}")


def _same_account(step: Step, seen: State) -> None:
    """An answer from another account than the one we saw first would contain somebody else."""
    if step.was and step.was["account"] and seen.account != step.was["account"]:
        raise Rejected(f"Another system answers than before: {seen.account} instead of {step.was['account']}.")


def _waiting_for(run: Run, action: Action) -> str:
    if action.because:
        return action.because
    troubled = run.steps.filter(next_at__isnull=False).exclude(state="planned").order_by("seq").first()
    return troubled.said or troubled.proof.get("said", "") if troubled else ""


class _Lease:
    lost = False


@contextmanager
def _renewed(ticket: Ticket) -> Iterator[_Lease]:
    """A thread renews the lease while a call is out. When it cannot, the driver stops at its next step; the fence refuses its writes
    anyway.
    """
    lease, done = _Lease(), threading.Event()

    def keep() -> None:
        try:
            while not done.wait(RENEW_EVERY_S):
                if not runs.renew(ticket):
                    lease.lost = True
                    return
        except Exception:  # the database is away: the lease will pass by itself
            lease.lost = True
        finally:
            connection.close()

    thread = threading.Thread(target=keep, name=f"lease {ticket.run_id}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join(timeout=5)
