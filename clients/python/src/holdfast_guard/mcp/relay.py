"""The relay: what passes between one client and one server, in both directions. Gated calls wait for the gate, the rest goes by at once.

Called with messages by a transport (`proxy.py`: two pipes; `http.py`: one exchange), which gives it two ways to send. Ids stay as they are:
one that is still awaited, or whose late answer has yet to be thrown away, may not be used again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast_guard.mcp import messages
from holdfast_guard.mcp.gate import Gate, Refusal
from holdfast_guard.mcp.messages import Id, Message
from holdfast_guard.words import Verdict

MOST_AT_ONCE = 1_000
MOST_DROPPED = 10_000
MOST_PAGES = 50
LISTING_S = 20.0
TELLING_S = 2.0  # how long one side that does not read may keep us from whoever is to be told next
META_OF_REQUESTS = "io.modelcontextprotocol/"  # the members of _meta that each request of the stateless revision carries
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

Send = Callable[[Message | list[Message]], Awaitable[None]]
Reply = Callable[[Message | None], Awaitable[None]]  # None: no answer will come, and none is awaited


@dataclass(eq=False)
class Flight:
    """A request of the client that is not answered yet. `forwarded`: the server has it. `verdict`: what let a gated one pass."""

    ident: Id
    method: str
    params: Message
    reply: Reply
    forwarded: bool = False
    verdict: Verdict | None = None
    task: asyncio.Task[None] | None = None
    told: int = 0
    since: int = 0  # how often the list of tools had changed when it was asked for

    @property
    def token(self) -> Id | None:
        return messages.progress_token({"params": self.params})


class Relay:
    """`asked`: requests of the server that the client has yet to answer; where their answers come over another exchange, it is shared."""

    def __init__(self, gate: Gate, *, to_client: Send, to_server: Send, asked: set[tuple[bool, Id]] | None = None) -> None:
        self.gate, self.to_client, self.to_server = gate, to_client, to_server
        self._flights: dict[tuple[bool, Id], Flight] = {}
        self._dropped: dict[tuple[bool, Id], bool] = {}  # in the order in which they came; whether it may have begun a task
        self._asked: set[tuple[bool, Id]] = set() if asked is None else asked
        self._own: dict[tuple[bool, Id], asyncio.Future[Message]] = {}
        self._listing = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()
        self.greeted = False  # the client knows the server, and may be told that its list of tools changed

    @property
    def busy(self) -> bool:
        return bool(self._flights)

    # From the client

    async def client_said(self, raw: bytes) -> None:
        try:
            said = messages.read(raw)
        except messages.Unreadable as fault:
            await self.to_client(messages.error(None, fault.code, fault.because))
            return
        await self.take(said)

    async def take(self, said: Message | list[Any]) -> None:
        if isinstance(said, list):
            await self._batch(said)
        else:
            await self._one(said, self._alone)

    async def _alone(self, message: Message | None) -> None:
        if message is not None:
            await self.to_client(message)

    async def _batch(self, said: list[Any]) -> None:
        """Taken apart on the way to the server, and answered together."""
        answers: list[Message] = []
        awaited = sum(messages.kind(each) in ("request", "") for each in said)

        async def reply(message: Message | None) -> None:
            nonlocal awaited
            if message is None:
                awaited -= 1
            else:
                answers.append(message)
            if answers and len(answers) == awaited:
                await self.to_client(answers)

        for each in said:
            await self._one(each, reply)

    async def _one(self, said: Any, reply: Reply) -> None:
        match messages.kind(said):
            case "request":
                await self._request(said, reply)
            case "notification":
                await self._told(said)
            case "answer":
                await self._answered(said)
            case _:
                ident = said.get("id") if isinstance(said, dict) else None
                known = ident if messages.is_id(ident) and messages.key(ident) not in self._flights else None
                await reply(messages.error(known, messages.INVALID_REQUEST, "This is not a message of the protocol."))

    async def _request(self, said: Message, reply: Reply) -> None:
        flight = Flight(said["id"], said["method"], messages.params(said), reply)
        key = messages.key(flight.ident)
        if key in self._flights or key in self._dropped or key in self._own:
            data = {"id": flight.ident}  # without the id itself: the answer belongs to the first who used it
            await reply(messages.error(None, messages.INVALID_REQUEST, "This id is in use.", data))
        elif len(self._flights) >= MOST_AT_ONCE:
            await reply(messages.error(flight.ident, messages.INTERNAL_ERROR, f"{MOST_AT_ONCE} requests wait already. Try again later."))
        elif flight.method in messages.GATED:
            self._flights[key] = flight
            flight.task = asyncio.create_task(self._gated(flight, said))
        elif not self.gate.passes(flight.method):
            await reply(messages.error(flight.ident, messages.METHOD_NOT_FOUND, "This method does not pass the guard."))
        elif stop := self.gate.stopped(flight.method):
            await reply(stop.to_message(flight.ident))
        else:
            self._flights[key] = flight
            await self._forward(flight, said)

    async def _forward(self, flight: Flight, said: Message) -> None:
        flight.forwarded, flight.since = True, self.gate.changes
        await self.to_server(said)

    async def _gated(self, flight: Flight, said: Message) -> None:
        try:
            call = self.gate.call(flight.method, flight.params)
            if flight.method == "tools/call":
                await self._know(call.about, flight.params)
                self.gate.check_tool(call.about)
            flight.verdict = await self.gate.ask(call, tell=self._teller(flight))
            if stop := self.gate.stopped(flight.method):
                raise stop
            if self._flights.get(messages.key(flight.ident)) is not flight:  # withdrawn, and the cancellation was lost on the way
                self.gate.guard.report(flight.verdict, "not_done")
                return
            await self._forward(flight, said)
        except Refusal as no:
            if self._land(flight):
                if flight.verdict is not None:
                    self.gate.guard.report(flight.verdict, "not_done")
                await flight.reply(self._no(flight, no))
        except Exception as fault:
            self.gate.log(f"a call was not passed on: {type(fault).__name__}: {messages.plain(fault)}")
            if self._land(flight):
                await flight.reply(messages.error(flight.ident, messages.INTERNAL_ERROR, "The guard could not ask about this call."))

    def _no(self, flight: Flight, no: Refusal) -> Message:
        if self.gate.rules.as_result and flight.method == "tools/call" and no.code in (messages.DENIED, messages.INTERNAL_ERROR):
            stateless = any(name.startswith(META_OF_REQUESTS) for name in _meta(flight.params))
            return messages.answer(flight.ident, no.to_result() | ({"resultType": "complete"} if stateless else {}))
        return no.to_message(flight.ident)

    def _teller(self, flight: Flight) -> Callable[[str], Awaitable[None]] | None:
        """Signs of life to a client that asked for progress. They count in millionths, so that the server's own count goes on from them."""
        token = flight.token
        if token is None:
            return None

        async def tell(words: str) -> None:
            flight.told += 1
            said = {"progressToken": token, "progress": flight.told / 1_000_000, "message": words}
            await self.to_client(messages.notification("notifications/progress", said))

        return tell

    async def _told(self, said: Message) -> None:
        method = said["method"]
        if not self.gate.passes_told(method) or (self.gate.guard.stopped() and method not in messages.HARMLESS_TOLD):
            return
        if method == "notifications/cancelled":
            ident = messages.params(said).get("requestId")
            flight = self._flights.get(messages.key(ident)) if messages.is_id(ident) else None
            if flight is None:
                return
            await self._cancel(flight, said)
            return
        await self.to_server(said)

    async def cancel(self, ident: Any) -> bool:
        """The client withdrew this request over another exchange."""
        flight = self._flights.get(messages.key(ident)) if messages.is_id(ident) else None
        if flight is None:
            return False
        self._land(flight)
        self._abandon(flight)
        await flight.reply(None)
        return True

    async def _cancel(self, flight: Flight, said: Message) -> None:
        """The client wants no answer any more, and gets none."""
        self._land(flight)
        self._abandon(flight)
        if flight.forwarded:
            await self.to_server(said)
        await flight.reply(None)

    async def _answered(self, said: Message) -> None:
        """What the client gives back to a request of the server: a sample of its model, an answer of its user. From one that is contained
        the server gets none of it."""
        ident = said.get("id")
        if ident is None or messages.key(ident) not in self._asked:
            return
        self._asked.discard(messages.key(ident))
        stop = self.gate.guard.stopped()
        await self.to_server(stop.to_message(ident) if stop else said)

    # From the server

    async def server_said(self, raw: bytes) -> None:
        try:
            said = messages.read(raw)
        except messages.Unreadable as fault:
            self.gate.log(f"the server sent what is not a message: {fault.because}")
            await self._unread(raw)
            return
        for each in said if isinstance(said, list) else [said]:
            await self._from_server(each, len(raw))

    async def _unread(self, raw: bytes) -> None:
        """Whoever it was to answer waits for nothing else. The server did what it was asked, and nobody can say what came of it."""
        meant = messages.meant(raw)
        keys = [messages.key(ident) for ident in meant] if meant is not None else [*self._own, *self._flights]
        for key in keys:
            self._dropped.pop(key, None)
            flight = self._flights.get(key)
            if flight is None or not flight.forwarded:
                if key in self._own:
                    await self._unanswered(key, "", "")
            elif self._land(flight):
                if flight.verdict is not None:
                    self.gate.guard.report(flight.verdict, "failed", size=len(raw))
                no = messages.error(flight.ident, messages.INTERNAL_ERROR, "The server's answer could not be read.", _UNREADABLE)
                await flight.reply(no)

    async def _from_server(self, said: Any, size: int) -> None:
        match messages.kind(said):
            case "answer":
                await self._landed(said, size)
            case "request":
                if stop := self.gate.guard.stopped():
                    await self.to_server(stop.to_message(said["id"]))
                    return
                if not self.gate.passes_back(said["method"]):
                    because = "This method does not pass the guard."
                    await self.to_server(messages.error(said["id"], messages.METHOD_NOT_FOUND, because))
                    return
                self._asked.add(messages.key(said["id"]))
                await self.to_client(said)
            case "notification":
                if said["method"] == "notifications/tools/list_changed":
                    self.gate.list_changed()
                if not self.gate.guard.stopped():
                    await self.to_client(said)
            case _:
                self.gate.log("the server sent an object that is not a message")

    async def _landed(self, said: Message, size: int) -> None:
        ident = said.get("id")
        if ident is None:
            await self.to_client(said)
            return
        key = messages.key(ident)
        if key in self._own:  # of ours
            if not self._own[key].done():
                self._own[key].set_result(said)
            return
        if key in self._dropped:
            if self._dropped.pop(key) and (task := messages.task_of(said.get("result"))):
                await self._cancel_task(task)  # nobody will ask what comes of it
            return
        flight = self._flights.get(key)
        if flight is None or not flight.forwarded:
            self.gate.log("the server answered what nobody asked")
            return
        self._land(flight)
        try:
            checked = self._checked(flight, said, size)
        except (ValueError, OSError) as fault:  # of the pins: what cannot be compared is not shown
            self.gate.log(messages.plain(fault))
            checked = messages.error(ident, messages.INTERNAL_ERROR, "The guard could not compare the tools with what they were.")
        await flight.reply(checked)

    def _checked(self, flight: Flight, said: Message, size: int) -> Message:
        result = said.get("result")
        if flight.verdict is not None:
            self._told_outcome(flight, said, flight.verdict, size)
        self._follow(flight, said, size)
        if isinstance(result, dict) and (closed := self._asks_back(result)):
            return messages.error(flight.ident, messages.METHOD_NOT_FOUND, f"The server asks for {closed}, which does not pass the guard.")
        if flight.method in ("initialize", "server/discover") and "result" in said:
            self.greeted = True
        if flight.method == "tools/list" and isinstance(result, dict):
            return {**said, "result": self._page(result, flight.params, flight.since)}
        return said

    def _page(self, result: Mapping[str, Any], asked: Mapping[str, Any], since: int) -> dict[str, Any]:
        return self.gate.listing(result, first="cursor" not in asked, since=since)

    def _asks_back(self, result: Mapping[str, Any]) -> str:
        """The stateless revision asks for samples and answers of users in a result. The same methods are closed there."""
        asked = result.get("inputRequests")
        methods = [each.get("method") for each in asked.values() if isinstance(each, dict)] if isinstance(asked, dict) else []
        return next((messages.plain(each, 100) for each in methods if not isinstance(each, str) or not self.gate.passes_back(each)), "")

    # Calls that go on after their answer

    def _told_outcome(self, flight: Flight, said: Message, verdict: Verdict, size: int) -> None:
        result = said.get("result")
        if (task := messages.task_of(result)) and flight.method == "tools/call":
            self.gate.begin(task, verdict, self._cancel_task)
            return
        failed = "error" in said or (isinstance(result, dict) and result.get("isError") is True)
        self.gate.guard.report(verdict, "failed" if failed else "done", returned=messages.texts(result), size=size)

    def _follow(self, flight: Flight, said: Message, size: int) -> None:
        """What came of a call that began a task is known when the task's result is fetched, or when it is said to have ended without."""
        result, task = said.get("result"), flight.params.get("taskId")
        if not flight.method.startswith("tasks/") or not isinstance(task, str) or not isinstance(result, dict):
            return
        if flight.method == "tasks/result" or "result" in result:
            failed = result.get("isError") is True
            self.gate.ended(task, "failed" if failed else "done", returned=messages.texts(result), size=size)
        elif result.get("status") in ("failed", "cancelled"):
            self.gate.ended(task, str(result["status"]))

    async def _cancel_task(self, task: str) -> None:
        ident = f"holdfast-{secrets.token_hex(8)}"
        self._dropped[messages.key(ident)] = False
        await self.to_server(messages.request(ident, "tasks/cancel", {"taskId": task}))

    # The list of tools, where the client did not ask for it

    async def _know(self, tool: str, asked: Message) -> None:
        """A tool is called only as it was listed. If the client has not listed it since the list last changed, we do."""
        if self.gate.knows(tool):
            return
        async with self._listing:
            if self.gate.knows(tool):
                return
            meta = {name: said for name, said in _meta(asked).items() if name.startswith(META_OF_REQUESTS)}
            said: dict[str, Any] = {"_meta": meta} if meta else {}
            since = self.gate.changes
            for _ in range(MOST_PAGES):
                result = (await self._ask_server("tools/list", said)).get("result")
                if not isinstance(result, dict):
                    raise Refusal(messages.INTERNAL_ERROR, "The server does not say which tools it has.", {"reason": "tools_unknown"})
                self._page(result, said, since)
                cursor = result.get("nextCursor")
                if not isinstance(cursor, str) or not cursor:
                    break
                said = {**said, "cursor": cursor}
            else:
                raise Refusal(messages.INTERNAL_ERROR, "The server's list of tools has no end.", {"reason": "tools_unknown"})

    async def _ask_server(self, method: str, said: Message) -> Message:
        ident = f"holdfast-{secrets.token_hex(8)}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._own[messages.key(ident)] = answer
        try:
            await self.to_server(messages.request(ident, method, said))
            return await asyncio.wait_for(answer, LISTING_S)
        except asyncio.TimeoutError:
            return {}
        finally:
            del self._own[messages.key(ident)]

    # Containment, and the end

    async def stop(self, stop: Refusal, *, changed: bool = True) -> None:
        """Contained or paused: the server is told to stop all of it, then who waits is told, and what still comes is thrown away. Whoever
        does not read keeps nobody else waiting."""
        stopped = [each for each in list(self._flights.values()) if each.method not in messages.HARMLESS and self._land(each)]
        for flight in stopped:
            self._abandon(flight)
        said = [{"requestId": flight.ident, "reason": "The session was stopped."} for flight in stopped if flight.forwarded]
        await self._tell([self.to_server(messages.notification("notifications/cancelled", each)) for each in said])
        words = [flight.reply(self._no(flight, stop)) for flight in stopped]
        await self._tell([*words, *([self.tools_changed()] if changed else [])], waits=False)

    async def _tell(self, words: Iterable[Awaitable[None]], *, waits: bool = True) -> None:
        """All at once, in this order. What is not taken in time is left to whoever reads at last."""
        tasks = [asyncio.ensure_future(self._say(each)) for each in words]
        for task in tasks:
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=TELLING_S if waits else 0)

    async def _say(self, word: Awaitable[None]) -> None:
        try:
            await word
        except Exception as fault:
            self.gate.log(f"somebody could not be told: {type(fault).__name__}: {messages.plain(fault)}")

    async def started(self) -> None:
        """It may go on: its client lists the tools again."""
        await self._tell([self.tools_changed()], waits=False)

    async def tools_changed(self) -> None:
        listening = [flight.ident for flight in self._flights.values() if flight.method == "subscriptions/listen"]
        if self.greeted or listening:
            said = {"_meta": {SUBSCRIPTION: listening[0]}} if listening else None
            await self.to_client(messages.notification("notifications/tools/list_changed", said))

    async def server_left(self, because: str, reason: str = "server_gone") -> None:
        """No answer will come: whoever waits for one is told."""
        await self._tell([self._unanswered(key, because, reason) for key in [*self._own, *self._flights]])

    async def unanswered(self, ident: Id, because: str, reason: str = "server_gone") -> None:
        """The same for one request, where each has a way of its own to the server."""
        await self._unanswered(messages.key(ident), because, reason)

    async def _unanswered(self, key: tuple[bool, Id], because: str, reason: str) -> None:
        if (answer := self._own.get(key)) is not None and not answer.done():
            answer.set_result({})
        if (flight := self._flights.get(key)) is not None and self._land(flight):
            self._abandon(flight)
            await flight.reply(messages.error(flight.ident, messages.INTERNAL_ERROR, because, {"reason": reason}))

    async def client_left(self) -> None:
        for flight in list(self._flights.values()):
            if self._land(flight):
                self._abandon(flight)

    def _land(self, flight: Flight) -> bool:
        """It is answered now, and by nobody else."""
        return self._flights.pop(messages.key(flight.ident), None) is not None

    def _abandon(self, flight: Flight) -> None:
        """Nobody wants its answer any more. What the server was asked, it may have done: that is what is reported."""
        if not flight.forwarded:
            if flight.task is not None:
                flight.task.cancel()
            outcome = "not_done"
        else:
            self._dropped[messages.key(flight.ident)] = flight.method == "tools/call"
            if len(self._dropped) > MOST_DROPPED:
                self._dropped.pop(next(iter(self._dropped)))
            outcome = "cancelled"
        if flight.verdict is not None:
            self.gate.guard.report(flight.verdict, outcome)


def _meta(params: Mapping[str, Any]) -> Mapping[str, Any]:
    said = params.get("_meta")
    return said if isinstance(said, dict) else {}


_UNREADABLE = {"reason": "answer_unreadable"}
