"""Waiting for something to change, without holding a connection or a thread between two looks: what a long poll stands on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, close_old_connections, connection

T = TypeVar("T")

LONGEST_S = 55.0  # under the minute after which proxies on the way give up
FIRST_S, SLOWEST_S = 0.1, 1.0
TOGETHER_S = 0.5


async def until(look: Callable[[], T | None], *, seconds: float) -> T | None:
    """What `look` finds, as soon as it finds something; None when the time is over. It looks at least once, and then ever more slowly, up
    to once a second. Rows are the truth: nobody has to tell us."""
    loop = asyncio.get_running_loop()
    over = loop.time() + min(seconds, LONGEST_S)
    pause = FIRST_S
    while True:
        found = await sync_to_async(_look, thread_sensitive=False)(look)
        left = over - loop.time()
        if found is not None or left <= 0:
            return found
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, SLOWEST_S)


class Together:
    """Many wait, each for a row of its own; one task looks for all of them, with one query every half second, while anybody waits.

    `ended`: those of these names for which the waiting is over. For one event loop."""

    def __init__(self, ended: Callable[[Collection[str]], Collection[str]]) -> None:
        self._ended = ended
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, name: str, seconds: float) -> None:
        """Until it has ended, or the time is over, or nobody can look."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting[name].add(mine)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_all())
        try:
            await asyncio.wait([mine], timeout=min(seconds, LONGEST_S))
        finally:
            self._waiting[name].discard(mine)
            if not self._waiting[name]:
                del self._waiting[name]

    async def _look_for_all(self) -> None:
        while self._waiting:
            over = await self._over(tuple(self._waiting))
            for name in over:
                for one in self._waiting.get(name, ()):
                    if not one.done():
                        one.set_result(None)
            await asyncio.sleep(TOGETHER_S)

    async def _over(self, names: Collection[str]) -> Collection[str]:
        try:
            return await until(lambda: self._ended(names), seconds=0) or ()
        except DatabaseError:
            return names  # whoever waited asks for itself now, and is told what is wrong


def _look(look: Callable[[], T | None]) -> T | None:
    """One look with a connection of its own, given back at once."""
    close_old_connections()
    try:
        return look()
    finally:
        if not connection.in_atomic_block:
            connection.close()
