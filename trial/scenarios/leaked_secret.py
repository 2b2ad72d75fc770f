"""A leaked database password is used from outside: the case where waiting for a person costs the most."""

from __future__ import annotations

from trial.scenarios.base import Access, Outcome, Scenario
from trial.scenarios.foreign import misuse

NAME = "leaked-secret"


def run(access: Access) -> Outcome:
    return misuse(
        access,
        NAME,
        "etl_reader",
        title="Cards read with the password of etl_reader, from an unknown address",
        watch=[
            "Within seconds the foreign session is cut and etl_reader can log in no more; its case shows the proof.",
            "Undo puts it back.",
        ],
    )


SCENARIO = Scenario(
    NAME,
    "A leaked password is used from outside",
    "Somebody found the password of etl_reader in an old build log, logs in from another address and reads the card vault. "
    "Nothing critical hangs on this account, so Holdfast contains it at once.",
    "contain",
    run,
)
