"""For low-level servers written with `mcp`, which ask before each gated request.

server.middleware.append(HoldfastMiddleware(guard, system="ledger"))

It gates tool calls, resources and prompts, and shows one that is contained no tools. Other methods are the server's own business.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp.server.context import CallNext, HandlerResult
from mcp_types import ListToolsResult

from holdfast_guard.aguard import AsyncGuard
from holdfast_guard.mcp import messages
from holdfast_guard.mcp.within import Context, Who, Within, call_of


class HoldfastMiddleware:
    """Put it last in the list, so that what others rewrite in a request is what is asked about. `who`: see Within."""

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

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        if ctx.request_id is not None and ctx.method in messages.GATED:
            return await self._within.call(ctx, ctx.method, call_of(ctx.params), lambda: call_next(ctx))
        result = await call_next(ctx)
        if ctx.method == "tools/list" and self._within.gate(ctx).guard.stopped():
            return {**result, "tools": []} if isinstance(result, dict) else _without_tools(result)
        return result


def _without_tools(result: HandlerResult) -> HandlerResult:
    return result.model_copy(update={"tools": []}) if isinstance(result, ListToolsResult) else result
