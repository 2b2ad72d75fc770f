"""Database sessions that step on each other's toes, on purpose and without waiting for luck.

One session (the test's own) holds a row; others start a call and are seen waiting for that row. What happens meanwhile is the test's
business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from core.refusals import Refusal

PATIENCE_S = 20.0


class Session(threading.Thread):
    """A call in a database session of its own. A refusal is an outcome; any other exception is raised again by `outcome()`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._pid: int | None = None
        self._said: Any = None
        self._trouble: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            connection.ensure_connection()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                self._pid = cursor.fetchone()[0]
            self._said = self._call()
        except Refusal as refusal:
            self._said = refusal
        except BaseException as trouble:  # handed over to the test
            self._trouble = trouble
        finally:
            connection.close()

    def seen_waiting(self) -> None:
        """Returns once the call waits for a lock."""
        over = time.monotonic() + PATIENCE_S
        while not self._waits():
            assert self.is_alive(), f"the call did not wait: {self._trouble or self._said}"
            assert time.monotonic() < over, "the call neither waits nor ends"
            time.sleep(0.002)

    def _waits(self) -> bool:
        if self._pid is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)", [self._pid])
            return bool(cursor.fetchone()[0])

    def outcome(self) -> Any:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the call did not end"
        if self._trouble is not None:
            raise self._trouble
        return self._said


@contextmanager
def holding(table: str, key: UUID | int) -> Iterator[None]:
    """The test's own session holds this row until the block ends."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT FROM {table} WHERE id = %s FOR UPDATE", [key])
        yield


def in_the_same_instant(table: str, key: UUID, *calls: Callable[[], Any], meanwhile: Callable[[], Any] = lambda: None) -> list[Any]:
    """All calls wait for this row; then `meanwhile` happens, and they are let go at once. Their outcomes, in the order given."""
    with holding(table, key):
        sessions = [Session(call) for call in calls]
        for session in sessions:
            session.seen_waiting()
        meanwhile()
    return [session.outcome() for session in sessions]
