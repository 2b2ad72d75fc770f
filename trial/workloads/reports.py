"""Three reports with one credential: two run by themselves, the third does what people ask of it."""

from __future__ import annotations

import time

import psycopg
from psycopg import errors, sql

from trial.workloads.base import Workload

BOOKS_EVERY = 15  # ticks of the audit report from one look at the closed books to the next
SOMEBODY_STARTS_IT_AGAIN = 60.0  # seconds after an administrator ended the ad hoc session


class DailyReport(Workload):
    session = "rep-daily"
    role = "reports_shared"

    def tick(self, connection: psycopg.Connection) -> None:
        connection.execute("SELECT region, sum(revenue_cents) FROM reports.sales GROUP BY region").fetchall()
        self.did("data.read", "reports.sales")
        self.status.did_well()


class AuditReport(Workload):
    session = "rep-audit"
    role = "reports_shared"
    every = 2.0
    _since_the_books = 0

    def tick(self, connection: psycopg.Connection) -> None:
        connection.execute("SELECT count(*), min(day), max(day) FROM reports.sales").fetchone()
        self.did("data.read", "reports.sales")
        if self._since_the_books % BOOKS_EVERY == 0:
            connection.execute("SELECT month, revenue_cents FROM reports.month_end ORDER BY month").fetchall()
            self.did("data.read", "reports.month_end")
        self._since_the_books += 1
        self.status.did_well()


class AdHocReport(Workload):
    """A person at a query tool. Whose session an administrator ends does not come back by itself the next second."""

    session = "rep-adhoc"
    role = "reports_shared"
    _away_until = 0.0

    def tick(self, connection: psycopg.Connection) -> None:
        connection.execute("SELECT max(day) FROM reports.sales").fetchone()
        self.did("data.read", "reports.sales")
        asked = connection.execute("SELECT id, about FROM reports.requests WHERE answered_at IS NULL ORDER BY id LIMIT 5").fetchall()
        for number, about in asked:
            connection.execute(
                "UPDATE reports.requests SET rows_read = %s, answered_at = clock_timestamp() WHERE id = %s",
                [rows_of(connection, about), number],
            )
            self.did("data.read", about)
        self.status.did_well()

    def connected(self) -> psycopg.Connection:
        self.stop.wait(max(0.0, self._away_until - time.monotonic()))
        return super().connected()

    def refused(self, no: psycopg.Error) -> None:
        if isinstance(no, errors.AdminShutdown):
            self._away_until = time.monotonic() + SOMEBODY_STARTS_IT_AGAIN


def rows_of(connection: psycopg.Connection, table: str) -> int | None:
    """How many rows it read of `table`; None where there is no such table, or no right to it."""
    try:
        return len(connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*table.split(".")))).fetchall())
    except (errors.UndefinedTable, errors.InsufficientPrivilege):
        return None
