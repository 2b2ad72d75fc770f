"""Speaks to one PostgreSQL cluster: one deadline for all of a call, our lock, retries, and errors in the words of the contract.

A call may touch several databases of the cluster, because privileges live in each of them. `home` is the database of the DSN:
our advisory lock is taken there, and role attributes are changed there, last.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from connectors.base import Ambiguous, ConnectorTrouble, LockedOut, Rejected, Unavailable

T = TypeVar("T")
Query = LiteralString | sql.SQL | sql.Composed

APPLICATION_NAME = "holdfast"
OUR_LOCK = 0x686F6C6466617374  # "holdfast", the key of the advisory lock that all our changes take
TRIES = 5  # catalogue rows are not locked by GRANT; the loser of a race is told XX000 "tuple concurrently updated"
NOT_PERMITTED = "is not permitted to log in"
RACED = {"XX000", "40001", "40P01"}
HOPELESS = {"3D", "42", "0L", "0P", "2B", "22", "0A"}  # SQLSTATE classes that trying again does not mend


class Call:
    """One deadline, and a connection per database that was asked for."""

    def __init__(self, conninfo: str, ends: float, *, reads_only: bool = False) -> None:
        self._conninfo = conninfo
        self._reads_only = reads_only
        self._ends = ends
        self._connections: dict[str, psycopg.Connection[DictRow]] = {}
        self._watch: threading.Timer | None = None
        self.home_name = str(conninfo_to_dict(conninfo)["dbname"])
        self.committing = False
        self.overdue = False

    @property
    def left_s(self) -> float:
        return self._ends - time.monotonic()

    @property
    def home(self) -> psycopg.Connection[DictRow]:
        return self.database(self.home_name)

    def database(self, name: str) -> psycopg.Connection[DictRow]:
        if name not in self._connections:
            self._connections[name] = self._connect(name)
        return self._connections[name]

    @property
    def opened(self) -> frozenset[str]:
        """Databases that this call is in already: what it did there is not committed, so the catalogue of the cluster may not show it."""
        return frozenset(self._connections)

    def rows(self, query: Query, parameters: Any = None, *, database: str = "") -> list[DictRow]:
        return self.database(database or self.home_name).execute(query, parameters).fetchall()

    def do(self, statement: Query, parameters: Any = None, *, database: str = "") -> None:
        self.database(database or self.home_name).execute(statement, parameters)

    def lock(self) -> None:
        self.do("SELECT pg_advisory_xact_lock(%s)", [OUR_LOCK])

    def commit(self) -> None:
        """The other databases first: what is left undone by a failure between them is found again by look."""
        self.committing = True
        for name, connection in self._connections.items():
            if name != self.home_name:
                connection.commit()
        self.home.commit()
        self.committing = False

    def close(self) -> None:
        if self._watch:
            self._watch.cancel()
        for connection in self._connections.values():
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _connect(self, name: str) -> psycopg.Connection[DictRow]:
        if self.left_s <= 0:
            raise Unavailable("The database did not answer in time.")
        connection = psycopg.connect(
            make_conninfo(
                self._conninfo,
                dbname=name,
                application_name=APPLICATION_NAME,
                connect_timeout=str(max(2, round(self.left_s))),
                tcp_user_timeout=str(max(1000, int(self.left_s * 1000))),
            ),
            row_factory=dict_row,
        )
        patience = max(1, int(self.left_s * 1000))
        connection.execute(
            "SELECT set_config('search_path', 'pg_catalog', false), set_config('statement_timeout', %s, false),"
            " set_config('default_transaction_read_only', %s, false)",
            [f"{patience}ms", "on" if self._reads_only else "off"],
        )
        connection.commit()
        if not self._watch:
            self._watch = threading.Timer(max(0.05, self.left_s + 0.25), self._hang_up)
            self._watch.daemon = True
            self._watch.start()
        return connection

    def _hang_up(self) -> None:
        """A server that is frozen answers no timeout of its own: shut the sockets, which wakes the waiting call."""
        self.overdue = True
        for connection in list(self._connections.values()):
            with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=_duplicate(connection)) as line:
                line.shutdown(socket.SHUT_RDWR)


class Client:
    def __init__(self, dsn: str, *, reads_only: bool = False) -> None:
        facts = conninfo_to_dict(dsn)
        self._reads_only = reads_only
        self.user = str(facts.get("user") or "")
        self._conninfo = make_conninfo(dsn, dbname=facts.get("dbname") or facts.get("user") or "postgres")  # as libpq would, but by name

    @property
    def where(self) -> str:
        """For sentences: host and port, no password."""
        facts = conninfo_to_dict(self._conninfo)
        return f"{facts.get('host') or 'the local socket'}:{facts.get('port') or 5432}"

    @contextlib.contextmanager
    def call(self, *, seconds: float) -> Iterator[Call]:
        """To read. Nothing is kept unless the caller commits."""
        call = Call(self._conninfo, time.monotonic() + seconds, reads_only=self._reads_only)
        try:
            yield call
        except psycopg.Error as error:
            raise self._in_our_words(error, call) from error
        finally:
            call.close()

    def change(self, work: Callable[[Call], T], *, seconds: float) -> T:
        """`work` in one transaction per database, under our lock; again from its start if it lost a race."""
        ends = time.monotonic() + seconds
        for tries_left in reversed(range(TRIES)):
            try:
                with self.call(seconds=ends - time.monotonic()) as call:
                    call.lock()
                    result = work(call)
                    call.commit()
                    return result
            except _Raced:
                if not tries_left or time.monotonic() > ends:
                    break
                time.sleep(0.02 * (TRIES - tries_left))
        raise Unavailable("Somebody else kept changing the same catalogue rows. Trying again later.", retry_after=2.0)

    def login_answer(self, role: str, password: str, *, seconds: float) -> str:
        """Try the front door as `role`: '' if it opened, else what the server said."""
        try:
            with psycopg.connect(
                make_conninfo(
                    self._conninfo,
                    user=role,
                    password=password,
                    application_name=APPLICATION_NAME,
                    connect_timeout=str(max(2, round(seconds))),
                )
            ):
                return ""
        except psycopg.OperationalError as error:
            return str(error).strip() or "no answer"

    def _in_our_words(self, error: psycopg.Error, call: Call) -> ConnectorTrouble:
        said = _sentence(error)
        if call.committing:
            return Ambiguous(f"The connection to {self.where} broke while committing: {said}")
        if call.overdue or isinstance(error, psycopg.errors.QueryCanceled):
            return Unavailable(f"{self.where} did not answer in time.")
        if error.sqlstate in RACED:
            return _Raced(said)
        if error.sqlstate and error.sqlstate[:2] == "28":
            return LockedOut(f"{self.where} does not accept our own credential: {said}")
        if error.sqlstate and error.sqlstate[:2] in HOPELESS:
            return Rejected(f"{self.where} refused: {said}")
        if error.sqlstate is None and ("authentication failed" in said or "pg_hba.conf" in said or NOT_PERMITTED in said):
            return LockedOut(f"{self.where} does not accept our own credential: {said}")
        return Unavailable(f"{self.where} is not reachable: {said}")


class _Raced(Unavailable):
    """Lost a race for a catalogue row; worth another go at once."""


def _sentence(error: psycopg.Error) -> str:
    """The server's primary message: details and statements may quote values."""
    primary = error.diag.message_primary if error.diag else None
    return primary or (str(error).strip().splitlines() or ["no reason given"])[0]


def _duplicate(connection: psycopg.Connection[DictRow]) -> int:
    return os.dup(connection.fileno())
