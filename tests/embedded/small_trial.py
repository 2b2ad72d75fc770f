"""The supervisor with small programs in place of Django's, for tests of the supervising itself. Its servers are the real ones."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from embedded import supervisor
from embedded.supervisor import Supervisor


class SmallTrial(Supervisor):
    def _preparation(self) -> list[str]:
        return [sys.executable, "-m", __spec__.name, "prepare"]

    def _programs(self) -> Iterator[tuple[str, list[str]]]:
        yield "web", [sys.executable, "-m", __spec__.name, "web", str(self.port)]
        yield "worker", [sys.executable, "-m", __spec__.name, "wait"]
        if os.environ.get("SMALL_TRIAL_STUBBORN"):
            yield "stubborn", [sys.executable, "-m", __spec__.name, "refuse-to-end"]


class Fine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's word
        """Silence."""


def main(role: str, *words: str) -> None:
    if role == "prepare":
        (Path(os.environ["HOLDFAST_HOME"]) / "told.json").write_text(json.dumps(dict(os.environ)))
        print(json.dumps({"sign_in": "http://example/once"}))  # noqa: T201
    elif role == "web":
        HTTPServer(("127.0.0.1", int(words[0])), Fine).serve_forever()
    elif role == "wait":
        signal.pause()
    elif role == "refuse-to-end":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    else:
        supervisor.Supervisor = SmallTrial  # type: ignore[misc]
        sys.exit(supervisor.main([role, *words]))


if __name__ == "__main__":
    main(*sys.argv[1:])
