"""Waiting for something to change, without holding a connection or a thread between two looks: what a long poll stands on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connection

T = TypeVar("T")

LONGEST_S = 55.0  # under the minute after which proxies on the way give up
FIRST_S, SLOWEST_S = 0.1, 1.0


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


def _look(look: Callable[[], T | None]) -> T | None:
    """One look with a connection of its own, given back at once."""
    close_old_connections()
    try:
        return look()
    finally:
        if not connection.in_atomic_block:
            connection.close()
