"""Room: how many are answered at once, and how long anybody waits for a turn or for the database. A storm or a database that is gone is an
answer within a second, with the time to try again; a tool call that hangs is worse than one that is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection

from core.refusals import Refusal

WAIT_S = 0.75  # for a turn, and then for a connection
_POOL = settings.DATABASES["default"]["OPTIONS"].get("pool", {})
AT_ONCE = max(2, int(_POOL.get("max_size", 24)) * 2 // 3)  # people and workers need connections too
MOST_WAITING = 8 * AT_ONCE

_turns = threading.BoundedSemaphore(AT_ONCE)
_waiting = threading.BoundedSemaphore(MOST_WAITING)
_hurried = threading.local()


class Busy(Refusal):
    code = "busy"
    kind = "busy"


@contextmanager
def turn() -> Iterator[None]:
    """Busy where too many are before us."""
    if not _waiting.acquire(blocking=False):
        raise Busy("Too many ask at once. Nothing was judged; try again.")
    try:
        granted = _turns.acquire(timeout=WAIT_S)
    finally:
        _waiting.release()
    if not granted:
        raise Busy("Too many ask at once. Nothing was judged; try again.")
    try:
        _hurry()
        yield
    finally:
        _hurried.now = False
        _turns.release()


def _hurry() -> None:
    """From now on this thread waits for a connection of the pool no longer than for its turn."""
    pool: Any = getattr(connection, "pool", None)
    if pool is not None and not hasattr(pool, "hurries"):
        patient = pool.getconn

        def getconn(timeout: float | None = None) -> Any:
            return patient(WAIT_S if getattr(_hurried, "now", False) else timeout)

        pool.getconn, pool.hurries = getconn, True
    _hurried.now = True
