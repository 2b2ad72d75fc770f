"""Somebody from outside: a session in the estate that does not belong there, opened with a credential that leaked.

It comes from another address (127.0.0.2, through a relay of our own, since libpq cannot choose where it comes from) and under another name
than the honest sessions, which is how the estate can tell the two apart. It reads, and stays until it is cut off.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import psycopg
from psycopg.conninfo import conninfo_to_dict

from trial.estate import Estate

ELSEWHERE = "127.0.0.2"
STAYS = 300.0  # seconds; a detection that nobody acts on leaves no session behind for ever


class Intruder:
    """`arrive` opens the session and reads once; from then on it reads every half second, in a thread, until it is told to go or is cut."""

    def __init__(self, estate: Estate, role: str, *, name: str, reads: str) -> None:
        self.estate = estate
        self.role = role
        self.name = name
        self.reads = reads
        self.origin = ""  # the address that the estate sees
        self.rows = 0
        self.said: str | None = None  # what it was told when it was cut
        self.refused = False  # still connected, yet it may not read any more
        self._leave = threading.Event()
        self._over = threading.Event()

    def arrive(self) -> None:
        connection = self._connect()
        row = connection.execute("SELECT coalesce(host(inet_client_addr()), '')").fetchone()
        self.origin = row[0] if row else ""
        self.rows = len(connection.execute(self.reads.encode()).fetchall())
        threading.Thread(target=self._stay, args=[connection], name=self.name, daemon=True).start()

    def leave(self) -> None:
        self._leave.set()
        self._over.wait(5.0)

    def wait_until_cut(self, seconds: float) -> bool:
        """Whether its session has ended by then."""
        return self._over.wait(seconds)

    @property
    def is_cut(self) -> bool:
        return self.said is not None

    def _stay(self, connection: psycopg.Connection) -> None:
        until = time.monotonic() + STAYS
        with connection:
            while time.monotonic() < until and not self._leave.wait(0.5):
                try:
                    connection.execute(self.reads.encode())
                    self.refused = False
                except psycopg.Error as no:
                    self.refused = True
                    if connection.closed:
                        self.said = str(no).strip().partition("\n")[0]
                        break
        self._over.set()

    def _connect(self) -> psycopg.Connection:
        there = conninfo_to_dict(self.estate.dsn)
        try:
            port = relay(ELSEWHERE, (str(there["host"]), int(there["port"] or 5432)))
        except OSError:  # a system with a single loopback address: the foreign name alone tells it apart
            return self.estate.connect(self.role, self.name)
        return psycopg.connect(self.estate.conninfo(self.role, self.name, host="127.0.0.1", port=port), autocommit=True)


def relay(source: str, there: tuple[str, int]) -> int:
    """A port on this machine whose first caller is connected to `there` as if it came from `source`."""
    far = socket.create_connection(there, timeout=5, source_address=(source, 0))
    far.settimeout(None)
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(5)

    def carry(giver: socket.socket, taker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while some := giver.recv(65536):
                taker.sendall(some)
        for end in (giver, taker):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with door, far:
            try:
                near, _ = door.accept()
            except OSError:
                return
            with near:
                back = threading.Thread(target=carry, args=[far, near], daemon=True)
                back.start()
                carry(near, far)
                back.join()

    threading.Thread(target=serve, daemon=True).start()
    return int(door.getsockname()[1])
