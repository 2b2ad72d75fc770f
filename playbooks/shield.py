"""Asked right before a connector acts: may this call hit whom it would hit?

Rooms further up name here what they want asked; the engine knows nothing of the inventory. Who is shielded is not hit, whatever the
playbook says of failures: the step waits for a person.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.base import Connector, Rejected
from connectors.base import Step as Call
from playbooks.models import Run, Step

RETURNS = "return-"  # stages on the way back loosen, whoever they are about

LookAgain = Callable[[Run, Step, Connector, Call], None]  # raises Shielded, or lets it be; Unavailable where it cannot say yet

asked: list[LookAgain] = []


class Shielded(Rejected):
    """It would hit somebody whom it must not hit. `said` names whom."""


def look_again(run: Run, step: Step, connector: Connector, call: Call) -> None:
    if not step.disruptive or step.stage.startswith(RETURNS):
        return
    for one in asked:
        one(run, step, connector, call)


def register(one: LookAgain) -> None:
    if one not in asked:
        asked.append(one)
