"""The same misuse of an account that books payments: stopping it stops the shop, so a person decides."""

from __future__ import annotations

from trial.scenarios.base import Access, Outcome, Scenario
from trial.scenarios.foreign import misuse

NAME = "payment-flow"


def run(access: Access) -> Outcome:
    return misuse(
        access,
        NAME,
        "payments_writer",
        title="Cards read with the password of payments_writer",
        watch=[
            "The foreign session is cut within seconds; pay-main goes on booking a payment a second, but the vault is closed to it.",
            "The hold in the queue waits for an answer before its deadline.",
        ],
    )


SCENARIO = Scenario(
    NAME,
    "A payment account misbehaves",
    "The password of payments_writer is used from elsewhere to read the card vault, while its own session books a payment every second. "
    "Stopping it would stop the shop, so Holdfast cuts the stranger, closes the vault and asks a person about the rest.",
    "hold",
    run,
)
