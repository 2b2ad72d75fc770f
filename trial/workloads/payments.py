"""The payment writer: books a payment a second, and connects anew every five seconds, as a pool does that trusts no old connection.

Each second brings one customer. A payment that cannot be booked waits and is booked late: a gap in the ledger is a customer who was turned
away, and `booked_at - due_at` says how long the others stood there.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

from trial.estate import Estate
from trial.workloads.base import Workload

A_CONNECTION_LIVES = 5.0
A_CUSTOMER_WAITS = 30  # seconds; then the purchase is given up

BOOK = """
    INSERT INTO payments.ledger (reference, customer, amount_cents, due_at) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""  # the reference makes a payment whose answer got lost safe to book again


class Payments(Workload):
    session = "pay-main"
    role = "payments_writer"
    every = 0.05  # only how often it looks whether the next second has come

    def __init__(self, estate: Estate, stop: threading.Event) -> None:
        super().__init__(estate, stop)
        self.next_due = int(time.time())
        self._connected_at = 0.0

    def tick(self, connection: psycopg.Connection) -> None:
        self._turn_away_who_waited_too_long()
        while self.next_due <= time.time():
            connection.execute(BOOK, payment(self.next_due))
            self.next_due += 1
            self.did("data.write", "payments.ledger")
            self.status.did_well()

    def connected(self) -> psycopg.Connection:
        if time.monotonic() - self._connected_at >= A_CONNECTION_LIVES:
            self.disconnect()
        fresh = self.connection is None or self.connection.closed
        connection = super().connected()
        if fresh:
            self._connected_at = time.monotonic()
        return connection

    def refused(self, no: psycopg.Error) -> None:
        self._turn_away_who_waited_too_long()

    def _turn_away_who_waited_too_long(self) -> None:
        oldest = int(time.time()) - A_CUSTOMER_WAITS
        if self.next_due < oldest:
            self.status.given_up += oldest - self.next_due
            self.next_due = oldest


def payment(second: int) -> list[Any]:
    return [f"p-{second}", f"customer-{1000 + second * 31 % 250}", 499 + second * 7919 % 20000, datetime.fromtimestamp(second, UTC)]
