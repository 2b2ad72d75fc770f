"""The proxy over streamable HTTP: a real client of either kind, a real server, and requests that no client would make."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.proxy.service import Service
from tests.proxy.talk import HERE, ROOT, environment, in_a_loop

pytestmark = pytest.mark.servers
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "note", "arguments": {"text": "x"}}}


@contextlib.contextmanager
def process(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def upstream(env: dict[str, str]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with process([sys.executable, str(HERE / "slow_server.py"), "--http", str(port)], env):
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture
def proxy(env: dict[str, str], upstream: str) -> Iterator[str]:
    with proxied(env, upstream) as url:
        yield url


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    """A proxy whose server is not there: nothing can pass by accident."""
    with Service() as service, proxied(environment(service.url, tmp_path_factory.mktemp("state")), "http://127.0.0.1:9/mcp") as url:
        yield url, service


@contextlib.contextmanager
def proxied(env: dict[str, str], upstream: str, *more: str) -> Iterator[str]:
    options = ["--url", upstream, "--listen", "127.0.0.1:0", "--allow-origin", "https://app.example", *more]
    with process([sys.executable, "-m", "holdfast_guard", "mcp-proxy", *options], env) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if found := re.search(r"listening on (\S+)", line):
                yield found[1]
                return
        pytest.fail("the proxy did not start")


async def denial(work: Any) -> MCPError:
    with pytest.raises(MCPError) as no:
        await work
    return no.value


def text(result: Any) -> str:
    return str(result.content[0].text)


@in_a_loop
async def test_a_client_with_a_handshake_is_guarded(proxy: str, service: Service) -> None:
    service.says |= {"turn": "deny", "sleep": "hold"}
    async with streamable_http_client(proxy) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        assert {tool.name for tool in (await session.list_tools()).tools} == {"sleep", "note", "turn", "crash"}
        assert text(await session.call_tool("note", {"text": "x"})) == "noted x"
        assert (await denial(session.call_tool("turn", {}))).data["reason"] == "policy_denied"
        asked = {"seconds": 0, "mark": "/dev/null"}
        held = await denial(session.call_tool("sleep", asked))
        assert held.data["task"]["status"] == "pending"
        service.answer_people("approved")
        assert "a secret" in text(await session.call_tool("sleep", asked))
    service.until(lambda: service.outcomes() == ["done", "done"])


@in_a_loop
async def test_a_client_without_a_handshake_is_guarded(proxy: str, service: Service) -> None:
    service.says |= {"turn": "deny"}
    async with Client(proxy, mode="2026-07-28") as client:
        assert text(await client.call_tool("note", {"text": "x"})) == "noted x"
        assert {tool.name for tool in (await client.list_tools()).tools} == {"sleep", "note", "turn", "crash"}
        assert (await denial(client.call_tool("turn", {}))).code == -32001
    assert [said["resource"]["id"] for said in service.asked] == ["note", "turn"]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@in_a_loop
async def test_containment_ends_a_call_under_way(proxy: str, service: Service, tmp_path: Path, mode: Any) -> None:
    mark = tmp_path / "mark"
    async with Client(proxy, mode=mode) as client:
        call = asyncio.create_task(client.call_tool("sleep", {"seconds": 600, "mark": str(mark)}))
        while not mark.exists():
            await asyncio.sleep(0.02)
        service.contain()
        assert (await denial(call)).data["reason"] == "contained"
        assert (await client.list_tools()).tools == []
        while mark.read_text() != "cancelled":
            await asyncio.sleep(0.02)
    service.until(lambda: service.outcomes() == ["cancelled"])


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"origin": "https://evil.example"}, CALL, 403, -32600),
        ({"host": "evil.example"}, CALL, 421, -32600),
        ({"content-type": "text/plain"}, CALL, 415, -32600),
        ({"mcp-method": "tools/list"}, CALL, 400, -32020),
        ({"mcp-method": "tools/call", "mcp-name": "sleep"}, CALL, 400, -32020),
        ({"mcp-name": "=?base64?!?="}, CALL, 400, -32020),
        ({"mcp-method": "tools/call"}, [CALL], 400, -32020),
        ({"mcp-name": "note"}, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, 400, -32020),
        (
            {"mcp-protocol-version": "2025-11-25"},
            {**CALL, "params": {**CALL["params"], "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}},  # type: ignore[dict-item]
            400,
            -32020,
        ),
        ({}, "[" * 5000, 400, -32700),
    ],
)
def test_a_request_that_says_two_things_or_comes_from_elsewhere_is_refused(
    lonely: tuple[str, Service], headers: dict[str, str], body: Any, status: int, code: int
) -> None:
    proxy, service = lonely
    content = {"content": body} if isinstance(body, str) else {"json": body}
    said = httpx.post(proxy, headers={**JSON, **headers}, **content)
    assert (said.status_code, said.json()["error"]["code"]) == (status, code)
    assert service.asked == []


def test_a_header_that_stands_there_twice_is_refused(lonely: tuple[str, Service]) -> None:
    proxy, service = lonely
    twice = [*JSON.items(), ("mcp-name", "note"), ("mcp-name", "sleep")]
    assert httpx.post(proxy, headers=twice, json=CALL).json()["error"]["code"] == -32020
    assert service.asked == []


def test_a_named_page_may_come_and_a_method_that_we_do_not_know_may_not(lonely: tuple[str, Service]) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "files/wipe"}
    said = httpx.post(lonely[0], headers={**JSON, "origin": "https://app.example"}, json=body)
    assert (said.status_code, said.json()["error"]["code"]) == (200, -32601)


def test_a_server_that_is_not_there_is_said_not_to_answer(lonely: tuple[str, Service]) -> None:
    said = httpx.post(lonely[0], headers=JSON, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert said.json()["error"]["data"] == {"reason": "server_gone"}
    assert httpx.get(lonely[0], headers={"accept": "text/event-stream"}).status_code == 502


class Upstream:
    """A server without sessions that remembers the headers it got. `slow` answers when the test says so."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.go_on = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/mcp"

    def __enter__(self) -> Upstream:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def result(self, said: Any) -> dict[str, Any]:
        if said["method"] == "tools/list":
            path = {"type": "object", "properties": {"path": {"type": "string", "x-mcp-header": "Path"}}}
            return {"tools": [{"name": name, "inputSchema": path} for name in ("slow", "read")]}
        if said["params"].get("name") == "slow":
            self.go_on.wait(30)
        return {"content": []}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                upstream.got.append(({name.lower(): value for name, value in self.headers.items()}, said))
                body = json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": upstream.result(said)}).encode() if "id" in said else b""
                self.send_response(200 if body else 202)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        return Handler


