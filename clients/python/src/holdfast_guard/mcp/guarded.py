"""The guard as the gate needs it: our client, asked in the words of the protocol about one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast_guard.aguard import AsyncGuard
from holdfast_guard.asking import CONTAINED
from holdfast_guard.errors import GuardError
from holdfast_guard.mcp import messages
from holdfast_guard.mcp.gate import Call, Refusal
from holdfast_guard.words import VIEW, Subject, Task, Verdict

A_LONG_TIME_S = 3600.0


class Guarded:
    """`system`: what this server is called in questions, by whoever runs it or the proxy. What it calls itself is not asked.

    `subject`, `session`: whose call it is, where one server has several callers; otherwise those of the guard.
    """

    def __init__(self, guard: AsyncGuard, *, system: str, subject: Subject | None = None, session: str | None = None) -> None:
        self.guard, self.system, self.subject, self.session = guard, system, subject, session

    async def evaluate(self, call: Call, *, approval: Mapping[str, Any]) -> Verdict:
        return await self.guard.evaluate(
            call.about if call.method == "tools/call" else "",
            call.arguments,
            writes=call.writes,
            action=call.method,
            resource={"type": call.kind, "id": call.about, "properties": {"system": self.system}},
            approval=approval,
            subject=self.subject,
            session=self.session,
        )

    async def submit(self, verdict: Verdict) -> Task:
        return await self.guard.submit(verdict)

    async def look(self, task: Task, *, seconds: float) -> Task:
        return await self.guard.task(task, wait_s=seconds)

    def stopped(self) -> Refusal | None:
        reason = self.guard.refused_locally(self.subject, self.session)
        return Refusal(messages.DENIED, CONTAINED, {"reason": reason, "said_by": VIEW}) if reason else None

    async def changed(self) -> None:
        while not await self.guard.contained_changed(A_LONG_TIME_S):
            pass

    def report(self, verdict: Verdict, outcome: str, *, returned: Sequence[str] = (), size: int | None = None) -> None:
        self.guard.report(verdict, outcome, returned=list(returned) or None, size=size)

    def tool_changed(self, tool: str, *, before: str, after: str) -> None:
        self.guard.tool_changed(self.system, tool, before=before, after=after)

    async def tools(self) -> list[str] | None:
        """The tools that the session intends to use; None where it names none, or where nobody could say."""
        if not self.guard.session:
            return None
        try:
            intent = (await self.guard.session_state()).get("intent")
        except GuardError:
            return None
        said = intent.get("tools") if isinstance(intent, dict) else None
        if not isinstance(said, list):
            return None
        names = [each.get("name") if isinstance(each, dict) else each for each in said]
        return [name for name in names if isinstance(name, str)]
