"""Room: how many are answered at once, and how long anybody waits for a turn or for the database. A storm or a database that is gone is an
answer within a second or two, with the time to try again; a tool call that hangs is worse than one that is refused.

The turnstile stands before Django: whoever waits for a turn there holds no thread. Threads that wait would take the processor from those
that answer, and from the loop that turns the others away. `turn` is the same promise for a server that has no turnstile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection

from api.gate import Application, Receive, Scope, Send
from api.refusals import problem
from core.refusals import Refusal

WAIT_S = 0.75  # for a turn, and then for a connection
_POOL = settings.DATABASES["default"]["OPTIONS"].get("pool", {})
AT_ONCE = max(2, int(_POOL.get("max_size", 24)) * 2 // 3)  # people and workers need connections too
MOST_WAITING = 4 * AT_ONCE
PREFIX = "/access/v1/"
LONGEST_ID = 200
TOO_MANY = "Too many ask at once. Nothing was judged; try again."

_turns = threading.BoundedSemaphore(AT_ONCE)
_waiting = threading.BoundedSemaphore(MOST_WAITING)
_hurried = threading.local()


class Busy(Refusal):
    code = "busy"
    kind = "busy"


class Turnstile:
    """ASGI: of a storm of questions, requests and reports, so many come in at once; some more wait for their turn, and not for long. The
    others are told at once to try again."""

    def __init__(self, application: Application, at_once: int = AT_ONCE, most: int = MOST_WAITING) -> None:
        self.application, self.most, self.waiting = application, most, 0
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not str(scope["path"]).startswith(PREFIX):
            await self.application(scope, receive, send)
        elif not await self._granted():
            await self._turn_away(scope, send)
        else:
            try:
                await self.application(scope, receive, send)
            finally:
                self._turns.release()

    async def _granted(self) -> bool:
        if self.waiting >= self.most:
            return False
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._turns.acquire()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1

    async def _turn_away(self, scope: Scope, send: Send) -> None:
        answer = problem(503, TOO_MANY, code=Busy.code)
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.items()]
        headers += [(name, value) for name, value in scope["headers"] if name == b"x-request-id" and len(value) <= LONGEST_ID]
        await send({"type": "http.response.start", "status": 503, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": answer.content})


@contextmanager
def turn() -> Iterator[None]:
    """Busy where too many are before us."""
    if not _waiting.acquire(blocking=False):
        raise Busy(TOO_MANY)
    try:
        granted = _turns.acquire(timeout=WAIT_S)
    finally:
        _waiting.release()
    if not granted:
        raise Busy(TOO_MANY)
    try:
        with hurry():
            yield
    finally:
        _turns.release()


@contextmanager
def hurry() -> Iterator[None]:
    """In here this thread waits for a connection of the pool no longer than for its turn."""
    pool: Any = getattr(connection, "pool", None)
    if pool is not None and not hasattr(pool, "hurries"):
        patient = pool.getconn

        def getconn(timeout: float | None = None) -> Any:
            return patient(WAIT_S if getattr(_hurried, "now", False) else timeout)

        pool.getconn, pool.hurries = getconn, True
    _hurried.now = True
    try:
        yield
    finally:
        _hurried.now = False
