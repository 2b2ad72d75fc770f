"""What a connector keeps outside for an undo goes when the run is accepted as it is: nothing will be put back.

Asked for by a nudge alone. Where that is lost, or the target does not answer, what is kept stays beside the rest, as private as before.
"""

from __future__ import annotations

import logging
from uuid import UUID

from connectors import optional
from connectors.base import ConnectorTrouble
from core.crashpoints import crashpoint
from playbooks import switch
from playbooks.calls import call_of, connector_of
from playbooks.models import Run

log = logging.getLogger(__name__)


def forget(run_id: UUID) -> None:
    run = Run.objects.filter(pk=run_id, state="accepted").first()
    if run is None:
        return
    for step in run.steps.filter(was__isnull=False):
        connector = connector_of(step)
        if connector is None or switch.stops_everything():
            continue
        try:
            crashpoint("forgetting.forget.before_call")
            optional.forget(connector, call_of(run, step), key=str(step.key))
            crashpoint("forgetting.forget.after_call")
        except ConnectorTrouble as trouble:
            log.warning("what %s keeps for undoing %s was not removed: %s", step.connector, step.ref, trouble.said)
