"""The world's door: plain JSON over HTTP, and every way of answering badly. python -m tests.world.server --dsn DSN --port PORT

POST /look|perform|undo/MEASURE/SUBJECT with {"key": …, "to": …}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import psycopg

from tests.world import target
from tests.world.target import ACCOUNT, BLIND, CUT, Fault

NEVER_S = 45.0  # longer than any deadline


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    dsn = ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(120)
        self.database = psycopg.connect(self.dsn, autocommit=True)

    def finish(self) -> None:
        self.database.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        _, call, measure, subject = unquote(self.path).split("/", 3)
        fault, given = target.next_fault(self.database, subject, measure, call) or (None, {})
        with contextlib.suppress(OSError):
            self._answer(call, measure, subject, body, fault, given)

    def _answer(self, call: str, measure: str, subject: str, body: dict[str, Any], fault: Fault | None, given: dict[str, Any]) -> None:
        match fault:
            case Fault.BEFORE:
                return self._say(500, {"error": "out of order"})
            case Fault.BUSY:
                headers = {"Retry-After": given["after"]} if given.get("after") is not None else {}
                return self._say(429, {"error": "too many"}, headers)
            case Fault.NO_PERMISSION:
                return self._say(403, {"error": "you may not"})
            case Fault.SABOTAGE if call != "look":
                return self._say(200, {"account": ACCOUNT, "changed": True})
            case Fault.LAG:
                time.sleep(float(given["seconds"]))
        status, said = self._do(call, measure, subject, body)
        match fault:
            case Fault.STALE if call == "look" and said["state"] == CUT:
                said["state"] = "open"
            case Fault.WRONG_ACCOUNT:
                said["account"] = "world-2"
            case Fault.AFTER:
                return self._say(500, {"error": "out of order"})
            case Fault.TIMES_OUT:
                time.sleep(float(given.get("seconds", NEVER_S)))
                return self._hang_up()
            case Fault.HANGS_UP:
                return self._hang_up()
            case Fault.GARBAGE:
                return self._send(200, b"<html>\xff\x00 it works!")
            case Fault.ENDLESS | Fault.DRIPS:
                return self._go_on_and_on(b" " * 8192 if fault is Fault.ENDLESS else b" ", 0 if fault is Fault.ENDLESS else 1)
        return self._say(status, said)

    def _do(self, call: str, measure: str, subject: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        said: dict[str, Any] = {"account": ACCOUNT}
        if call == "perform":
            said["changed"] = target.cut(self.database, subject, measure, body["key"])
        elif call == "undo":
            there = target.restore(self.database, subject, measure, body["key"], body["to"])
            if there is not None:
                return 409, said | {"state": there}
        said["state"] = "unknown" if measure == BLIND else target.state_of(self.database, subject, measure)
        return 200, said

    def _say(self, status: int, said: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(said).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True

    def _go_on_and_on(self, piece: bytes, pause_s: float) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        ends = time.monotonic() + NEVER_S
        while time.monotonic() < ends:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(pause_s)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that died is nothing to write about."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    Handler.dsn = given.dsn
    target.World(given.dsn).create()
    server = Server(("127.0.0.1", given.port), Handler)
    print(server.server_address[1], flush=True)  # noqa: T201 - read by who started it
    server.serve_forever()


if __name__ == "__main__":
    main()