def test_without_a_session_nobody_cancels_the_call_of_another(env: dict[str, str]) -> None:
    with Upstream() as upstream, proxied(env, upstream.url) as proxy, ThreadPoolExecutor() as pool:
        slow = {**CALL, "params": {"name": "slow", "arguments": {}}}
        call = pool.submit(httpx.post, proxy, headers=JSON, json=slow, timeout=30)
        ends = time.monotonic() + 20
        while not any(said.get("params", {}).get("name") == "slow" for _, said in upstream.got):
            assert time.monotonic() < ends
            time.sleep(0.02)
        other = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert httpx.post(proxy, headers=JSON, json=other).status_code == 202
        upstream.go_on.set()
        assert call.result(30).json()["result"] == {"content": []}
        assert "notifications/cancelled" not in [said["method"] for _, said in upstream.got]


def test_headers_say_what_the_guard_was_asked_about_and_what_the_operator_said(env: dict[str, str]) -> None:
    with Upstream() as upstream, proxied(env, upstream.url, "--upstream-header", "AUTHORIZATION: Bearer operator") as proxy:
        call = {**CALL, "params": {"name": "read", "arguments": {"path": "ä"}}}
        modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "read"}
        lies = {"mcp-param-path": "/etc/shadow", "mcp-param-other": "x", "authorization": "Bearer client"}
        assert "result" in httpx.post(proxy, headers={**JSON, **modern, **lies}, json=call).json()
        headers = upstream.got[-1][0]
        assert {name: said for name, said in headers.items() if name.startswith(("mcp-param", "auth"))} == {
            "mcp-param-path": "=?base64?w6Q=?=",
            "authorization": "Bearer operator",
        }


def test_beyond_this_machine_nobody_is_listened_to_without_a_name(env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "holdfast_guard", "mcp-proxy", "--url", "http://127.0.0.1:9/mcp", "--listen", "0.0.0.0:0"]
    with process(command, env) as refused:
        assert refused.wait(20) == 2
    with proxied(env, "http://127.0.0.1:9/mcp", "--listen", "0.0.0.0:0", "--allow-host", "guard.example") as proxy:
        at = f"http://127.0.0.1:{proxy.rpartition(':')[2]}"
        ping = {"jsonrpc": "2.0", "id": 1, "method": "files/wipe"}
        assert [httpx.post(at, headers={**JSON, "host": host}, json=ping).status_code for host in ("evil.example", "guard.example")] == [
            421,
            200,
        ]
