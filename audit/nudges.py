"""Nudges: "look again", said to workers and browsers after commit. A nudge carries ids and no news, and may be lost.

Nothing publishes inside a request or a transaction. A bounded queue and a thread of each kind do it afterwards in every process: a broker
that is down, slow or silent costs the person at the page nothing, and keeps no news from open pages. The sweepers find what a lost nudge
would have woken.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from typing import Any
from uuid import UUID

from celery import current_app
from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)

WATCHERS = "watchers"  # the group of all open pages; each fetches what it may see
_QUIET_S = 1.0  # after a failure, messages of that kind are dropped for this long
_PATIENCE_S = 2.0  # for a broker to say that it has it


class _Nudger:
    """The queue of one kind and its thread, made anew in each process (a fork inherits neither)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._pid = 0
        self._lock = threading.Lock()
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=2000)
        self._quiet_until = 0.0

    def put(self, message: Any) -> None:
        if self._pid != os.getpid():
            self._start()
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            log.warning("a nudge was dropped: %s", self.kind)

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid():
                self._queue = queue.Queue(maxsize=2000)
                threading.Thread(target=self._run, args=(self._queue,), name=f"nudger of the {self.kind}", daemon=True).start()
                self._pid = os.getpid()

    def _run(self, messages: queue.Queue[Any]) -> None:
        loop = asyncio.new_event_loop()
        while True:
            message = messages.get()
            if time.monotonic() < self._quiet_until:
                continue
            try:
                if self.kind == "worker":
                    task, key = message
                    current_app.send_task(task, args=[key], timeout=_PATIENCE_S)
                else:
                    layer = get_channel_layer()
                    if layer is not None:
                        loop.run_until_complete(asyncio.wait_for(layer.group_send(WATCHERS, message), timeout=2))
            except Exception as error:
                self._quiet_until = time.monotonic() + _QUIET_S
                log.warning("a nudge to the %s was lost: %s", self.kind, type(error).__name__)


_workers, _watchers = _Nudger("worker"), _Nudger("watchers")


def wake_worker(task: str, key: UUID) -> None:
    """After commit, ask any worker to look at the row `key`."""
    transaction.on_commit(lambda: _workers.put((task, str(key))))


def tell_watchers(verb: str, refs: list[str], *, seq: int) -> None:
    """After commit, tell open pages that the things in `refs` changed."""
    message = {"type": "changed", "verb": verb, "refs": refs, "seq": seq}
    transaction.on_commit(lambda: _watchers.put(message))
