"""What two scenarios have in common: a stranger with somebody's password reads the cards, and a detector sees it."""

from __future__ import annotations

import psycopg

from trial.estate import Estate
from trial.outside import Intruder
from trial.scenarios.base import Access, Outcome, ScenarioTrouble, card_tokens, database_role, identity, report


def misuse(access: Access, scenario: str, role: str, *, title: str, watch: list[str]) -> Outcome:
    stranger = from_outside(access, role)
    try:
        answer = report(
            access,
            scenario,
            title=title,
            claims=["unexpected_secret_read"],
            identity=identity(role),
            credential=database_role(role),
            action={"name": "secret.read", "count": 3},
            resource=card_tokens(),
            source_ip=stranger.origin,
        )
    except ScenarioTrouble:
        stranger.leave()
        raise
    happened = f"Logged in as {role} from {stranger.origin} and read {stranger.rows} rows of vault.card_tokens. The session stays."
    return Outcome(scenario, [happened], watch, answer, stranger)


def from_outside(access: Access, role: str) -> Intruder:
    """A stranger with the password of `role`, who reads the cards."""
    stranger = Intruder(Estate.of_access(access), role, name="psql", reads="SELECT customer, token FROM vault.card_tokens")
    try:
        stranger.arrive()
    except psycopg.Error as no:
        said = str(no).strip().partition("\n")[0]
        raise ScenarioTrouble(f"{role} cannot be used from outside now ({said}). Undo its containment first.") from no
    return stranger
