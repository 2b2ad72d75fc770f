"""The guard for programs that run on asyncio. guard.py gives the same to all others; what either does, stands here."""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

from holdfast_guard import background, calls, wire
from holdfast_guard.address import base_url, path_below
from holdfast_guard.asking import Asker
from holdfast_guard.breaker import Breaker
from holdfast_guard.calls import Call
from holdfast_guard.declared import Declared
from holdfast_guard.errors import Denied, Held, Refused, Unavailable
from holdfast_guard.journal import Journal
from holdfast_guard.plain import encoded
from holdfast_guard.transport import Token, Transport
from holdfast_guard.view import View
from holdfast_guard.words import Subject, Task, Verdict

T = TypeVar("T")

BUDGET_S = 1.5
CLOSES_WITHIN_S = 2.0
TASK_WAIT_S, TASK_SLACK_S = 25.0, 5.0


class AsyncGuard:
    """Asks before a tool is used. `declared` counts where the service does not answer within `budget_s`, whatever it is that keeps it.

    `journal`: a file for what is still to be told; without one it is kept in memory, and ends with the process. `asks_people`: a call that
    is held is submitted for approval at once, so that `Held` carries the task. `carries_out`: types of obligations that the caller fulfils.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        subject: Subject | str | Mapping[str, Any],
        session: str = "",
        declared: Declared | None = None,
        budget_s: float = BUDGET_S,
        context: Mapping[str, Any] | None = None,
        journal: str | os.PathLike[str] | None = None,
        asks_people: bool = True,
        watches: bool = True,
        carries_out: Sequence[str] = (),
        ca: ssl.SSLContext | str | None = None,
        proxy: str | None = None,
        send_token_unencrypted: bool = False,
    ) -> None:
        if not 0 < budget_s <= 30:
            raise ValueError("The time for an answer is more than 0 and at most 30 seconds.")
        self.url = base_url(url, unencrypted=send_token_unencrypted)
        self.subject = Subject.of(subject)
        self.session = session
        self.declared = declared or Declared()
        self._context, self._asks_people, self._watches = dict(context or {}), asks_people, watches
        self._budget_s = budget_s
        self._transport = Transport(self.url, Token(token), ca=ca, proxy=proxy)
        self._view, self._breaker, self._journal = View(), Breaker(), Journal(journal)
        self._asker = Asker(
            self._transport,
            self._view,
            self._journal,
            self._breaker,
            declared=self.declared,
            budget_s=budget_s,
            supported=carries_out,
        )
        self._teller: background.Teller | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen: asyncio.Event | None = None
        self._at: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} for {self.subject.type} {self.subject.id}>"

    # -- asking

    async def evaluate(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        writes: bool | None = None,
        action: str = "tool.call",
        resource: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        approval: Mapping[str, Any] | None = None,
        request_id: str = "",
        subject: Subject | None = None,
        session: str | None = None,
    ) -> Verdict:
        """May this be done now? There is always an answer. `approval`: what an approved task gave, for the same call again."""
        self._begin()
        who, where = subject or self.subject, self.session if session is None else session
        said = {
            "arguments": arguments or {},
            "tool": tool,
            "action": action,
            "resource": resource,
            "session": where,
            "subject": who.to_json(),
        }
        why = wire.unsayable(request_id, said)
        number = request_id if request_id and not why else str(uuid.uuid4())
        about = tool or str((resource or {}).get("id") or "")  # what is declared never to open may be a resource, too
        counts_as_write = self.declared.writes(tool, writes)
        body = wire.evaluation(
            who,
            tool,
            {} if why else arguments or {},
            action=action,
            resource=resource,
            writes=self.declared.said(tool, writes),
            session=where,
            context={**self._context, **(context or {})},
            approval=approval or {},
            request_id=number,
            supported=self._asker.supported,
        )
        if why:
            return self._asker.unsayable(body, number, why)
        verdict = await self._asker.verdict(body, request_id=number, subject=who, session=where, tool=about, writes=counts_as_write)
        self._wake()
        return verdict

    @asynccontextmanager
    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> AsyncIterator[Call]:
        """`async with guard.call("mail.send", {"to": to}) as call:` asks, raises Denied or Held, and tells afterwards what came of it."""
        call = Call(await self.allowed(tool, arguments, **more))
        try:
            yield call
        except BaseException as error:
            self.report(call.verdict, call.told(error))
            raise
        self.report(call.verdict, call.told(None))

    def tool(
        self, name: str = "", *, writes: bool | None = None, **more: Any
    ) -> Callable[[Callable[..., Awaitable[T]]], Callable[..., Awaitable[T]]]:
        """`@guard.tool("mail.send", writes=True)`: every call of the function is asked about first, and told afterwards."""

        def guarded(function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
            calls.must_be_awaited(function)
            named = name or function.__name__

            @functools.wraps(function)
            async def asked(*args: Any, **kwargs: Any) -> T:
                async with self.call(named, calls.arguments_of(function, args, kwargs), writes=writes, **more) as call:
                    result = await function(*args, **kwargs)
                    call.returned(result)
                    return result

            return asked

        return guarded

    async def allowed(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Verdict:
        """The verdict, if it is yes; otherwise Held or Denied."""
        verdict = await self.evaluate(tool, arguments, **more)
        if verdict.decision:
            return verdict
        if not verdict.held:
            raise Denied(verdict)
        raise Held(verdict, await self._task_for(verdict))

    # -- people

    async def submit(self, denial: Verdict | Held, *, context: Mapping[str, Any] | None = None, key: str = "") -> Task:
        """Ask people about a call that was held. The same denial asks them once, or the same `key` of the caller's own."""
        verdict = denial.verdict if isinstance(denial, Held) else denial
        got = await self._said(wire.submitted(verdict, context or {}, key))
        if (task := wire.task_of(got)) is None:
            raise Unavailable("The guard answered with no task.")
        return task

    async def task(self, task: Task, *, wait_s: float = 0.0) -> Task:
        """How it stands now; with `wait_s`, as soon as it is over, or then."""
        path = path_below(self.url, task.status_endpoint)
        got = await self._said(wire.task_asked(task, path, wait_s), seconds=wait_s + (TASK_SLACK_S if wait_s else self._budget_s))
        return wire.task_of(got) or task

    async def wait(self, task: Task, deadline_s: float) -> Task:
        """Until people have answered, or so many seconds are over. A service that restarts meanwhile is waited for."""
        ends, pause = time.monotonic() + deadline_s, 0.5
        while not task.final and (left := ends - time.monotonic()) > 0:
            asked_at = time.monotonic()
            try:
                task = await self.task(task, wait_s=min(TASK_WAIT_S, left))
                failed = False
            except Unavailable:
                failed = True
            if task.final:
                break
            if failed or time.monotonic() - asked_at < 1.0:  # it answers at once, or not at all: ever more slowly
                await asyncio.sleep(max(0.0, min(pause, ends - time.monotonic())))
                pause = min(pause * 2, 10.0)
            else:
                pause = 0.5
        return task

    # -- telling

    def report(self, verdict: Verdict, outcome: str | Mapping[str, Any], *, returned: Any = None, size: int | None = None) -> None:
        """What came of a call: "done", "failed", "cancelled" or "not_done". Told in the background, until it arrives."""
        item = dict(outcome) if isinstance(outcome, Mapping) else calls.outcome_item(outcome, returned, size)
        if verdict.asked:
            if verdict.evaluation_id:
                self._journal.keep({"evaluation_id": verdict.evaluation_id, **_question_of(verdict, item), **item})
        elif verdict.decision and not self._journal.add(verdict.request_id, item):
            self._journal.keep({**_unasked_again(verdict), **item})
        self._wake()

    def tool_changed(self, server: str, tool: str, *, before: str, after: str, session: str = "") -> None:
        """The definition of a tool is not the one that was approved: `sha256:…` of both."""
        changed = {"server": server, "tool": tool, "before": before, "after": after, "subject": self.subject.to_json()}
        self._journal.keep({"tool_changed": {**changed, "session": session or self.session}})
        self._wake()

    async def flush(self, seconds: float = 5.0) -> bool:
        """Tell now what is still to be told. Says whether all of it arrived."""
        self._begin()
        return await self._telling().flush(seconds)

    @property
    def untold(self) -> int:
        return len(self._journal)

    # -- sessions

    async def register(self, session: str, *, intent: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Begin a session with an intent; from now on the calls are its calls. Needs a token with the scope sessions.write."""
        identity = {"kind": self.subject.type, "provider": self.subject.provider or "holdfast", "subject": self.subject.id}
        body = {"identity": identity, "id": session, **({"intent": dict(intent)} if intent else {}), **more}
        state = _object(await self._said(wire.session_sent("POST", body=body)))
        self.session = str(state.get("id") or session)
        return state

    async def heartbeat(self, **narrower: Any) -> dict[str, Any]:
        return _object(await self._said(wire.session_sent("PATCH", self.session, narrower)))

    async def end_session(self) -> None:
        await self._said(wire.session_sent("DELETE", self.session))

    async def session_state(self, handle: str = "") -> dict[str, Any]:
        """May it go on? `state` is active, paused, restricted or ended."""
        return _object(await self._said(wire.session_sent("GET", handle or self.session)))

    # -- what is contained

    def refused_locally(self, subject: Subject | None = None, session: str | None = None) -> str:
        """Why this subject or session is refused without asking; empty if it is not."""
        known = self._view.refuses(subject or self.subject, self.session if session is None else session)
        return known.reason if known else ""

    async def contained_changed(self, seconds: float) -> bool:
        """Wait until the service has told anew what is contained; for whoever stops calls under way. False when the time is over."""
        self._begin()
        assert self._seen is not None  # noqa: S101 - _begin made it
        changed = await background.happens(self._seen, seconds)
        self._seen.clear()
        return changed

    # -- its own life

    async def close(self) -> None:
        """Tell what can be told in two seconds, and stop. What could not be told stays in the journal's file."""
        if self._closed:
            return
        self._on_this_loop()
        self._closed = True
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if len(self._journal):
            await self._telling().flush(CLOSES_WITHIN_S)
        await self._transport.close()
        self._journal.close()

    async def __aenter__(self) -> AsyncGuard:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    # -- inside

    def _begin(self) -> None:
        """With the first call, on the loop that it runs on; and again, should one of the two tasks have ended."""
        if self._closed:
            raise RuntimeError("This guard is closed.")
        self._on_this_loop()
        if self._tasks and not any(task.done() for task in self._tasks.values()):
            return
        if self._seen is None:
            self._seen = asyncio.Event()
        work = {"tells": self._telling().run, "leaves": self._leaves}
        if self._watches:
            work["watches"] = background.Watcher(self._transport, self._view, self._breaker, self._seen.set).run
        for name, run in work.items():
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = asyncio.ensure_future(run())
        self._wake()

    async def _leaves(self) -> None:
        """asyncio.run cancels what is left when it ends: then the connections are closed on the loop to which they belong."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._transport.close()

    def _on_this_loop(self) -> None:
        """Connections and tasks belong to one loop. Where that one has ended, as between two asyncio.run, all of it begins anew."""
        here = asyncio.get_running_loop()
        if self._at is here:
            return
        if self._at is not None:
            if self._at.is_running():
                raise RuntimeError("This guard is in use on another event loop. Make one for each loop.")
            self._transport.begin_anew()
            self._breaker.gave_up()
            self._journal.back_all()
            self._teller, self._seen, self._tasks = None, None, {}
        self._at = here

    def _telling(self) -> background.Teller:
        if self._teller is None:
            self._teller = background.Teller(self._transport, self._journal)
        return self._teller

    def _wake(self) -> None:
        if self._teller is not None and len(self._journal) and self._at is not None and not self._at.is_closed():
            self._teller.woken.set()

    async def _task_for(self, verdict: Verdict) -> Task | None:
        if not self._asks_people:
            return None
        try:
            return await self.submit(verdict)
        except (Unavailable, Refused):
            return None

    async def _said(self, sent: wire.Sent, *, seconds: float | None = None) -> wire.Got:
        """An answer with which something can be done; Unavailable or Refused otherwise."""
        self._on_this_loop()
        got = await self._transport.send(sent, seconds=seconds or self._budget_s)
        if not got.answered:
            raise Unavailable(got.failure or f"The guard answered {got.status}.")
        if got.status >= 300:
            code, detail = wire.problem_of(got)
            raise Refused(got.status, code, detail)
        return got


def _question_of(verdict: Verdict, item: Mapping[str, Any]) -> dict[str, Any]:
    """What a tool returned is worth what it was called with: the service keeps no arguments, so they come again, if they are short."""
    if "returned" not in item or len(encoded(verdict.request)) > wire.MOST_KEPT:
        return {}
    return {"request": {**verdict.request, "context": {}}}


def _unasked_again(verdict: Verdict) -> dict[str, Any]:
    """The call was told already, without what came of it. Its request id says that it is the same one."""
    request = verdict.request
    short = {**request, "context": {name: value for name, value in request.get("context", {}).items() if name in ("request_id", "session")}}
    short["action"] = {"name": request["action"]["name"], "properties": {"tool": request["action"]["properties"].get("tool", "")}}
    return {"unasked": True, "request": short, "decision": True, "mode": "open"}


def _object(got: wire.Got) -> dict[str, Any]:
    said = wire.read(got.body)
    if not isinstance(said, dict):
        raise Unavailable("The guard answered with no object.")
    return said
