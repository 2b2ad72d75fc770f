"""The world: an outside system of ours in a database of its own. What really happened stands in a ledger that nobody can change.

Controls are cut and restored over HTTP (server.py). How it misbehaves is a row, ordered from outside: for a subject and a measure, the
next `times` calls. Each measure stands for one effect class; what a blind one did shows nowhere but in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

TABLES = """
CREATE TABLE IF NOT EXISTS world_control (subject text, measure text, state text NOT NULL, PRIMARY KEY (subject, measure));
CREATE TABLE IF NOT EXISTS world_ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject text NOT NULL, measure text NOT NULL, did text NOT NULL, key text NOT NULL);
CREATE INDEX IF NOT EXISTS world_ledger_of ON world_ledger (subject, measure);
CREATE TABLE IF NOT EXISTS world_fault (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject text NOT NULL, measure text NOT NULL, call text NOT NULL,
    kind text NOT NULL, given jsonb NOT NULL, times int NOT NULL, met int NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS world_fault_ordered ON world_fault (subject) WHERE times > 0;
CREATE OR REPLACE FUNCTION world_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'what happened, happened'; END $$;
CREATE OR REPLACE TRIGGER world_ledger_is_final BEFORE UPDATE OR DELETE ON world_ledger
    FOR EACH ROW EXECUTE FUNCTION world_is_final();
"""
OPEN, CUT = "open", "cut"
ACCOUNT = "world-1"
KEYED, NATURAL, OBSERVABLE, BLIND = "session.pause", "workload.isolate", "session.terminate", "identity.disable"
MEASURES: Mapping[str, str] = {"keyed": KEYED, "natural": NATURAL, "observable": OBSERVABLE, "blind": BLIND}


class Fault(StrEnum):
    """`before`: nothing was done. `after`: it was, and the caller does not hear so."""

    BEFORE = "500 before"
    AFTER = "500 after"
    TIMES_OUT = "does it and never answers"
    HANGS_UP = "does it and hangs up"
    GARBAGE = "does it and answers garbage"
    ENDLESS = "does it and never ends its answer"
    DRIPS = "does it and answers a byte a second"
    BUSY = "429"  # given: {"after": what Retry-After says, or nothing}
    LAG = "takes its time"  # given: {"seconds": before it does it}
    STALE = "shows what was so before"
    WRONG_ACCOUNT = "answers for another account"
    NO_PERMISSION = "403"
    SABOTAGE = "says OK and does nothing"


RETRY_AFTER = ("1", "0", "-5", "soon", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT", None)


@dataclass(frozen=True, slots=True)
class Done:
    subject: str
    measure: str
    did: str
    key: str
    at: Any


class World:
    """As tests and the bench see it: they order faults, change things behind our back, and count what happened."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def create(self) -> None:
        with self._connected() as connection:
            connection.execute(TABLES.encode())

    def order(self, kind: Fault, subject: str = "*", measure: str = "*", *, call: str = "*", times: int = 1, **given: Any) -> None:
        """`call`: look, perform, undo, or any of them."""
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO world_fault (subject, measure, call, kind, given, times) VALUES (%s, %s, %s, %s, %s, %s)",
                [subject, measure, call, str(kind), Jsonb(given), times],
            )

    def calm_down(self) -> int:
        """No more faults. How many calls met one."""
        with self._connected() as connection:
            connection.execute("UPDATE world_fault SET times = 0")
            row = connection.execute("SELECT sum(met) FROM world_fault").fetchone()
        return int(row[0] or 0) if row else 0

    def met(self) -> dict[str, int]:
        with self._connected() as connection:
            return dict(
                connection.execute("SELECT kind, sum(met)::int FROM world_fault GROUP BY 1 HAVING sum(met) > 0 ORDER BY 1").fetchall()
            )

    def put(self, subject: str, measure: str, state: str) -> None:
        """Somebody else changes it."""
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO world_control VALUES (%s, %s, %s) ON CONFLICT (subject, measure) DO UPDATE SET state = excluded.state",
                [subject, measure, state],
            )

    def state(self, subject: str, measure: str) -> str:
        with self._connected() as connection:
            return state_of(connection, subject, measure)

    def done(self, subject: str = "") -> list[Done]:
        with self._connected() as connection:
            query = "SELECT subject, measure, did, key, at FROM world_ledger WHERE %s IN ('', subject) ORDER BY id"
            return [Done(*row) for row in connection.execute(query, [subject]).fetchall()]

    def ordered(self, subject: str) -> list[tuple[Any, ...]]:
        """The faults of a subject: measure, call, kind, given, how often it was met."""
        with self._connected() as connection:
            query = "SELECT measure, call, kind, given, met FROM world_fault WHERE subject = %s ORDER BY id"
            return connection.execute(query, [subject]).fetchall()

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            yield connection


