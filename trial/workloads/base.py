"""What every workload shares: a thread, a connection that carries its session's name, and quiet patience while the estate says no.

A refusal is not an error here. Being cut off is what the trial is about: the workload notes it in its status and asks again a second later.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import psycopg

from trial.estate import Estate
from trial.workloads.telling import Deed

ASK_AGAIN = 1.0


@dataclass(slots=True)
class Status:
    """What `workloads.json` says of one workload. Written by its own thread alone."""

    session: str
    role: str
    state: str = "starting"  # working | refused | waiting
    worked: int = 0
    given_up: int = 0  # payments: customers who were turned away
    connections: int = 0
    last_ok: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None

    def did_well(self) -> None:
        self.state, self.worked, self.last_ok = "working", self.worked + 1, _now()

    def was_refused(self, because: str) -> None:
        self.state, self.last_error, self.last_error_at = "refused", because, _now()

    def waits(self, because: str) -> None:
        self.state, self.last_error, self.last_error_at = "waiting", because, _now()

    def public(self) -> dict[str, Any]:
        return asdict(self)


class Workload(threading.Thread, ABC):
    """A session in the estate. Subclasses say who they are and what one tick of their work is."""

    session: ClassVar[str]
    role: ClassVar[str]
    every: ClassVar[float] = 1.0  # seconds between two ticks

    def __init__(self, estate: Estate, stop: threading.Event) -> None:
        super().__init__(name=self.session, daemon=True)
        self.estate = estate
        self.stop = stop
        self.status = Status(self.session, self.role)
        self.connection: psycopg.Connection | None = None
        self.tell: Callable[[Deed], None] | None = None  # who hears of what it does; set before it starts

    @abstractmethod
    def tick(self, connection: psycopg.Connection) -> None:
        """One piece of work. psycopg.Error means that the estate said no; anything else is a bug and ends the process."""

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.tick(self.connected())
            except psycopg.Error as no:
                self.status.was_refused(_first_line(no))
                self.refused(no)
                self.stop.wait(ASK_AGAIN)
            else:
                self.stop.wait(self.every)
        self.disconnect()

    def did(self, action: str, table: str) -> None:
        """Note one thing that it did, for the activity feed."""
        if self.tell is not None:
            self.tell(Deed(self.role, self.session, action, table))

    def connected(self) -> psycopg.Connection:
        if self.connection is None or self.connection.closed:
            self.connection = self.estate.connect(self.role, self.session)
            self.status.connections += 1
        return self.connection

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def refused(self, no: psycopg.Error) -> None:
        """For workloads that have something to do when the estate says no. The connection stays open if it still is."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _first_line(no: psycopg.Error) -> str:
    return str(no).strip().splitlines()[0] if str(no).strip() else type(no).__name__
