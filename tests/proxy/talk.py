"""Talks to the proxy as its clients do: a real client of the `mcp` package, or a process that is written to line by line."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.proxy.service import SUBJECT, TOKEN

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SLOW = (sys.executable, str(HERE / "slow_server.py"))
RAW = (sys.executable, str(HERE / "raw_server.py"))
PATIENCE_S = 30.0


def in_a_loop(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """An async test, run to its end."""

    @functools.wraps(story)
    def told(*args: Any, **kwargs: Any) -> None:
        async def within() -> None:
            await asyncio.wait_for(story(*args, **kwargs), 180)

        asyncio.run(within())

    return told


def environment(url: str, state: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(state),
        "PYTHONPATH": f"{ROOT / 'clients/python/src'}{os.pathsep}{ROOT}",
        "XDG_STATE_HOME": str(state),
        "HOLDFAST_URL": url,
        "HOLDFAST_TOKEN": TOKEN,
        "HOLDFAST_SUBJECT": SUBJECT,
        **more,
    }


def command(server: Sequence[str], *options: str) -> list[str]:
    return [sys.executable, "-m", "holdfast_guard", "mcp-proxy", *options, "--", *server]


@asynccontextmanager
async def client(env: dict[str, str], server: Sequence[str], *options: str, told: list[Any] | None = None) -> AsyncIterator[ClientSession]:
    """A session of the real client with the server, through the proxy. `told`: gets what the server says by itself."""
    program, *args = command(server, *options)

    async def hear(message: Any) -> None:
        if told is not None:
            told.append(message)

    async with stdio_client(StdioServerParameters(command=program, args=args, env=env)) as (read, write):  # noqa: SIM117 - in this order
        async with ClientSession(read, write, message_handler=hear) as session:
            await session.initialize()
            yield session


class Lines:
    """The proxy as a process, with nothing between it and the test."""

    def __init__(self, env: dict[str, str], server: Sequence[str], *options: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command(server, *options), stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=ROOT)
        self.errors: list[str] = []
        self._said: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.raw(json.dumps(message).encode() + b"\n")

    def raw(self, said: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(said)
        self.process.stdin.flush()

    def next(self, seconds: float = PATIENCE_S) -> Any:
        """The next line of the proxy; None at its end."""
        return self._said.get(timeout=seconds)

    def answer_to(self, ident: Any) -> Any:
        while (said := self.next()) is not None:
            if isinstance(said, dict) and said.get("id") == ident and "method" not in said:
                return said
        raise AssertionError("the proxy ended without an answer")

    def ask(self, ident: Any, method: str, **params: Any) -> Any:
        self.send({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
        return self.answer_to(ident)

    def call(self, ident: Any, tool: str, **arguments: Any) -> Any:
        return self.ask(ident, "tools/call", name=tool, arguments=arguments)

    def leave(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.decode())
