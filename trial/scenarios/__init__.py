"""The incidents that the product is for, each a module: something really happens in the estate, and a detector reports it through the API.

`ALL` is the list for the page and for `manage.py scenario NAME`. A scenario needs what access.json says, and nothing of Django.
"""

from __future__ import annotations

from collections.abc import Mapping

from trial.scenarios import leaked_secret, long_job, payment_flow, rogue_agent, shared_credential
from trial.scenarios.base import Outcome, Scenario, ScenarioTrouble

__all__ = ["ALL", "Outcome", "Scenario", "ScenarioTrouble"]

ALL: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        leaked_secret.SCENARIO,
        payment_flow.SCENARIO,
        shared_credential.WHOLE,
        shared_credential.ONE_WORKFLOW,
        long_job.SCENARIO,
        rogue_agent.SCENARIO,
    )
}
