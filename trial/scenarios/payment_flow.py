"""The same misuse of an account that books payments: stopping it stops the shop, so a person decides."""

from __future__ import annotations

from trial.scenarios.base import Access, Outcome, Scenario, card_tokens, database_role, from_outside, identity, report

NAME = "payment-flow"


def run(access: Access) -> Outcome:
    stranger = from_outside(access, "payments_writer")
    answer = report(
        access,
        NAME,
        title="Cards read with the password of payments_writer",
        claims=["unexpected_secret_read"],
        identity=identity("payments_writer"),
        credential=database_role("payments_writer"),
        action={"name": "secret.read", "count": 3},
        resource=card_tokens(),
        source_ip=stranger.origin,
    )
    return Outcome(
        NAME,
        [f"Logged in as payments_writer from {stranger.origin} and read {stranger.rows} rows of vault.card_tokens. The session stays."],
        [
            "The foreign session is cut within seconds; pay-main goes on booking a payment a second, but the vault is closed to it.",
            "The hold in the queue waits for an answer before its deadline.",
        ],
        answer,
        stranger,
    )


SCENARIO = Scenario(
    NAME,
    "A payment account misbehaves",
    "The password of payments_writer is used from elsewhere to read the card vault, while its own session books a payment every second. "
    "Stopping it would stop the shop, so Holdfast cuts the stranger, closes the vault and asks a person about the rest.",
    "hold",
    run,
)
