"""Drivers: the threads in which a sweeper carries out what no worker took in time.

A target that hangs holds one of them for as long as its call may take, and neither a deadline nor the run of anybody else meanwhile. The
lease on the run keeps two of them apart, wherever they are; this file only keeps one process from asking for the same run twice.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from playbooks import engine

log = logging.getLogger(__name__)

THREADS = 4


class Drivers:
    def __init__(self, threads: int = THREADS, *, turn_s: float) -> None:
        self._threads, self._turn_s = threads, turn_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="driver")
        self._driven: set[UUID] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def begin(self, run_id: UUID) -> int:
        """1 where a thread is free and takes it; 0 where all are busy, or one is at it already."""
        with self._lock:
            if run_id in self._driven or len(self._driven) >= self._threads:
                return 0
            self._driven.add(run_id)
        self._pool.submit(self._drive, run_id)
        return 1

    def stop(self) -> None:
        """Wait for those who are at it: each gives its run back after the call that it makes."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)

    def _drive(self, run_id: UUID) -> None:
        try:
            engine.drive(run_id, executor="sweeper", turn_s=self._turn_s, stopping=self._stopping.is_set)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database does not answer (%s); the run %s is still due", type(error).__name__, run_id)
        except Exception:
            log.exception("driving the run %s failed; it is still due", run_id)
        finally:
            with self._lock:
                self._driven.discard(run_id)
            connection.close()