# -- as the server does it ---------------------------------------------------------------------------------------------------------------


def state_of(connection: psycopg.Connection[Any], subject: str, measure: str) -> str:
    row = connection.execute("SELECT state FROM world_control WHERE subject = %s AND measure = %s", [subject, measure]).fetchone()
    return str(row[0]) if row else OPEN


def next_fault(connection: psycopg.Connection[Any], subject: str, measure: str, call: str) -> tuple[Fault, dict[str, Any]] | None:
    """The first one ordered for such a call; it is used up a little."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            "UPDATE world_fault SET times = times - 1, met = met + 1 WHERE id = (SELECT id FROM world_fault WHERE times > 0"
            " AND subject IN (%s, '*') AND measure IN (%s, '*') AND call IN (%s, '*') ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)"
            " RETURNING kind, given",
            [subject, measure, call],
        )
        row = cursor.fetchone()
    return (Fault(row["kind"]), dict(row["given"])) if row else None


def cut(connection: psycopg.Connection[Any], subject: str, measure: str, key: str) -> bool:
    """True where something happened. A keyed one remembers the key, a natural one the state; the others do it again."""
    with connection.transaction():
        before = _locked(connection, subject, measure)
        if (measure == KEYED and _knows(connection, subject, measure, CUT, key)) or (measure in {KEYED, NATURAL} and before == CUT):
            return False
        _put(connection, subject, measure, CUT)
        _write(connection, subject, measure, CUT, key)
    return True


def restore(connection: psycopg.Connection[Any], subject: str, measure: str, key: str, to: str) -> str | None:
    """None where it was put back; else what is there instead of what was cut. A blind one is put back without looking, each time."""
    with connection.transaction():
        now = _locked(connection, subject, measure)
        if measure == KEYED and _knows(connection, subject, measure, "restored", key):
            return None
        if measure != BLIND and now != CUT:
            return None if now == to else now
        _put(connection, subject, measure, to)
        _write(connection, subject, measure, "restored", key)
    return None


def _locked(connection: psycopg.Connection[Any], subject: str, measure: str) -> str:
    connection.execute("INSERT INTO world_control VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", [subject, measure, OPEN])
    row = connection.execute(
        "SELECT state FROM world_control WHERE subject = %s AND measure = %s FOR UPDATE", [subject, measure]
    ).fetchone()
    assert row is not None
    return str(row[0])


def _knows(connection: psycopg.Connection[Any], subject: str, measure: str, did: str, key: str) -> bool:
    query = "SELECT 1 FROM world_ledger WHERE subject = %s AND measure = %s AND did = %s AND key = %s"
    return connection.execute(query, [subject, measure, did, key]).fetchone() is not None


def _put(connection: psycopg.Connection[Any], subject: str, measure: str, state: str) -> None:
    connection.execute("UPDATE world_control SET state = %s WHERE subject = %s AND measure = %s", [state, subject, measure])


def _write(connection: psycopg.Connection[Any], subject: str, measure: str, did: str, key: str) -> None:
    connection.execute("INSERT INTO world_ledger (subject, measure, did, key) VALUES (%s, %s, %s, %s)", [subject, measure, did, key])


def wait_for(subject: str, world: World, did: str, seconds: float = 10) -> bool:
    """Until the ledger says so."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if any(done.did == did for done in world.done(subject)):
            return True
        time.sleep(0.05)
    return False
