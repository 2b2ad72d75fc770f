"""A person undoes a containment, and the same is reported again: Holdfast does not cut what somebody gave back, nor does it look away.

It plays on an account of its own, made in the estate each time, so that nobody's earlier undo is in the way.
"""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql

from trial.estate import Estate
from trial.scenarios.base import Access, Outcome, Scenario, ScenarioTrouble, card_tokens, database_role, identity
from trial.scenarios.through_api import TO_THE_END, Answer, Holdfast, visit

NAME = "undo-and-again"
MANAGER = "manager"
ENDED = ("contained", "partial", "failed", "needs_human")


def run(access: Access) -> Outcome:
    role = make_a_loader(Estate.of_access(access))
    happened = [f"Made the role {role} in the estate, logged in as it and read the card vault. Nobody had listed it."]
    with visit(access) as holdfast:
        first = _secret_read(holdfast, role)
        happened.append(f"Reported that. Holdfast decided: {_verdict(first)}.")
        if first["run"] is None:
            raise ScenarioTrouble(f"Nothing was contained, so there is nothing to undo: {first['decision']['because']}")
        happened.append(f"Its run came to {_undo(holdfast, str(first['run']['id']))}, {MANAGER} undid it, and {role} can log in again.")
        second = _secret_read(holdfast, role)
        happened.append(f"Reported the same once more. Holdfast decided: {_verdict(second)}. {second['decision']['because']}")
        third = holdfast.detect(
            NAME,
            title=f"Rights changed with the password of {role}",
            claims=["unexpected_secret_read", "privilege_change"],
            identity=identity(role),
            credential=database_role(role),
            action={"name": "privilege.change", "count": 1},
            resource=card_tokens(),
        )
        happened.append("Reported something new about it: it changes rights now.")
    watch = ["The hold says who undid what, and which signal is new. If nobody answers, the next reviewers are asked."]
    return Outcome(NAME, happened, watch, third)


def make_a_loader(estate: Estate) -> str:
    """A role as somebody in a hurry makes one, used once."""
    role, password = f"loader_{secrets.token_hex(3)}", secrets.token_urlsafe(16)
    name = sql.Identifier(role)
    with estate.administer() as admin:
        database = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password)))
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name))
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA vault TO {}").format(name))
        admin.execute(sql.SQL("GRANT SELECT ON vault.card_tokens TO {}").format(name))
    try:
        with psycopg.connect(Estate(estate.dsn, {role: password}).conninfo(role, "psql")) as connection:
            connection.execute("SELECT customer, token FROM vault.card_tokens").fetchall()
    except psycopg.Error as no:
        raise ScenarioTrouble(f"{role} cannot read the vault ({str(no).strip()}).") from no
    return role


def _secret_read(holdfast: Holdfast, role: str) -> Answer:
    return holdfast.detect(
        NAME,
        title=f"Cards read with the password of {role}",
        claims=["unexpected_secret_read"],
        identity=identity(role),
        credential=database_role(role),
        action={"name": "secret.read", "count": 3},
        resource=card_tokens(),
    )


def _undo(holdfast: Holdfast, run: str) -> str:
    """To what it had come when it was undone."""
    came_to = holdfast.wait_for_run(run, ENDED)
    if came_to not in ENDED:
        raise ScenarioTrouble(f"The run is still {came_to} after {TO_THE_END:.0f} s, and cannot be undone yet.")
    with holdfast.person(MANAGER) as manager:
        answer = manager.post(f"/api/v1/runs/{run}/undo", {"reason": "The loader was announced; nobody had listed it."})
    if not answer.is_success:
        raise ScenarioTrouble(f"Holdfast refused to undo the run ({answer.status_code}): {answer.text[:500]}")
    if (state := holdfast.wait_for_run(run, ("undone",))) != "undone":
        raise ScenarioTrouble(f"The run is {state}, not undone, after {TO_THE_END:.0f} s.")
    return came_to


def _verdict(answer: Answer) -> str:
    return str((answer.get("decision") or {}).get("verdict", "nothing yet"))


SCENARIO = Scenario(
    NAME,
    "Undone, and reported again",
    "A new account reads the card vault, is contained, and a manager undoes that; then the same is reported again, and is not cut. "
    "Only when something new is reported about it, a person is asked once more.",
    "hold",
    run,
)
