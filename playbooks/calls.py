"""One call to a connector, as forward and backward make it: which connector, what it is asked, and what its troubles come to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from connectors import registry
from connectors.base import Ambiguous, Connector, Foreign, Measure, Rejected, Target, Unavailable
from connectors.base import Step as Call
from core.crashpoints import Crashed
from playbooks import steps
from playbooks.models import Run, Step
from playbooks.refusals import LeaseLost
from playbooks.runs import Ticket

log = logging.getLogger(__name__)


def connector_of(step: Step) -> Connector | None:
    return registry.connector_for(step.connector)


def call_of(run: Run, step: Step) -> Call:
    return Call(
        measure=Measure(step.measure),
        target=Target(**run.target),
        parameters=step.parameters,
        deadline_s=step.timeout_s,
    )


@contextmanager
def troubles(ticket: Ticket, step: Step, direction: str) -> Iterator[None]:
    """Turn what a connector raises into an outcome on the step. Anything unknown may have happened, so it is looked at before a retry."""

    def settle(outcome: str, said: str, retry_after: float | None = None, diff: dict[str, object] | None = None) -> None:
        steps.trouble(ticket, step.seq, outcome=outcome, said=said, direction=direction, retry_after=retry_after, diff=diff)

    try:
        yield
    except Unavailable as trouble:
        settle("unavailable", trouble.said, trouble.retry_after)
    except Ambiguous as trouble:
        settle("ambiguous", trouble.said, trouble.retry_after)
    except Foreign as trouble:
        settle("foreign", trouble.said, diff=dict(trouble.diff))
    except Rejected as trouble:
        settle("rejected", trouble.said)
    except (LeaseLost, Crashed):
        raise
    except Exception as error:
        log.exception("the connector %s failed in a way nobody expected", step.connector)
        settle("unexpected", f"The connector failed unexpectedly ({type(error).__name__}); it is looked at before anything is tried again.")
