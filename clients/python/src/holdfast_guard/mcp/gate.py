"""The gate: may this call go on to the server? Asks the guard, remembers who waits for people, and says no in words of the protocol.

Called by whoever relays messages (`relay.py`) and by the adapters. Knows messages, and no transport.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

from holdfast_guard.errors import GuardError
from holdfast_guard.mcp import messages
from holdfast_guard.mcp.pins import Compared, Pins
from holdfast_guard.mcp.waiting import Kept, Waiting
from holdfast_guard.plain import unsayable
from holdfast_guard.words import DECLARED, Task, Verdict

POLL_S = 5.0  # between two signs of life to a client that waits inside its call
RETRY_AFTER_S = 15
MOST_BEGUN = 10_000
KINDS = {"tools/call": "tool", "resources/read": "resource", "prompts/get": "prompt"}

Tell = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One gated request. `about`: the name of the tool or prompt, or the address of the resource."""

    method: str
    about: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    writes: bool | None = None

    @classmethod
    def of(cls, method: str, said: Mapping[str, Any], *, writes: Callable[[str], bool | None] = lambda _: None) -> Call:
        about, arguments = said.get(messages.GATED[method]), said.get("arguments")
        if not isinstance(about, str) or not about:
            raise Refusal(messages.INVALID_PARAMS, f"{method} needs {messages.GATED[method]}, in letters.")
        if arguments is not None and not isinstance(arguments, dict):
            raise Refusal(messages.INVALID_PARAMS, "arguments are an object.")
        if because := unsayable(arguments) or unsayable(about):
            raise Refusal(messages.INVALID_PARAMS, because)  # the guard would be asked about something else than what is done
        return cls(method, about, arguments or {}, writes(about) if method == "tools/call" else False)

    @property
    def kind(self) -> str:
        return KINDS[self.method]

    @property
    def digest(self) -> str:
        """The same call asks the same people once."""
        words = json.dumps([self.method, self.about, self.arguments], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(words.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Begun:
    """A task that a call began: what let the call pass, and how its server is told to cancel it."""

    verdict: Verdict
    cancel: Callable[[str], Awaitable[None]]


class Refusal(Exception):  # noqa: N818 - a no is not an error of anybody
    """No, as the protocol says it. Raised inside the gate, caught by whoever relays."""

    def __init__(self, code: int, because: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(because)
        self.code, self.because, self.data = code, because, dict(data or {})

    def to_message(self, ident: messages.Id) -> messages.Message:
        return messages.error(ident, self.code, self.because, self.data)

    def to_result(self) -> dict[str, Any]:
        """The same as a tool's own result, for clients that show those to the model and swallow errors."""
        said = {"content": [{"type": "text", "text": self.because}], "isError": True}
        return said | {"_meta": {"holdfast/denial": self.data}}


class Guarding(Protocol):
    """What the gate needs of the guard. `guarded.py` makes it of the client of this package."""

    async def evaluate(self, call: Call, *, approval: Mapping[str, Any]) -> Verdict: ...
    async def submit(self, verdict: Verdict) -> Task: ...
    async def look(self, task: Task, *, seconds: float) -> Task: ...
    def stopped(self) -> Refusal | None: ...
    async def changed(self) -> None: ...
    def report(self, verdict: Verdict, outcome: str, *, returned: Sequence[str] = (), size: int | None = None) -> None: ...
    def tool_changed(self, tool: str, *, before: str, after: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What whoever runs the proxy decided. `tools`: patterns of those that are shown and may be called; None: every tool of the server.

    `as_result`: say no to a tool call with a result that is an error, not with an error of the protocol.
    """

    tools: Sequence[str] | None = None
    allowed: frozenset[str] = frozenset()
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    wait_s: float = 0.0
    as_result: bool = False


class Gate:
    """`pins` None: in a server that asks for itself, which knows its own tools."""

    def __init__(
        self,
        guard: Guarding,
        pins: Pins | None,
        rules: Rules,
        *,
        waiting: Waiting | None = None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.guard, self.pins, self.rules, self.log = guard, pins, rules, log
        self._waiting = waiting or Waiting()
        self._submitting = asyncio.Lock()
        self._listed: set[str] = set()  # tools that may be called: listed, and what they were
        self._withheld: dict[str, str] = {}
        self._headers: dict[str, Mapping[str, Sequence[str]]] = {}
        self.changes, self._began, self._known = 0, -1, -1  # how often the list changed; how often when what we know was asked for
        self._begun: OrderedDict[str, Begun] = OrderedDict()
        self.intended: Sequence[str] | None = None  # the tools of the session's intent, where it names some

    # What may pass at all

    def passes(self, method: str) -> bool:
        return method in messages.PASSED or method in self.rules.allowed

    def passes_told(self, method: str) -> bool:
        """Of what a client says without awaiting an answer."""
        return method in messages.TOLD or (method.startswith("notifications/") and method in self.rules.allowed)

    def passes_back(self, method: str) -> bool:
        """Of what a server asks its client."""
        return method in messages.PASSED_BACK or method in self.rules.allowed

    def stopped(self, method: str) -> Refusal | None:
        """Nothing passes for one that is contained, but what opens and keeps a connection, and the empty list."""
        return None if method in messages.HARMLESS else self.guard.stopped()

    def call(self, method: str, said: Mapping[str, Any]) -> Call:
        return Call.of(method, said, writes=self._writes)

    def _writes(self, tool: str) -> bool | None:
        """People's word: the options, then the pins. What a server says of its own tools is a claim and makes no write a read."""
        if _fits(tool, self.rules.writes):
            return True
        if _fits(tool, self.rules.reads):
            return False
        return self.pins.writes(tool) if self.pins else None

    # The list of tools

    def listing(self, result: Mapping[str, Any], *, first: bool, since: int | None = None) -> dict[str, Any]:
        """One page of tools/list with what may be shown. `first`: it begins a new list. `since`: `changes` when it was asked for."""
        tools = result.get("tools")
        listed = tools if isinstance(tools, list) else []
        said = self.pins.compare(listed) if self.pins else Compared(kept=listed)
        if first:
            self._began = self.changes if since is None else since
            self._headers.clear()
            self._listed.clear()
            self._withheld.clear()
        for change in said.changed:
            self._withheld[change.tool] = "tool_changed"
            if change.new:
                self.log(f"{messages.plain(change.tool, 100)} is not what it was, and is withheld until it is accepted")
                self.guard.tool_changed(change.tool, before=change.was, after=change.now)
        for name in said.broken:
            self._withheld[name] = "tool_ambiguous"
        kept = [tool for tool in said.kept if tool["name"] not in self._withheld]  # of an earlier page: one of the two is not what it was
        self._listed.update(tool["name"] for tool in kept)
        self._listed.difference_update(self._withheld)
        self._headers.update({tool["name"]: messages.headers_in(tool.get("inputSchema")) for tool in kept})
        if not result.get("nextCursor"):
            self._known = self._began
        shown = [] if self.guard.stopped() else [tool for tool in kept if self._shows(tool["name"])]
        return {**result, "tools": shown}

    @property
    def stale(self) -> bool:
        """The server's list is not known, or it changed since we began to read it."""
        return self._known != self.changes

    def list_changed(self) -> None:
        self.changes += 1

    def knows(self, tool: str) -> bool:
        return not self.stale and (tool in self._listed or tool in self._withheld)

    def headers_of(self, tool: str) -> Mapping[str, Sequence[str]]:
        """The arguments that the tool has repeated in headers: the header's name → where the argument is."""
        return self._headers.get(tool, {})

    def check_tool(self, tool: str) -> None:
        if self.rules.tools is not None and not _fits(tool, self.rules.tools):
            raise Refusal(messages.DENIED, "This tool is not offered here.", {"reason": "tool_not_offered", "tool": tool})
        if tool in self._listed:
            return
        reason = self._withheld.get(tool, "tool_not_listed")
        because = {
            "tool_changed": "This tool is not what it was when it was approved. Somebody has to accept the change first.",
            "tool_ambiguous": "The server lists this tool in more than one way.",
        }.get(reason, "The server lists no such tool.")
        raise Refusal(messages.DENIED, because, {"reason": reason, "tool": tool})

    def _shows(self, tool: str) -> bool:
        patterns = self.rules.tools if self.rules.tools is not None else self.intended
        return patterns is None or _fits(tool, patterns)

    # Calls that go on after their answer

    def begin(self, task: str, verdict: Verdict, cancel: Callable[[str], Awaitable[None]]) -> None:
        """A call began a task. It is followed until its end is known, and cancelled when its caller is stopped."""
        self._begun[task] = Begun(verdict, cancel)
        while len(self._begun) > MOST_BEGUN:
            self.ended(next(iter(self._begun)), "cancelled")

    def ended(self, task: str, outcome: str, *, returned: Sequence[str] = (), size: int | None = None) -> None:
        if (begun := self._begun.pop(task, None)) is not None:
            self.guard.report(begun.verdict, outcome, returned=returned, size=size)

    async def stop_begun(self, seconds: float) -> None:
        """The servers of all tasks are told to end them. One that does not read keeps nobody from being told."""
        words = [asyncio.ensure_future(begun.cancel(task)) for task, begun in self._begun.items()]
        self.left()
        if words:
            await asyncio.wait(words, timeout=seconds)

    def left(self) -> None:
        """Nobody will fetch what comes of the tasks."""
        for task in list(self._begun):
            self.ended(task, "cancelled")

    # One call

    async def ask(self, call: Call, *, tell: Tell | None = None) -> Verdict:
        """The verdict that lets it pass. Raises the refusal if it may not, or not yet."""
        kept = self._waiting.get(call.digest)
        verdict = await self._with_people(call, kept, tell) if kept else await self._evaluate(call, {})
        if verdict.held and (kept := await self._submit(call, verdict)):  # an approval that is used up is asked for anew, too
            verdict = await self._with_people(call, kept, tell)
        if verdict.decision:
            return verdict
        raise denial(verdict)

    async def _with_people(self, call: Call, kept: Kept, tell: Tell | None) -> Verdict:
        """The verdict on what people allowed. An approval stays for as long as the guard takes it: a read may be allowed for a while."""
        task = await self._look(kept, call, tell)
        if not task.final:
            raise _still(kept, task)
        if not task.approved:
            raise self._refused(call, kept, task)
        verdict = await self._evaluate(call, task.approval)
        if not verdict.decision and verdict.asked and verdict.reason not in ("grant_pending", "contained", "session_paused"):
            self._waiting.forget(call.digest)
        return verdict

    async def _evaluate(self, call: Call, approval: Mapping[str, Any]) -> Verdict:
        if stop := self.guard.stopped():
            raise stop
        return await self.guard.evaluate(call, approval=approval)

    async def _submit(self, call: Call, verdict: Verdict) -> Kept | None:
        """People are asked at once, and once: a second call of the same kind finds the first one's task."""
        async with self._submitting:
            if kept := self._waiting.get(call.digest):
                return kept
            try:
                task = await self.guard.submit(verdict)
            except GuardError as fault:
                self.log(f"people could not be asked: {messages.plain(fault)}")
                return None
            kept = Kept(task=task.to_json(), data=_data(verdict), because=_because(verdict), until=time.time() + Waiting.KEPT_S)
            self._waiting.keep(call.digest, kept)
            return kept

    async def _look(self, kept: Kept, call: Call, tell: Tell | None) -> Task:
        """The task as it is now; with a declared wait, as it is when people have answered or the wait is over."""
        loop = asyncio.get_running_loop()
        over = loop.time() + self.rules.wait_s
        task = Task.from_json(kept.task)
        while not task.final:
            left = over - loop.time()
            try:
                task = await self.guard.look(task, seconds=max(0.0, min(left, POLL_S)))
            except GuardError as fault:
                self.log(f"the answer of people could not be read: {messages.plain(fault)}")
                await asyncio.sleep(max(0.0, min(left, 1.0)))
            if task.final or over - loop.time() <= 0:
                break
            if tell:
                await tell("A person is asked whether this may be done.")
        if task.final:
            self._waiting.keep(call.digest, Kept(task.to_json(), kept.data, kept.because, kept.until))
        return task

    def _refused(self, call: Call, kept: Kept, task: Task) -> Refusal:
        """A no of people stands for as long as it is remembered; an unanswered question may be asked again."""
        if task.status != "denied":
            self._waiting.forget(call.digest)
        because = {
            "denied": "A person was asked, and said no.",
            "expired": "A person was asked, and nobody answered in time. Try again to ask once more.",
        }.get(task.status, "The question to a person was withdrawn.")
        said = {name: each for name, each in kept.data.items() if name not in ("retry_after", "access_request")}
        return Refusal(messages.DENIED, because, {**said, "reason": f"approval_{task.status}", "task": _handle(task)})


def denial(verdict: Verdict) -> Refusal:
    code = messages.INTERNAL_ERROR if verdict.said_by == DECLARED else messages.DENIED
    return Refusal(code, _because(verdict), _data(verdict))


def _because(verdict: Verdict) -> str:
    return verdict.for_user or "This may not be done now."


def _data(verdict: Verdict) -> dict[str, Any]:
    said = {
        "evaluation_id": verdict.evaluation_id,
        "reason": verdict.reason,
        "said_by": verdict.said_by,
        "retry_after": verdict.retry_after,
        "access_request": dict(verdict.access_request),
        "hold": verdict.hold,
        "expires_at": verdict.expires_at,
    }
    return {name: each for name, each in said.items() if each}


def _still(kept: Kept, task: Task) -> Refusal:
    data = {**kept.data, "reason": "approval_required", "task": _handle(task), "retry_after": kept.data.get("retry_after") or RETRY_AFTER_S}
    return Refusal(messages.DENIED, f"{kept.because} A person is asked. Make the same call again later; it goes on if they allow it.", data)


def _handle(task: Task) -> dict[str, str]:
    said = {"id": task.id, "status": task.status, "status_endpoint": task.status_endpoint, "expires_at": task.expires_at}
    return {name: each for name, each in said.items() if each}


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)
