"""Live sessions of a role: seeing them, cancelling what they run, ending them.

Only sessions that began before a moment T are ended, so that doing it again later cuts nobody who came since. Sessions of a spared origin,
client address and application name together, are left alone; for a unix socket the address is `local`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from connectors.base import Rejected
from connectors.postgres.client import Call

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Session:
    pid: int
    started: datetime
    address: str
    application: str
    database: str
    state: str
    statement_started: datetime | None
    transaction_started: datetime | None

    @property
    def origin(self) -> tuple[str, str]:
        return (self.address, self.application)

    def busy_since_before(self, moment: datetime) -> bool:
        return self.state == "active" and self.statement_started is not None and self.statement_started < moment

    def in_transaction_since_before(self, moment: datetime) -> bool:
        return self.transaction_started is not None and self.transaction_started < moment

    def shown(self) -> dict[str, Any]:
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()}


def now(call: Call) -> datetime:
    moment: datetime = call.rows("SELECT clock_timestamp() AS now")[0]["now"]
    return moment


def of(call: Call, role: int) -> list[Session]:
    rows = call.rows(
        """
        SELECT pid, backend_start AS started, coalesce(host(client_addr), 'local') AS address,
               coalesce(application_name, '') AS application, coalesce(datname, '') AS database, coalesce(state, '') AS state,
               query_start AS statement_started, xact_start AS transaction_started
          FROM pg_stat_activity
         WHERE usesysid = %s AND pid <> pg_backend_pid() AND backend_type <> 'parallel worker'
         ORDER BY backend_start, pid
        """,
        [role],
    )
    return [Session(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Which:
    """Sessions by origin: those in `only` (None: all of them) that are not in `spare`."""

    spare: frozenset[tuple[str, str]] = frozenset()
    only: frozenset[tuple[str, str]] | None = None

    def includes(self, session: Session) -> bool:
        return session.origin not in self.spare and (self.only is None or session.origin in self.only)


def which(parameters: Mapping[str, Any]) -> Which:
    """The parameters `spare` and `only`: lists of {"address": …, "application": …}. An `only` that names nobody is refused: it means
    that the sessions to be cut cannot be told from the others."""
    if "only" not in parameters:
        return Which(_origins("spare", parameters.get("spare") or []))
    only = _origins("only", parameters["only"] or [])
    if not only:
        raise Rejected("No origin is known for the sessions to be cut, so they cannot be told from the others.")
    return Which(_origins("spare", parameters.get("spare") or []), only)


def _origins(name: str, given: Any) -> frozenset[tuple[str, str]]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise Rejected(f"`{name}` is a list of origins, each with an address and an application.")
    try:
        return frozenset((str(origin["address"]) or LOCAL, str(origin["application"])) for origin in given)
    except (KeyError, TypeError):
        raise Rejected(f"An origin in `{name}` names both an address and an application.") from None


def doomed(sessions: Collection[Session], *, before: datetime | None, which: Which) -> list[Session]:
    return [one for one in sessions if (before is None or one.started < before) and which.includes(one)]


def cancel(call: Call, sessions: Collection[Session]) -> int:
    return _signal(call, sql.SQL("pg_cancel_backend"), sessions)


def end(call: Call, sessions: Collection[Session]) -> int:
    return _signal(call, sql.SQL("pg_terminate_backend"), sessions)


def _signal(call: Call, how: sql.SQL, sessions: Collection[Session]) -> int:
    """Process numbers are used again by the system: a session is its number and its start."""
    if not sessions:
        return 0
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE {}(pid)) AS done FROM pg_stat_activity"
        " WHERE (pid, backend_start) IN (SELECT * FROM unnest(%s::int[], %s::timestamptz[]))"
    ).format(how)
    return int(call.rows(query, [[one.pid for one in sessions], [one.started for one in sessions]])[0]["done"])
