"""Somebody with one stolen password reads the next one: what was taken goes on being dangerous after its reader is cut."""

from __future__ import annotations

import psycopg

from trial.estate import KEPT_PASSWORD, Estate
from trial.outside import Intruder
from trial.scenarios.base import Access, Outcome, Scenario, ScenarioTrouble, database_role, identity, report

NAME = "stolen-secret"
READER = "etl_reader"


def run(access: Access) -> Outcome:
    stranger = Intruder(Estate.of_access(access), READER, name="psql", reads="SELECT role, password FROM vault.role_passwords")
    try:
        stranger.arrive()
    except psycopg.Error as no:
        said = str(no).strip().partition("\n")[0]
        raise ScenarioTrouble(f"{READER} cannot be used from outside now ({said}). Undo its containment first.") from no
    try:
        answer = report(
            access,
            NAME,
            title=f"Password of {KEPT_PASSWORD} read with {READER}, from an unknown address",
            claims=["unexpected_secret_read"],
            identity=identity(READER),
            credential=database_role(READER),
            action={"name": "secret.read", "count": stranger.rows},
            resource={"kind": "secret", "id": f"vault.role_passwords/{KEPT_PASSWORD}"},
            source_ip=stranger.origin,
        )
    except ScenarioTrouble:
        stranger.leave()
        raise
    happened = f"Logged in as {READER} from {stranger.origin} and read the password of {KEPT_PASSWORD} out of vault.role_passwords."
    watch = [
        f"Within seconds {READER} is contained. Its case lists what was taken: the password of {KEPT_PASSWORD}, open.",
        f"{KEPT_PASSWORD} is held a moment later, because its password lies open: a person decides, since payments hang on it.",
        "Answer that hold with “contain now”, and the line closes by itself; or say on the case that it is cleared.",
    ]
    return Outcome(NAME, [happened], watch, answer, stranger)


SCENARIO = Scenario(
    NAME,
    "A stolen password opens the way to the next",
    "Somebody logs in with the password of etl_reader and reads the one of payments_writer, which a colleague once kept in a table. "
    "Cutting etl_reader does not make that one unknown again.",
    "contain",
    run,
)
