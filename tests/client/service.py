"""A service that misbehaves on demand: a real socket, and for each request whatever the test says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

SAID_YES: dict[str, Any] = {"decision": True, "context": {"evaluation_id": "e-1", "verdict": "allow", "reason": "allowed"}}
SAID_NO: dict[str, Any] = {
    "decision": False,
    "context": {
        "evaluation_id": "e-2",
        "verdict": "deny",
        "reason": "policy_denied",
        "reason_user": {"en": "The rules do not allow this."},
    },
}
HELD: dict[str, Any] = {
    "decision": False,
    "context": {
        "evaluation_id": "e-3",
        "verdict": "hold",
        "reason": "approval_required",
        "reason_user": {"en": "People have to decide about this first."},
        "access_request": {"template": "policy", "expires_at": "2026-11-23T12:00:00Z"},
    },
}


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


Behaviour = Callable[[socket.socket, Asked], None]


@dataclass
class Service:
    """`behaves` may be changed at any time; `asked` is all that came. `refuses()` closes the door, `opens()` opens it at the same port."""

    behaves: Behaviour
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    _door: socket.socket | None = None
    _stopping: bool = False
    _guests: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def to(self, path: str) -> list[Asked]:
        return [one for one in list(self.asked) if one.path.split("?")[0] == path]

    def opens(self) -> None:
        self._door = socket.socket()
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._door.bind(("127.0.0.1", self.port))
        self._door.listen(64)
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._door,), daemon=True).start()

    def refuses(self) -> None:
        """As when its process is gone: nobody listens, and what was connected is cut."""
        if self._door is not None:
            with contextlib.suppress(OSError):
                self._door.shutdown(socket.SHUT_RDWR)
            self._door.close()
            self._door = None
        for guest in list(self._guests):
            with contextlib.suppress(OSError):
                guest.shutdown(socket.SHUT_RDWR)

    def _serve(self, door: socket.socket) -> None:
        while True:
            try:
                guest, _ = door.accept()
            except OSError:
                return
            self._guests.add(guest)
            threading.Thread(target=self._talk, args=(guest,), daemon=True).start()

    def _talk(self, guest: socket.socket) -> None:
        with contextlib.suppress(OSError), guest, guest.makefile("rb") as reader:
            while (asked := _read(reader)) is not None:
                self.asked.append(asked)
                self.behaves(guest, asked)
        self._guests.discard(guest)


def _read(reader: Any) -> Asked | None:
    first = reader.readline().decode()
    if not first.strip():
        return None
    method, path, _ = first.split(" ", 2)
    headers = {}
    while (line := reader.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, json.loads(body) if body else None)


def answer(guest: socket.socket, body: Any, status: int = 200, *headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", f"Content-Length: {len(data)}", *headers, "", ""]
    guest.sendall("\r\n".join(head).encode() + data)


def says(body: Any, status: int = 200, *headers: str) -> Behaviour:
    """The same to every question; reports are taken, and polls wait until they give up."""

    def behave(guest: socket.socket, asked: Asked) -> None:
        if asked.path == "/access/v1/reports":
            takes_reports(guest, asked)
        elif asked.path.startswith("/access/v1/contained"):
            black_hole(guest, asked)
        else:
            answer(guest, body, status, *headers)

    return behave


def takes_reports(guest: socket.socket, asked: Asked) -> None:
    items = asked.body["reports"]
    answer(guest, {"results": [{"index": index, "status": 200} for index in range(len(items))]})


def black_hole(guest: socket.socket, asked: Asked) -> None:
    with contextlib.suppress(OSError):
        guest.recv(1)


def a_byte_a_second(guest: socket.socket, asked: Asked) -> None:
    """Valid, and never too slow for a time limit on each read."""
    data = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n" + b'{"decision":true}'
    for byte in data:
        guest.sendall(bytes([byte]))
        time.sleep(0.3)


def without_end(guest: socket.socket, asked: Asked) -> None:
    guest.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"decision"\r\n')
    while True:
        guest.sendall(b"2000\r\n" + b" " * 0x2000 + b"\r\n")


def headers_without_end(guest: socket.socket, asked: Asked) -> None:
    guest.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        guest.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def hangs_up(guest: socket.socket, asked: Asked) -> None:
    guest.shutdown(socket.SHUT_RDWR)


def hangs_up_in_the_middle(guest: socket.socket, asked: Asked) -> None:
    guest.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"decision":')
    guest.shutdown(socket.SHUT_RDWR)


def not_http(guest: socket.socket, asked: Asked) -> None:
    guest.sendall(b"220 mail.example ESMTP\r\n" * 3)
    guest.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def service(behaves: Behaviour) -> Iterator[Service]:
    made = Service(behaves)
    made.opens()
    try:
        yield made
    finally:
        made.refuses()
