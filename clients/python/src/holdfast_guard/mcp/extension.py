"""For servers written with `mcp`, which ask before each tool call.

server = MCPServer("ledger", extensions=[HoldfastExtension(guard, system="ledger")])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension
from mcp_types import CallToolRequestParams

from holdfast_guard.aguard import AsyncGuard
from holdfast_guard.mcp.within import Context, Who, Within


class HoldfastExtension(Extension):
    """Gates tool calls alone. `middleware.py` gates what else there is, too. `who`: see Within."""

    identifier = "dev.holdfast/guard"

    def __init__(
        self,
        guard: AsyncGuard,
        *,
        system: str,
        who: Who | None = None,
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        wait_for_approval_s: float = 0.0,
    ) -> None:
        self._within = Within(guard, system=system, who=who, reads=reads, writes=writes, wait_s=wait_for_approval_s)

    async def intercept_tool_call(self, params: CallToolRequestParams, ctx: Context, call_next: CallNext) -> HandlerResult:
        said: dict[str, Any] = {"name": params.name, "arguments": params.arguments}
        return await self._within.call(ctx, "tools/call", said, lambda: call_next(ctx))
