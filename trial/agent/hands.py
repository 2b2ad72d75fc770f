"""The agent's hands: its tools, as an MCP client reaches any server. That a guard stands before them shows only in what it is told.

The proxy is a process of its own and starts the tools as another one. When either dies the client says so, and both are started again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

from trial.agent.planner import Call

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "python" / "src"
PATIENCE = 20.0  # seconds for one call, the guard's answer included
WAITS = ("approval_required", "grant_pending")
DENIED, UNANSWERED = -32001, -32603


class ToolsGone(Exception):  # noqa: N818 - the agent's own word for it
    """The tools, or the proxy before them, do not answer any more."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came back. `answer`: done, denied, held, failed (the tool's own fault) or unanswered (no word from the guard)."""

    answer: str
    result: Any = None
    reason: str = ""
    told: str = ""
    evaluation: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Hands:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def do(self, call: Call) -> Said:
        try:
            result = await self.client.call_tool(call.tool, dict(call.arguments), read_timeout_seconds=PATIENCE)
        except MCPError as no:
            return _refusal(no)
        texts = [str(getattr(part, "text", "")) for part in result.content]
        if result.is_error:
            return Said("failed", told=" ".join(texts))
        return Said("done", result=(result.structured_content or {}).get("result", "\n".join(texts)), told=" ".join(texts)[:200])


@asynccontextmanager
async def hands(command: Sequence[str], token: str) -> AsyncIterator[Hands]:
    """The tools behind `command`. The token is for the proxy, which hands it on to nobody."""
    paths = os.pathsep.join(filter(None, (str(CLIENT), os.environ.get("PYTHONPATH"))))
    ours = {"HOLDFAST_TOKEN": token, "PYTHONPATH": paths}
    server = StdioServerParameters(command=command[0], args=list(command[1:]), env={**os.environ, **ours}, cwd=ROOT)
    async with Client(stdio_client(server, errlog=sys.stderr)) as client:
        await client.list_tools()  # so that the proxy knows, and pins, what the tools say of themselves
        yield Hands(client)


def _refusal(no: MCPError) -> Said:
    data = no.data if isinstance(no.data, Mapping) else {}
    reason = str(data.get("reason", ""))
    if data.get("said_by") == "declared" or (no.code == UNANSWERED and reason):
        answer = "unanswered"
    elif no.code == DENIED and reason:
        answer = "held" if reason in WAITS else "denied"
    else:
        raise ToolsGone(no.message)
    return Said(answer, reason=reason, told=no.message, evaluation=str(data.get("evaluation_id", "")), data=data)
