"""The short way in answers as the long one does: the same views, the same refusals, the same headers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import signals
from django.core.asgi import get_asgi_application
from django.db import connections

from api.access.door import Door
from api.gate import Application, FrontDoor
from tests import make
from tests.access import door

pytestmark = pytest.mark.django_db(transaction=True)


def _close(**_: Any) -> None:
    connections.close_all()


@pytest.fixture
def bearer() -> Any:
    """Threads of the web server give their connections back to a pool; here they close them."""
    make.house()
    signals.request_finished.connect(_close)
    yield door.token()
    signals.request_finished.disconnect(_close)


def said(application: Application, path: str, body: bytes, method: str, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
    sent: list[dict[str, Any]] = []
    left = [body[:7], body[7:]]

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in ({"Host": "testserver"} | headers).items()],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    async_to_sync(FrontDoor(application))(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}, json.loads(content or b"null")


def both(path: str, body: bytes, *, method: str = "POST", **headers: str) -> list[tuple[int, dict[str, str], Any]]:
    """The short way's answer and the long one's."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    short = Door(get_asgi_application())
    answers = [said(short, path, body, method, named), said(get_asgi_application(), path, body, method, named)]
    short.close()
    return answers


@pytest.mark.parametrize(
    ("path", "method", "body", "changes", "status"),
    [
        ("evaluation", "POST", json.dumps(door.question()).encode(), {}, 200),
        ("evaluation", "POST", b"{", {}, 400),
        ("evaluation", "POST", b"{}", {"Content_Type": "text/plain"}, 400),
        ("evaluation", "POST", b"{}", {"Authorization": "Bearer hf_no"}, 401),
        ("evaluation", "POST", b"{}", {"Host": "elsewhere.example"}, 400),
        ("evaluation", "GET", b"", {}, 405),
        ("contained", "GET", b"", {}, 200),
        ("requests/none", "GET", b"", {}, 404),
        ("nothing", "POST", b"{}", {}, 404),
        ("%00\ud800".encode(errors="replace").decode(), "POST", b"{}", {}, 404),
    ],
)
def test_both_ways_answer_alike(bearer: str, path: str, method: str, body: bytes, changes: dict[str, str], status: int) -> None:
    headers = {"Authorization": f"Bearer {bearer}", "Content_Type": "application/json", "X_Request_ID": "r-1"} | changes
    short, long = both(f"/access/v1/{path}", body, method=method, **headers)
    assert short[0] == long[0] == status
    longer = set(long[1]) - set(short[1])
    assert longer <= {"vary"}, "what sign-in adds, and nothing else"
    assert {name: short[1][name] for name in set(short[1]) - {"content-length"}} == {
        name: long[1][name] for name in set(short[1]) - {"content-length"}
    }
    assert short[1]["x-request-id"] == "r-1"
    assert (short[2] or {}).get("code") == (long[2] or {}).get("code")
    assert (short[2] or {}).get("decision") == (long[2] or {}).get("decision")


def test_what_is_not_asked_of_the_guard_goes_the_long_way(bearer: str) -> None:
    short, long = both("/api/v1/decisions", b"", method="GET")
    assert short == long
    assert "cookie" in short[1]["vary"].lower(), "where people come in with a session, too"
