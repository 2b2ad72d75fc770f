"""A receiver of webhooks that checks signatures by the specification, remembers ids, and answers as told. A real server on a real port."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
Answer = tuple[int, dict[str, str], bytes]


class Receiver:
    """`state` is what it has done to its one subject. `next_answer` replaces one answer; `forgets` makes it a saboteur."""

    def __init__(self) -> None:
        self.state = "open"
        self.messages: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.done = 0
        self.refused = 0
        self.forgets = False
        self.next_answer: Callable[[BaseHTTPRequestHandler], Answer | None] | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: Any) -> None:
                """Tests read `messages` instead."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        override, self.next_answer = self.next_answer, None
        answer: Answer
        if not signed(body, request.headers):
            self.refused += 1
            answer = (401, {}, b"")
        else:
            answer = (200, {}, json.dumps(self._did(json.loads(body), request.headers["webhook-id"])).encode())
        if override:
            told = override(request)
            if told is None:
                return
            answer = told
        status, headers, content = answer
        request.send_response(status)
        for name, value in ({"content-length": str(len(content))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def _did(self, message: dict[str, Any], name: str) -> dict[str, Any]:
        self.messages.append(message | {"id": name})
        if message["type"] == "holdfast.look":
            return {"contained": self.state == "cut", "public": {"state": self.state}, "live_sessions": 0, "account": "acme"}
        if name in self.seen or self.forgets:
            return {"changed": self.forgets, "said": "OK"}
        self.seen.add(name)
        was, self.state = self.state, self.state if message["type"] == "holdfast.notify" else "cut"
        if message["type"] == "holdfast.undo":
            self.state = message["data"]["was"]["state"]
        self.done += 1
        return {"changed": was != self.state or message["type"] == "holdfast.notify"}


def signed(body: bytes, headers: Any) -> bool:
    """As the specification has it: HMAC-SHA256 over id.timestamp.body, base64, one of a list of versions."""
    if not {"webhook-id", "webhook-timestamp", "webhook-signature"} <= {name.lower() for name in headers}:
        return False
    content = f"{headers['webhook-id']}.{int(headers['webhook-timestamp'])}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split(" "))
