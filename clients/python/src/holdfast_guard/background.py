"""Two tasks beside the calls: one watches what is contained, one tells what is still to be told. They begin with the first call."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from holdfast_guard import wire
from holdfast_guard.breaker import Breaker
from holdfast_guard.journal import Entry, Journal
from holdfast_guard.transport import Transport
from holdfast_guard.view import View

log = logging.getLogger("holdfast_guard")

POLL_S, POLL_SLACK_S = 25.0, 5.0
SHORTEST_PAUSE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 0.25, 2.0
TELL_S, TELL_EVERY_S, TELL_LONGEST_PAUSE_S = 20.0, 0.25, 15.0
FALLEN_S = 1.0
FIRST_ITEMS, FEWEST_ITEMS, MOST_ITEMS, MOST_BYTES = 40, 5, 400, 2 * 1024 * 1024


class Watcher:
    """Polls without end; `seen` after each snapshot. An answer shows that the service is back, too.

    However quickly it answers, it is not asked at once again; and ever more slowly where it does not wait for a change."""

    def __init__(self, transport: Transport, view: View, breaker: Breaker, seen: Callable[[], None]) -> None:
        self._transport, self._view, self._breaker, self._seen = transport, view, breaker, seen

    async def run(self) -> None:
        await again_and_again(self._run)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            asked_at, had = time.monotonic(), self._view.name
            if await self.look(POLL_S if had else 0.0) and (self._view.name != had or time.monotonic() - asked_at > 1.0):
                pause = FIRST_PAUSE_S
                await asyncio.sleep(SHORTEST_PAUSE_S)
                continue
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def look(self, wait_s: float) -> bool:
        got = await self._transport.send(wire.contained_asked(self._view.name, wait_s, self._view.as_of), seconds=wait_s + POLL_SLACK_S)
        if not self._view.take(got):
            return False
        self._breaker.answered()
        self._seen()
        return True


class Teller:
    """Tells the journal, from its beginning, in batches. What could not be delivered stays; what is refused for good is logged."""

    def __init__(self, transport: Transport, journal: Journal) -> None:
        self._transport, self._journal = transport, journal
        self._most = FIRST_ITEMS
        self._telling = False
        self.woken = asyncio.Event()
        self.refused = 0

    async def run(self) -> None:
        await again_and_again(self._run)

    async def _run(self) -> None:
        self.woken.set()  # for what lies there already
        pause = TELL_EVERY_S
        while True:
            await self.woken.wait()
            self.woken.clear()
            await asyncio.sleep(TELL_EVERY_S)  # what comes together is told together
            while len(self._journal):
                if await self.tell(TELL_S):
                    pause = TELL_EVERY_S
                    continue
                with_jitter = pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                await happens(self.woken, with_jitter)
                self.woken.clear()
                pause = min(pause * 2, TELL_LONGEST_PAUSE_S)

    async def flush(self, seconds: float) -> bool:
        """Tell all that there is, within this time. Says whether nothing is left."""
        ends = time.monotonic() + seconds
        pause = 0.1
        while len(self._journal) and (left := ends - time.monotonic()) > 0:
            if not await self.tell(left):
                await asyncio.sleep(min(pause, max(0.0, ends - time.monotonic())))
                pause = min(pause * 2, 1.0)
        return not len(self._journal)

    async def tell(self, seconds: float) -> bool:
        """One batch. Says whether the service took it. Only one is on its way at a time, so that their order stays."""
        ends = time.monotonic() + seconds
        while self._telling:  # not wait_for a lock: before Python 3.12 that loses cancellations
            if time.monotonic() >= ends:
                return False
            await asyncio.sleep(0.02)
        self._telling = True
        try:
            return await self._tell(ends - time.monotonic())
        finally:
            self._telling = False

    async def _tell(self, seconds: float) -> bool:
        batch = self._journal.batch(self._most, MOST_BYTES)
        if not batch:
            return True
        try:
            got = await self._transport.send(wire.reported([entry.data for entry in batch]), seconds=seconds)
            return self._settle(batch, got)
        except BaseException:
            self._journal.back(batch)
            raise

    def _settle(self, batch: list[Entry], got: wire.Got) -> bool:
        results = wire.results_of(got, len(batch))
        if results is not None:
            for entry, result in zip(batch, results, strict=True):
                if isinstance(result.get("status"), int) and result["status"] >= 400:
                    self._give_up(entry, result)
            self._journal.taken(batch)
            self._most = min(self._most * 2, MOST_ITEMS)
            return True
        if not got.status and self._most > FEWEST_ITEMS:  # it may be too many for the time: what arrived is not taken twice
            self._most = max(self._most // 2, FEWEST_ITEMS)
        if got.status in (400, 413, 422):  # the batch as such is refused: a smaller one, and in the end the one that is to blame
            if len(batch) == 1:
                self._give_up(batch[0], {"status": got.status, "code": wire.problem_of(got)[0]})
                self._journal.taken(batch)
                return True
            self._most = max(1, len(batch) // 2)
        self._journal.back(batch)
        return False

    def _give_up(self, entry: Entry, result: Mapping[str, Any]) -> None:
        """Only the codes: a call may hold what belongs in no log."""
        self.refused += 1
        log.warning("The guard did not take a report: %s %s", result.get("status"), result.get("code"))


async def again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Nothing that goes wrong inside ends it for good. The fault is named by its kind alone: its words may hold parts of a call."""
    while True:
        try:
            await work()
        except Exception as error:
            log.warning("The guard's work in the background fell over and goes on: %s", type(error).__name__)
        await asyncio.sleep(FALLEN_S)


async def happens(event: asyncio.Event, seconds: float) -> bool:
    task = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    return event.is_set()
