"""The incidents that the product is for, each a module: something really happens in the estate, and a detector reports it through the API.

`ALL` are the incidents, `SIGNALS` shows each signal once; both are for the page and for `manage.py scenario`. A scenario needs what
access.json says, and nothing of Django.
"""

from __future__ import annotations

from collections.abc import Mapping

from trial.scenarios import (
    large_booking,
    leaked_secret,
    long_job,
    ordinary_document,
    payment_flow,
    poisoned_document,
    rogue_agent,
    shared_credential,
    stolen_secret,
    two_workflows,
    undo_and_again,
)
from trial.scenarios.base import Outcome, Scenario, ScenarioTrouble
from trial.scenarios.signals import SIGNALS

__all__ = ["ALL", "SIGNALS", "Outcome", "Scenario", "ScenarioTrouble"]

ALL: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        leaked_secret.SCENARIO,
        stolen_secret.SCENARIO,
        payment_flow.SCENARIO,
        shared_credential.WHOLE,
        shared_credential.ONE_WORKFLOW,
        long_job.SCENARIO,
        poisoned_document.SCENARIO,
        ordinary_document.SCENARIO,
        large_booking.SCENARIO,
        rogue_agent.SCENARIO,
        two_workflows.SCENARIO,
        undo_and_again.SCENARIO,
    )
}
