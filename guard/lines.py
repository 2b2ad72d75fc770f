"""Lines to the database that the quick way borrows: kept open between calls, and taken without asking first whether they still hold.

Django's pool looks at each connection before it hands it out, which costs a call as much as one of its three statements. Here a line that
broke is found when it is used: it and all others that wait are dropped, and the call takes the whole story, on a connection that was looked
at. So it does where so many lines are out already, and where a lock is not had at once. Only the web server uses these; everybody else has
one connection and keeps it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg.pq import TransactionStatus

MOST = 16  # in each process, out and idle together: the database has connections for others too
LONGEST_WAIT_MS = 200  # for a lock that somebody else has

_idle: deque[psycopg.Connection[Any]] = deque()
_room = threading.BoundedSemaphore(MOST)


class NoneFree(psycopg.OperationalError):
    """All lines are out."""


@contextmanager
def borrowed() -> Iterator[psycopg.Connection[Any]]:
    if not _room.acquire(blocking=False):
        raise NoneFree("All lines are out.")
    try:
        with _one() as line:
            yield line
    finally:
        _room.release()


@contextmanager
def _one() -> Iterator[psycopg.Connection[Any]]:
    line = _waiting() or _opened()
    try:
        yield line
    except (psycopg.OperationalError, psycopg.InterfaceError):
        if line.closed:
            drop()
        raise
    finally:
        if not line.closed and line.info.transaction_status == TransactionStatus.IDLE:
            _idle.append(line)
        else:
            line.close()


def drop() -> None:
    while (line := _waiting()) is not None:
        line.close()


def _waiting() -> psycopg.Connection[Any] | None:
    try:
        return _idle.pop()
    except IndexError:  # others take them too
        return None


def _opened() -> psycopg.Connection[Any]:
    """As Django would, but for three things: what is said here is prepared, planned once for all parameters, and waits for no lock."""
    parameters: dict[str, Any] = {**connection.get_connection_params(), "prepare_threshold": 0, "autocommit": True}
    options = f"-c TimeZone=UTC -c plan_cache_mode=force_generic_plan -c lock_timeout={LONGEST_WAIT_MS}"
    parameters["options"] = f"{parameters.get('options', '')} {options}".strip()
    return psycopg.connect(**parameters)
