"""A guard service on a loopback port that speaks our contract and says what a test tells it to. For what the real one cannot be made to do.

What the real one says is tried in test_real_service.py.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

TOKEN = "hf_a_token_of_a_test"
SUBJECT = "git-agent"


class Service:
    """`says`: tool, or address of a resource, → allow, deny or hold; everything else is allowed. `intent`: the session's tools."""

    def __init__(self, **says: str) -> None:
        self.says: dict[str, str] = dict(says)
        self.intent: list[Any] | None = None
        self.asked: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.headers: list[dict[str, str]] = []
        self.gone = self.refuses = False
        self._stopped: dict[str, str] = {}
        self._view = 1
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def leave(self) -> None:
        """As if the service had died."""
        with self._changed:
            self.gone = True  # for the connections that are still open
            self._changed.notify_all()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def contain(self, subject: str = SUBJECT) -> None:
        self._tell({subject: "it read what it should not"})

    def release(self) -> None:
        self._tell({})

    def _tell(self, stopped: dict[str, str]) -> None:
        with self._changed:
            self._stopped, self._view = stopped, self._view + 1
            self._changed.notify_all()

    def answer_people(self, status: str) -> None:
        """People's word on everything that waits."""
        with self._changed:
            for task in self.tasks.values():
                if task["status"] == "pending":
                    task["status"] = status
            self._changed.notify_all()

    def outcomes(self) -> list[str]:
        return [said["outcome"] for said in self.reports if "evaluation_id" in said]

    # What it answers

    def evaluate(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        about = body["resource"]["id"]
        verdict = "deny" if body["subject"]["id"] in self._stopped else self.says.get(about, "allow")
        approval = body["context"].get("approval")
        if verdict == "hold" and approval and self.tasks.get(approval.get("id"), {}).pop("unused", False):
            verdict = "allow"
        context: dict[str, Any] = {
            "evaluation_id": str(uuid4()),
            "verdict": verdict,
            "reason": {"allow": "allowed", "deny": "policy_denied", "hold": "approval_required"}[verdict],
            "reason_user": {"en": {"allow": "", "deny": "This is not allowed here.", "hold": "This needs a person's word."}[verdict]},
        }
        if verdict == "hold":
            context["access_request"] = {"expires_at": "2099-01-01T00:00:00Z", "template": "manager_approval"}
        return {"decision": verdict == "allow", "context": context}

    def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        task: dict[str, Any] = {
            "id": f"arq_{uuid4()}",
            "status": "pending",
            "expires_at": "2099-01-01T00:00:00Z",
            "unused": True,
            "asked": body,
        }
        self.tasks[task["id"]] = task
        return self.task(task["id"], 0)

    def task(self, name: str, wait: float) -> dict[str, Any]:
        with self._changed:
            task = self.tasks[name]
            self._changed.wait_for(lambda: task["status"] != "pending", timeout=wait)
            said = {
                "id": name,
                "status": task["status"],
                "status_endpoint": f"/access/v1/requests/{name}",
                "expires_at": task["expires_at"],
            }
            approved = {"result": {"mode": "reevaluate", "approval": {"id": name}}} if task["status"] == "approved" else {}
            return {"task": said, **approved}

    def contained(self, after: str, wait: float) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: str(self._view) != after, timeout=wait)
            stopped = [{"provider": "holdfast", "subject": name, "because": why} for name, why in self._stopped.items()]
            return {"view": str(self._view), "as_of": "2026-01-01T00:00:00Z", "contained": stopped, "sessions": []}

    def until(self, what: Any, seconds: float = 10.0) -> None:
        ends = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < ends, "it did not come about"
            time.sleep(0.02)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked may leave before the answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def parse_request(self) -> bool:
            return not service.gone and super().parse_request()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.headers.append(dict(self.headers))
            if service.refuses:
                self._say(401, {"code": "bad_token", "detail": "This token is not known."})
                return
            match self.path:
                case "/access/v1/evaluation":
                    self._say(200, service.evaluate(body))
                case "/access/v1/requests":
                    self._say(202, service.submit(body))
                case "/access/v1/reports":
                    known = service.reports  # one that is told again, since its answer did not arrive, counts once
                    known.extend(said for said in body["reports"] if said not in known)
                    self._say(200, {"results": [{"status": 200} for _ in body["reports"]]})
                case _:
                    self._say(404, {"code": "not_found", "detail": "There is nothing here."})

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(where.query).items()}
            wait = float(asked.get("wait", 0))
            if where.path == "/access/v1/contained":
                self._say(200, service.contained(asked.get("after", ""), wait))
            elif where.path.startswith("/access/v1/requests/"):
                self._say(200, service.task(where.path.rpartition("/")[2], wait))
            elif where.path.startswith("/api/v1/sessions/"):
                self._say(200, {"id": where.path.rpartition("/")[2], "state": "active", "intent": {"tools": service.intent}})
            else:
                self._say(404, {"code": "not_found", "detail": "There is nothing here."})

        def _say(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            pass

    return Handler
