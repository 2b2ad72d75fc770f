"""A leaked database password is used from outside: the case where waiting for a person costs the most."""

from __future__ import annotations

from trial.scenarios.base import Access, Outcome, Scenario, card_tokens, database_role, from_outside, identity, report

NAME = "leaked-secret"


def run(access: Access) -> Outcome:
    stranger = from_outside(access, "etl_reader")
    answer = report(
        access,
        NAME,
        title="Cards read with the password of etl_reader, from an unknown address",
        claims=["unexpected_secret_read"],
        identity=identity("etl_reader"),
        credential=database_role("etl_reader"),
        action={"name": "secret.read", "count": 3},
        resource=card_tokens(),
        source_ip=stranger.origin,
    )
    return Outcome(
        NAME,
        [f"Logged in as etl_reader from {stranger.origin} and read {stranger.rows} rows of vault.card_tokens. The session stays."],
        ["Within seconds the foreign session is cut and etl_reader can log in no more; its case shows the proof.", "Undo puts it back."],
        answer,
        stranger,
    )


SCENARIO = Scenario(
    NAME,
    "A leaked password is used from outside",
    "Somebody found the password of etl_reader in an old build log, logs in from another address and reads the card vault. "
    "Nothing critical hangs on this account, so Holdfast contains it at once.",
    "contain",
    run,
)
