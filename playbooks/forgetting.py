"""What a connector keeps outside for an undo goes when the run is accepted as it is: nothing will be put back.

The accepted run is due until that is done. Where a nudge was lost, or a target does not answer, it is asked again, and in the end left:
what is kept stays beside the rest, as private as before.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from audit import clock, nudges
from connectors import optional
from connectors.base import ConnectorTrouble
from core.crashpoints import crashpoint
from playbooks import switch
from playbooks.calls import call_of, connector_of
from playbooks.models import Run, Step
from playbooks.runs import FORGET

log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=20)
LEFT_AFTER = timedelta(days=7)


def forget(run_id: UUID) -> None:
    run = _mine(run_id)
    if run is None or switch.stops_everything():
        return
    steps = list(run.steps.filter(was__isnull=False))
    if sum(_forgotten(run, step) for step in steps) == len(steps) or _is_old(run):
        Run.objects.filter(pk=run.pk, state="accepted").update(next_at=None)


@transaction.atomic
def _mine(run_id: UUID) -> Run | None:
    """The run, if it is due: whoever comes while another one is at it finds that it is not."""
    run = Run.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=run_id, state="accepted").first()
    if run is None or run.next_at is None or run.next_at > clock.now():
        return None
    run.next_at = clock.now() + AGAIN
    run.save(update_fields=["next_at"])
    return run


def _forgotten(run: Run, step: Step) -> bool:
    connector = connector_of(step)
    if connector is None:
        return True
    try:
        crashpoint("forgetting.forget.before_call")
        optional.forget(connector, call_of(run, step), key=str(step.key))
        crashpoint("forgetting.forget.after_call")
    except ConnectorTrouble as trouble:
        log.warning("what %s keeps for undoing %s was not removed: %s", step.connector, step.ref, trouble.said)
        return False
    return True


def _is_old(run: Run) -> bool:
    return run.finished_at is not None and run.finished_at < clock.now() - LEFT_AFTER


def ask_again(most: int) -> int:
    """Nudge for what is due still."""
    due = Run.objects.filter(state="accepted", next_at__lte=clock.now()).order_by("next_at").values_list("pk", flat=True)[:most]
    for key in list(due):
        nudges.wake_worker(FORGET, key)
    return len(due)
