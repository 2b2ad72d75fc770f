"""A call inside a server that asks for itself: asked about first, ended as soon as its caller is contained, told afterwards.

What `extension.py` and `middleware.py` share. Needs the package `mcp`, on asyncio.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from holdfast_guard.aguard import AsyncGuard
from holdfast_guard.mcp import messages
from holdfast_guard.mcp.gate import Gate, Refusal, Rules
from holdfast_guard.mcp.guarded import Guarded
from holdfast_guard.words import Subject

T = TypeVar("T")
Context = ServerRequestContext[Any, Any]
Who = Callable[[Context], tuple[Subject, str]]

MOST_CALLERS = 10_000
LOOK_EVERY_S = 1.0


class Within:
    """`who`: whose call it is and in which session, from the server's own sign-in; without it every call is the guard's own subject's."""

    def __init__(
        self,
        guard: AsyncGuard,
        *,
        system: str,
        who: Who | None = None,
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        wait_s: float = 0.0,
    ) -> None:
        self.guard, self.system, self.who = guard, system, who
        self.rules = Rules(reads=tuple(reads), writes=tuple(writes), wait_s=wait_s)
        self._gates: OrderedDict[tuple[str, str, str, str], Gate] = OrderedDict()

    def gate(self, ctx: Context) -> Gate:
        """One for each caller: what people allowed one, another must not find."""
        subject, session = self.who(ctx) if self.who else (self.guard.subject, self.guard.session)
        key = (subject.type, subject.provider, subject.id, session)
        if key not in self._gates:
            guarded = Guarded(self.guard, system=self.system, subject=subject, session=session)
            self._gates[key] = Gate(guarded, None, self.rules)
            while len(self._gates) > MOST_CALLERS:
                self._gates.popitem(last=False)
        self._gates.move_to_end(key)
        return self._gates[key]

    async def call(self, ctx: Context, method: str, said: Mapping[str, Any], work: Callable[[], Awaitable[T]]) -> T:
        """Raises what the protocol calls an error, if it may not be done or not to its end."""
        gate = self.gate(ctx)
        try:
            verdict = await gate.ask(gate.call(method, said))
        except Refusal as no:
            raise _error(no) from None
        try:
            result = await self._until_stopped(gate, work)
        except Refusal as no:
            gate.guard.report(verdict, "cancelled")
            raise _error(no) from None
        except Exception:
            gate.guard.report(verdict, "failed")
            raise
        except BaseException:
            gate.guard.report(verdict, "cancelled")
            raise
        failed = getattr(result, "is_error", False) is True
        gate.guard.report(verdict, "failed" if failed else "done", returned=messages.texts(_plain(result)))
        return result

    async def _until_stopped(self, gate: Gate, work: Callable[[], Awaitable[T]]) -> T:
        """The result, unless its caller is stopped before it is there: then the work is cancelled, and what it found is nobody's."""
        found: list[T] = []
        failed: list[Exception] = []

        async def do() -> None:
            try:
                found.append(await work())
            except Exception as fault:
                failed.append(fault)
            scope.cancel()

        async with anyio.create_task_group() as group:
            scope = group.cancel_scope
            group.start_soon(do)
            while (stop := gate.guard.stopped()) is None:
                await self.guard.contained_changed(LOOK_EVERY_S)
            scope.cancel()
        if failed:
            raise failed[0]
        if not found or (stop := gate.guard.stopped()) is not None:
            raise stop or Refusal(messages.DENIED, "The call was stopped.", {"reason": "stopped"})
        return found[0]


def call_of(said: Any) -> dict[str, Any]:
    """The members of a request that the gate looks at."""
    return {name: said[name] for name in ("name", "uri", "arguments") if said.get(name) is not None} if isinstance(said, Mapping) else {}


def _plain(result: Any) -> Any:
    return result.model_dump(mode="json", by_alias=True, exclude_none=True) if isinstance(result, BaseModel) else result


def _error(no: Refusal) -> MCPError:
    return MCPError(no.code, no.because, no.data or None)
