"""A client that keeps connections open and sends prepared requests, in a process of its own. Its plan comes on stdin, what it saw goes out.

Without a rate, each connection asks again as soon as it is answered. With one, requests are due at even times, and what is late because the
server was busy counts from the moment it was due.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any

import uvloop

END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Asking(asyncio.Protocol):
    """One connection. `seen`: (seconds from due to answered, status, whether the wanted words stood in the body)."""

    def __init__(self, load: Load, requests: list[bytes]) -> None:
        self.load, self.requests = load, requests
        self.next = 0
        self.due = 0.0
        self.busy = False
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.load.free.append(self)

    def connection_lost(self, reason: Exception | None) -> None:
        if not self.load.over:
            self.load.broken += 1

    def ask(self, due: float) -> None:
        self.due, self.busy = due, True
        self.transport.write(self.requests[self.next])
        self.next = (self.next + 1) % len(self.requests)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(END)
        if head < 0:
            return
        at = self.buffer.lower().find(LENGTH, 0, head) + len(LENGTH)
        whole = head + len(END) + int(self.buffer[at : self.buffer.find(b"\r", at)])
        if len(self.buffer) < whole:
            return
        answer, self.buffer, self.busy = self.buffer[:whole], self.buffer[whole:], False
        self.load.answered(self, time.perf_counter() - self.due, answer)


class Load:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.free: deque[Asking] = deque()
        self.waiting: deque[float] = deque()
        self.took: list[float] = []
        self.wrong: list[str] = []
        self.broken = self.all = 0
        self.over = False
        self.counting = False

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        for requests in self.plan["connections"]:
            mine = [request.encode() for request in requests]
            await loop.create_connection(lambda mine=mine: Asking(self, mine), "127.0.0.1", self.plan["port"])  # type: ignore[misc]
        if rate := self.plan.get("rate"):
            worked = await self._paced(rate)
        else:
            worked = await self._closed()
        self.over = True
        return {
            "took": self.took,
            "wrong": self.wrong[:3],
            "wrong_count": len(self.wrong),
            "broken": self.broken,
            "all": self.all,
            "never_sent": len(self.waiting),
            "worked": worked,
        }

    async def _closed(self) -> float:
        while self.free:
            self.free.popleft().ask(time.perf_counter())
        await asyncio.sleep(self.plan["warm"])
        self.counting, began = True, time.process_time()
        await asyncio.sleep(self.plan["seconds"])
        self.counting, self.over = False, True
        return (time.process_time() - began) / float(self.plan["seconds"])

    async def _paced(self, rate: float) -> float:
        began, sent = time.perf_counter(), 0
        counts_from, ends = began + self.plan["warm"], began + self.plan["warm"] + self.plan["seconds"]
        worked = time.process_time()
        while (now := time.perf_counter()) < ends:
            self.counting = now >= counts_from
            while began + sent / rate <= now:
                self.waiting.append(began + sent / rate)
                sent += 1
            self._send()
            await asyncio.sleep(max(0.0, began + sent / rate - time.perf_counter()))
        self.over = True
        return (time.process_time() - worked) / (time.perf_counter() - began)

    def _send(self) -> None:
        while self.waiting and self.free:
            self.free.popleft().ask(self.waiting.popleft())

    def answered(self, one: Asking, took: float, answer: bytes) -> None:
        self.all += 1
        if self.counting:
            self.took.append(took)
            if not answer.startswith(b"HTTP/1.1 200") or self.plan["wants"].encode() not in answer:
                self.wrong.append(answer.decode(errors="replace")[-700:])
        if self.plan.get("rate"):
            self.free.append(one)
            self._send()
        elif not self.over:
            one.ask(time.perf_counter())


if __name__ == "__main__":
    print(json.dumps(uvloop.run(Load(json.load(sys.stdin)).run())))  # noqa: T201
