"""Somebody who answers where Holdfast would: takes in the agent's session, says of it what a test tells it to, keeps posted detections
and activity."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SESSIONS = "/api/v1/sessions"
DETECTIONS = "/api/v1/detections"
ACTIVITY = "/api/v1/activity"


@dataclass
class Door:
    """`state` is what the agent is told; `asked` how often it asked; `begun` the sessions that it registered and `ended` those it gave up;
    `posted` the detections and `told` the activity, as they came; `refused` the activity of the last batch that was not taken."""

    url: str = ""
    state: str = "active"
    asked: int = 0
    begun: list[dict[str, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    intent: dict[str, Any] | None = None  # of a session that was there before
    posted: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    takes_activity: bool = True
    reads_activity: bool = True

    @contextmanager
    def open(self) -> Iterator[Door]:
        with ThreadingHTTPServer(("127.0.0.1", 0), _handler(self)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.url = f"http://127.0.0.1:{server.server_port}"
            yield self
            server.shutdown()


def _handler(door: Door) -> type[BaseHTTPRequestHandler]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            door.asked += 1
            if self.path.startswith(SESSIONS) and self._is_the_agent():
                self._say(200, {"id": self.path.rpartition("/")[2], "state": door.state, "because": "An analyst looks into it."})
            else:
                self._say(401, {})

        def do_PATCH(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(200, {}) if self._is_the_agent() else self._say(401, {})

        def do_DELETE(self) -> None:
            door.ended.append(self.path.rpartition("/")[2])
            self._say(204, {})

        def _is_the_agent(self) -> bool:
            return bool(self.headers["Authorization"] == "Bearer hf_agent")

        def _begin(self, said: dict[str, Any]) -> None:
            if said["id"] in door.ended:
                self._say(409, {"code": "session_ended"})
                return
            intent = door.intent if door.intent is not None and said["id"] == "inv-1" else said["intent"]
            door.begun.append(said)
            self._say(201, {"id": said["id"], "name": said["id"], "state": door.state, "intent": intent, "expires_at": None})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == SESSIONS and self._is_the_agent():
                self._begin(json.loads(body))
            elif (self.path, self.headers["Authorization"]) == (DETECTIONS, "Bearer hf_detections"):
                door.posted.append(json.loads(body))
                self._say(201, {"id": "d-1", "duplicate": False, "decision": {"verdict": "watch", "because": "A test looks at it."}})
            elif (self.path, self.headers["Authorization"]) == (ACTIVITY, "Bearer hf_activity"):
                self._hear(json.loads(body))
            else:
                self._say(401, {})

        def _hear(self, events: list[dict[str, Any]]) -> None:
            if door.takes_activity and door.reads_activity:
                door.told += events
                self._say(202, {})
            else:
                door.refused = events
                self._say(503 if door.reads_activity else 422, {})

        def _say(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Answers
