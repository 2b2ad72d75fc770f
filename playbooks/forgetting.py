"""What a connector keeps outside for an undo goes when the run is accepted as it is: nothing will be put back.

The accepted run is due until that is done. Where a nudge was lost, or a target does not answer, it is asked again; after a week it is left,
on record: what is kept stays beside the rest, as private as before.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, transaction

from audit import clock, nudges
from audit.record import record, story
from connectors import optional
from connectors.base import Busy, ConnectorTrouble, LockedOut
from core.actor import SYSTEM
from core.crashpoints import Crashed, crashpoint
from playbooks import circuit, switch
from playbooks.calls import call_of, connector_of
from playbooks.models import Run, Step
from playbooks.refusals import Stopped
from playbooks.runs import FORGET

log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=20)
LEFT_AFTER = timedelta(days=7)


def forget(run_id: UUID) -> None:
    """Every step, whatever became of the others."""
    run = _mine(run_id)
    if run is None:
        return
    steps = list(run.steps.filter(was__isnull=False))
    if sum(_is_forgotten(run, step) for step in steps) == len(steps):
        Run.objects.filter(pk=run.pk, state="accepted").update(next_at=None)


def ask_again(most: int) -> int:
    """Nudge for what is due still, and leave what was due for too long."""
    due = list(Run.objects.filter(state="accepted", next_at__lte=clock.now()).order_by("next_at")[:most])
    for run in due:
        if run.finished_at is not None and run.finished_at < clock.now() - LEFT_AFTER:
            _leave(run.pk)
        else:
            nudges.wake_worker(FORGET, run.pk)
    return len(due)


@transaction.atomic
def _mine(run_id: UUID) -> Run | None:
    """The run, if it is due: whoever comes while another one is at it finds that it is not."""
    run = Run.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=run_id, state="accepted").first()
    if run is None or run.next_at is None or run.next_at > clock.now():
        return None
    run.next_at = clock.now() + AGAIN
    run.save(update_fields=["next_at"])
    return run


def _is_forgotten(run: Run, step: Step) -> bool:
    """Asked as any call is: not under the kill switch, and not at a door that refuses us."""
    connector = connector_of(step)
    if connector is None or switch.stops_everything():
        return False
    try:
        knocked = circuit.knock(step)
        crashpoint("forgetting.forget.before_call")
        optional.forget(connector, call_of(run, step), key=str(step.key))
        crashpoint("forgetting.forget.after_call")
        if knocked is not None:
            circuit.let_in(step, asked=knocked)
    except Stopped as stopped:
        log.info("what %s keeps for undoing %s stays for now: %s", step.connector, step.ref, stopped.because)
    except ConnectorTrouble as trouble:
        _tell_the_circuit(step, trouble)
        log.warning("what %s keeps for undoing %s was not removed: %s", step.connector, step.ref, trouble.said)
    except (Crashed, DatabaseError):
        raise
    except Exception:
        log.exception("the connector %s failed in a way nobody expected", step.connector)
    else:
        return True
    return False


def _tell_the_circuit(step: Step, trouble: ConnectorTrouble) -> None:
    if isinstance(trouble, LockedOut):
        circuit.refused(step, trouble.said, direction="undo")
    elif isinstance(trouble, Busy) and trouble.retry_after is not None:
        circuit.busy(step, trouble.retry_after)


@story
def _leave(run_id: UUID) -> None:
    run = Run.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=run_id, state="accepted", next_at__isnull=False).first()
    if run is None:
        return
    run.next_at = None
    run.save(update_fields=["next_at"])
    record("run.not_forgotten", run.ref, actor=SYSTEM, about=run.about, days=LEFT_AFTER.days)
