"""One call to a connector, as forward and backward make it: which connector, what it is asked, and what its troubles come to."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from connectors import registry
from connectors.base import Ambiguous, Busy, Connector, Foreign, LockedOut, Measure, Rejected, Target, Unavailable
from connectors.base import Step as Call
from core.crashpoints import Crashed
from playbooks import boundary, circuit, steps
from playbooks.models import Run, Step
from playbooks.refusals import LeaseLost, Stopped
from playbooks.runs import Ticket
from playbooks.shield import Shielded

log = logging.getLogger(__name__)


def connector_of(step: Step) -> Connector | None:
    return registry.connector_for(step.connector)


def call_of(run: Run, step: Step) -> Call:
    """Evidence gets at most the time that a cut waits for it."""
    evidence = step.measure == Measure.EVIDENCE_PRESERVE
    return Call(
        measure=Measure(step.measure),
        target=Target(**run.target),
        parameters=step.parameters,
        deadline_s=min(step.timeout_s, steps.evidence_time(run).total_seconds()) if evidence else step.timeout_s,
    )


def in_what_is_left(call: Call, began: float) -> Call:
    """An attempt looks and acts within the time of one call: whoever waits for a call that may still be out counts on that."""
    left = call.deadline_s - (time.monotonic() - began)
    if left <= 0:
        raise Unavailable("Looking took all the time that this step has, so nothing was done.")
    return replace(call, deadline_s=left)


@contextmanager
def troubles(ticket: Ticket, step: Step, direction: str) -> Iterator[None]:
    """Turn what a connector raises into an outcome on the step. Anything unknown may have happened, so it is looked at before a retry.
    Whatever forbids the call is asked once more, here at its door."""

    def settle(outcome: str, said: str, retry_after: float | None = None, diff: dict[str, object] | None = None) -> None:
        steps.trouble(ticket, step.seq, outcome=outcome, said=said, direction=direction, retry_after=retry_after, diff=diff)

    heard = False
    try:
        boundary.heed_now(ticket.run_id, ticket.fence, step, direction)
        yield
        heard = True
    except Stopped as stopped:
        steps.call_off(ticket, step.seq, direction=direction, because=stopped.because)
        raise
    except Unavailable as trouble:
        if isinstance(trouble, Busy) and trouble.retry_after is not None:
            circuit.busy(step, trouble.retry_after)
        settle("unavailable", trouble.said, trouble.retry_after)
    except Ambiguous as trouble:
        settle("ambiguous", trouble.said, trouble.retry_after)
    except Foreign as trouble:
        heard = True
        settle("foreign", trouble.said, diff=dict(trouble.diff))
    except Shielded as trouble:
        settle("shielded", trouble.said)
    except LockedOut as trouble:
        settle(*circuit.refused(step, trouble.said, direction=direction))
    except Rejected as trouble:
        settle("rejected", trouble.said)
    except (LeaseLost, Crashed):
        raise
    except Exception as error:
        log.exception("the connector %s failed in a way nobody expected", step.connector)
        settle("unexpected", f"The connector failed unexpectedly ({type(error).__name__}); it is looked at before anything is tried again.")
    if heard and direction == "undo":  # on the way forward a look says so
        circuit.let_in(step)
