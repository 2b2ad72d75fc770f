"""Lines to the database that the quick way borrows: kept open between calls, and taken without asking first whether they still hold.

Django's pool looks at each connection before it hands it out, which costs a call as much as one of its three statements. Here a line that
broke is found when it is used: it and all others that wait are dropped, and the call takes the whole story, on a connection that was looked
at. Only the web server uses these; everybody else has one connection and keeps it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg.pq import TransactionStatus

MOST_IDLE = 16  # in each process; more may be out at the same time

_idle: deque[psycopg.Connection[Any]] = deque()


@contextmanager
def borrowed() -> Iterator[psycopg.Connection[Any]]:
    try:
        line = _idle.pop()
    except IndexError:
        line = _opened()
    try:
        yield line
    except (psycopg.OperationalError, psycopg.InterfaceError):
        line.close()
        drop()
        raise
    finally:
        if not line.closed and line.info.transaction_status == TransactionStatus.IDLE and len(_idle) < MOST_IDLE:
            _idle.append(line)
        else:
            line.close()


def drop() -> None:
    while _idle:
        _idle.pop().close()


def _opened() -> psycopg.Connection[Any]:
    """As Django would, but for two things: what is said here is prepared, and planned once for all parameters."""
    parameters: dict[str, Any] = {**connection.get_connection_params(), "prepare_threshold": 0, "autocommit": True}
    parameters["options"] = f"{parameters.get('options', '')} -c TimeZone=UTC -c plan_cache_mode=force_generic_plan".strip()
    return psycopg.connect(**parameters)
