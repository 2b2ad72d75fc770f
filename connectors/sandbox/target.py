"""The sandbox's outside system: subjects in a PostgreSQL database, what was done to each in a ledger, and a mood per subject.

The ledger counts what really happened, which is what tests compare the product's word with. Nothing of the product reads it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

TABLES = """
CREATE TABLE IF NOT EXISTS sandbox_subject (
    subject text, measure text, state text NOT NULL, PRIMARY KEY (subject, measure));
CREATE TABLE IF NOT EXISTS sandbox_ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text, measure text, did text, key text, at timestamptz DEFAULT clock_timestamp());
CREATE UNIQUE INDEX IF NOT EXISTS sandbox_keyed ON sandbox_ledger (subject, measure, did, key) WHERE measure = 'session.pause';
CREATE TABLE IF NOT EXISTS sandbox_mood (
    subject text PRIMARY KEY, mood text NOT NULL, times int NOT NULL);
ALTER TABLE sandbox_mood ADD COLUMN IF NOT EXISTS seconds float NOT NULL DEFAULT 0;
"""
OPEN, CUT = "open", "cut"


class Mood(StrEnum):
    """How the target misbehaves, `times` times."""

    FAILS_BEFORE = "fails_before"  # answers 500 and did nothing
    FAILS_AFTER = "fails_after"  # did it and answers 500
    TIMES_OUT = "times_out"  # did it and never answers
    PERMISSION_LOST = "permission_lost"
    LOCKS_US_OUT = "locks_us_out"  # no longer accepts our own credential
    WRONG_ACCOUNT = "wrong_account"
    LAGS = "lags"  # did it, but shows the old state for a while
    SABOTAGES = "sabotages"  # answers OK and changes nothing, always
    HIDES = "hides"  # does not answer when it is looked at
    GARBLES = "garbles"  # did it, and what it answers cannot be read
    BUSY = "busy"  # answers 429 with `seconds` to wait, and did nothing
    TRAILS = "trails"  # did it, and shows the old state for `seconds` after each change
    BEATEN = "beaten"  # somebody else cuts it while we are on our way
    VANISHES = "vanishes"  # there is no such subject any more
    LINGERS = "lingers"  # did it, and what was given out before lives on for a minute


def _here() -> tuple[int, int]:
    """The process and the thread."""
    return os.getpid(), threading.get_ident()


class SandboxTarget:
    options = ""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._keeper: tuple[int, int] | None = None
        self._kept: psycopg.Connection[Any] | None = None

    def create(self) -> None:
        with self.connected() as connection:
            connection.execute(TABLES)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """For this thread, until the block ends: to open a connection takes longer than all that is said over it."""
        self._keeper = _here()
        try:
            yield
        finally:
            if self._kept is not None:
                self._kept.close()
            self._keeper = self._kept = None

    @contextmanager
    def connected(self, deadline_s: float = 5) -> Iterator[psycopg.Connection[Any]]:
        """A transaction."""
        in_use = self._kept is not None and self._kept.info.transaction_status == TransactionStatus.INTRANS
        if self._keeper != _here() or in_use:
            with self._opened(deadline_s) as connection:
                yield connection
            return
        if self._kept is None or self._kept.closed:
            self._kept = self._opened(deadline_s)
        with self._kept.transaction():
            yield self._kept

    def _opened(self, deadline_s: float) -> psycopg.Connection[Any]:
        timeout = max(1, int(deadline_s))
        return psycopg.connect(self.dsn, connect_timeout=timeout, options=f"-c statement_timeout={timeout * 1000} {self.options}")

    def state(self, connection: psycopg.Connection[Any], subject: str, measure: str) -> str:
        row = connection.execute("SELECT state FROM sandbox_subject WHERE subject = %s AND measure = %s", [subject, measure]).fetchone()
        return str(row[0]) if row else OPEN

    def put(self, connection: psycopg.Connection[Any], subject: str, measure: str, state: str) -> bool:
        """False when it is there already."""
        if self.state(connection, subject, measure) == state:
            return False
        connection.execute(
            "INSERT INTO sandbox_subject VALUES (%s, %s, %s) ON CONFLICT (subject, measure) DO UPDATE SET state = excluded.state",
            [subject, measure, state],
        )
        return True

    def write(self, connection: psycopg.Connection[Any], subject: str, measure: str, did: str, key: str) -> None:
        connection.execute(
            "INSERT INTO sandbox_ledger (subject, measure, did, key) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [subject, measure, did, key],
        )

    def set_mood(self, subject: str, mood: Mood, times: int = 1, *, seconds: float = 0) -> None:
        with self.connected() as connection:
            connection.execute(
                "INSERT INTO sandbox_mood VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (subject) DO UPDATE SET mood = excluded.mood, times = excluded.times, seconds = excluded.seconds",
                [subject, str(mood), times, seconds],
            )

    def mood(self, subject: str, *among: Mood) -> Mood | None:
        """The subject's mood if it is one of `among`; each asking uses up one of its times."""
        with self.connected() as connection:
            row = connection.execute(
                "UPDATE sandbox_mood SET times = times - 1 WHERE subject = %s AND mood = ANY(%s) AND times > 0 RETURNING mood",
                [subject, [str(mood) for mood in among]],
            ).fetchone()
        return Mood(row[0]) if row else None

    def seconds(self, subject: str) -> float:
        with self.connected() as connection:
            row = connection.execute("SELECT seconds FROM sandbox_mood WHERE subject = %s", [subject]).fetchone()
        return float(row[0]) if row else 0.0

    def trails(self, connection: psycopg.Connection[Any], subject: str, measure: str) -> bool:
        """Whether the last change is younger than what the mood says."""
        row = connection.execute(
            "SELECT max(at) > clock_timestamp() - make_interval(secs => (SELECT seconds FROM sandbox_mood WHERE subject = %(subject)s))"
            "  FROM sandbox_ledger WHERE subject = %(subject)s AND measure = %(measure)s",
            {"subject": subject, "measure": measure},
        ).fetchone()
        return bool(row and row[0])

    def done(self, subject: str, did: str = CUT) -> int:
        """How often the ledger says that it happened."""
        with self.connected() as connection:
            row = connection.execute("SELECT count(*) FROM sandbox_ledger WHERE subject = %s AND did = %s", [subject, did]).fetchone()
        return int(row[0]) if row else 0


class ReadOnlyTarget(SandboxTarget):
    """The same for whoever may only look. It has no moods: using one up would be a change."""

    options = "-c default_transaction_read_only=on"

    def mood(self, subject: str, *among: Mood) -> Mood | None:
        return None
