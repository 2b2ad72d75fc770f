"""The proxy over streamable HTTP: one exchange for each POST, one for each stream, the same gate for all of them.

Needs starlette, uvicorn and httpx, which the extra `mcp` brings. Headers that say what a message says must say the same as the message:
whoever routes by them behind us would otherwise act on something that nobody was asked about.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ipaddress
import json
import re
import signal
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from holdfast_guard.mcp import messages
from holdfast_guard.mcp.gate import Gate
from holdfast_guard.mcp.messages import Id, Message
from holdfast_guard.mcp.proxy import LONGEST_MESSAGE, watch
from holdfast_guard.mcp.relay import Relay

PATH = "/mcp"
CANCELLED = "notifications/cancelled"
SESSION, VERSION, METHOD, NAME = "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"
PASSED_ON = ("accept", "authorization", "last-event-id", "traceparent", "tracestate", SESSION, VERSION, METHOD, NAME)
PARAMETERS = "mcp-param-"
PASSED_BACK = (SESSION, "www-authenticate", "retry-after", "allow")
STATELESS = "2026-07-28"  # from this revision on, closing the stream of a request is how it is cancelled
VERSION_IN_BODY = "io.modelcontextprotocol/protocolVersion"
IN_LETTERS = re.compile(r"=\?base64\?(?P<said>[A-Za-z0-9+/=]*)\?=")
QUIET_S = 10.0  # after which a waiting client is sent a line, so that nobody on the way gives up
MOST_SESSIONS = 1_000
STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


@dataclass(frozen=True, slots=True)
class Where:
    """`url`: the server. `origins`: pages that may come here; a browser says which page it is, and programs say nothing. `hosts`: names
    that this address has beyond this machine."""

    url: str
    listen: str
    origins: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    longest: int = LONGEST_MESSAGE
    hosts: Sequence[str] = ()


class Unfit(Exception):  # noqa: N818 - a no is not an error of anybody
    """A request that is refused before any message in it is looked at."""

    def __init__(self, status: int, because: str, code: int = messages.INVALID_REQUEST) -> None:
        super().__init__(because)
        self.status, self.because, self.code = status, because, code

    def to_response(self) -> Response:
        return JSONResponse(messages.error(None, self.code, self.because), self.status)


async def serve(gate: Gate, where: Where) -> int:
    host, _, port = where.listen.rpartition(":")
    host = host.strip("[]")
    _hosts(host, 0, where.hosts)  # before anybody can come
    listener = socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    proxy = HttpProxy(gate, where, hosts=_hosts(host, listener.getsockname()[1], where.hosts))
    server = _Server(uvicorn.Config(proxy.app(), log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
    gate.log(f"listening on http://{host}:{listener.getsockname()[1]}{PATH}")
    watcher = asyncio.create_task(watch(gate, proxy.relays))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    done, _ = await asyncio.wait({watcher, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True  # without the watcher nothing would stop what is under way
    await serving
    watcher.cancel()
    await proxy.close()
    return 1 if watcher in done else 0


class _Server(uvicorn.Server):
    """Ends when told to, and leaves the rest to us: by itself it would raise the signal again, before what is to be told is told."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class HttpProxy:
    """`hosts`: what the Host header may say."""

    def __init__(self, gate: Gate, where: Where, *, hosts: frozenset[str]) -> None:
        self.gate, self.where, self.hosts = gate, where, hosts
        self.upstream = httpx.AsyncClient(
            timeout=httpx.Timeout(10.0, read=None), follow_redirects=False, trust_env=False, headers={"accept-encoding": "identity"}
        )
        self._exchanges: set[Exchange] = set()
        self._asked: OrderedDict[str, set[tuple[bool, Id]]] = OrderedDict()
        self._last_words: set[asyncio.Task[None]] = set()  # what is sent after the exchange that it belongs to has ended

    def app(self) -> Starlette:
        return Starlette(routes=[Route(PATH, self._come_in, methods=["POST", "GET", "DELETE"])])

    def relays(self) -> list[Relay]:
        return [exchange.relay for exchange in self._exchanges]

    async def close(self) -> None:
        for exchange in list(self._exchanges):
            await exchange.close()
        if self._last_words:
            await asyncio.wait(self._last_words, timeout=2.0)
        await self.upstream.aclose()

    async def _come_in(self, request: Request) -> Response:
        try:
            self._check_sender(request)
            match request.method:
                case "POST":
                    return await self._post(request)
                case "GET":
                    return await self._get(request)
                case _:
                    return await self._delete(request)
        except Unfit as no:
            return no.to_response()
        except ClientDisconnect:
            return Response(status_code=499)
        except httpx.HTTPError as fault:
            self.gate.log(f"the server could not be asked: {type(fault).__name__}")
            return Unfit(502, "The server behind the guard does not answer.", messages.INTERNAL_ERROR).to_response()

    def _check_sender(self, request: Request) -> None:
        """A page in a browser may come only if it is named, and only to the name that we listen to."""
        if (origin := request.headers.get("origin")) is not None and origin not in self.where.origins:
            raise Unfit(403, "Pages of this origin may not come here.")
        if request.headers.get("host", "").lower() not in self.hosts:
            raise Unfit(421, "Nothing of this name is here.")

    # One message, or a batch

    async def _post(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Unfit(415, "A message comes as application/json.")
        said = await self._read(request)
        _compare_headers(request, said)
        exchange = self._open(request)
        try:
            if isinstance(said, dict) and said.get("method") == CANCELLED:
                await self._withdraw(said, exchange)
            else:
                await exchange.relay.take(said)
            if not _awaits_answer(said):
                return await exchange.accepted()
            return await exchange.respond(request)
        except BaseException:
            await exchange.close()
            raise

    async def _read(self, request: Request) -> Message | list[Any]:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.where.longest:
                raise Unfit(413, f"A message is at most {self.where.longest} bytes long.")
        try:
            return messages.read(bytes(body))
        except messages.Unreadable as fault:
            raise Unfit(400, fault.because, fault.code) from fault

    async def _withdraw(self, said: Message, mine: Exchange) -> None:
        """A client that cancels does so with a POST of its own; what it cancels is in another exchange of its session. Without a session
        nobody can tell whose call it is: there the stream of the call is closed to cancel it."""
        if not mine.session:
            return
        for exchange in list(self._exchanges):
            if exchange.session == mine.session and await exchange.relay.cancel(messages.params(said).get("requestId")):
                exchange.end()
        if self.gate.guard.stopped() is None:
            await mine.relay.to_server(said)

    # The stream of what the server says by itself, and the end of a session

    async def _get(self, request: Request) -> Response:
        exchange = self._open(request)
        exchange.relay.greeted = True
        try:
            back = await exchange.listen()
        except BaseException:
            await exchange.close()
            raise
        if back is not None:
            await exchange.close()
            return back
        return StreamingResponse(exchange.stream(), headers={**STREAM, **exchange.headers_back})

    async def _delete(self, request: Request) -> Response:
        answer = await self.upstream.request("DELETE", self.where.url, headers=self.headers(request))
        self._asked.pop(request.headers.get(SESSION, ""), None)
        return Response(status_code=answer.status_code, headers=_back(answer))

    def headers(self, request: Request) -> dict[str, str]:
        """What the server is to see of the client's headers, and what whoever runs the proxy adds."""
        passed = {name: said for name, said in request.headers.items() if name in PASSED_ON}
        return {**passed, **{name.lower(): said for name, said in self.where.headers.items()}}

    def _open(self, request: Request) -> Exchange:
        session = request.headers.get(SESSION, "")
        exchange = Exchange(self, self.headers(request), session, self._asked_in(session))
        self._exchanges.add(exchange)
        return exchange

    def last_word(self, word: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(word)
        self._last_words.add(task)
        task.add_done_callback(self._last_words.discard)

    def gone(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)

    def _asked_in(self, session: str) -> set[tuple[bool, Id]]:
        if not session:
            return set()
        asked = self._asked.setdefault(session, set())
        self._asked.move_to_end(session)
        while len(self._asked) > MOST_SESSIONS:
            self._asked.popitem(last=False)
        return asked


class Exchange:
    """One request of the client and what comes back on it. The relay between them sends to the server with POSTs of its own."""

    def __init__(self, proxy: HttpProxy, headers: Mapping[str, str], session: str, asked: set[tuple[bool, Id]]) -> None:
        self.proxy, self.headers, self.session = proxy, dict(headers), session
        self.relay = Relay(proxy.gate, to_client=self._to_client, to_server=self._to_server, asked=asked)
        self.headers_back: dict[str, str] = {}
        self.status = 200
        self._out: asyncio.Queue[Message | list[Message] | None] = asyncio.Queue(1_000)
        self._posts: set[asyncio.Task[None]] = set()

    # From the client

    async def accepted(self) -> Response:
        """Nothing is awaited: the server's word on whether it took it."""
        if self._posts:
            await asyncio.wait(self._posts)
        await self.close()
        return Response(status_code=202 if self.status == 200 else self.status, headers=self.headers_back)

    async def respond(self, request: Request) -> Response:
        """One object where the answer is the first that comes, and soon; else a stream."""
        first = await self._first(request)
        if first is None or _is_answer(first):
            await self.close()
            return _whole(first, self.status, self.headers_back)
        return StreamingResponse(self.stream(first), headers={**STREAM, **self.headers_back})

    async def _first(self, request: Request) -> Message | list[Message] | None:
        """An empty list stands for a stream that begins with nothing to say yet."""
        coming = asyncio.ensure_future(self._out.get())
        leaving = asyncio.ensure_future(_left(request))
        try:
            streams = "text/event-stream" in request.headers.get("accept", "")
            await asyncio.wait({coming, leaving}, timeout=QUIET_S if streams else None, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            if leaving.done():
                await self.relay.client_left()
                raise ClientDisconnect
            return []
        finally:
            coming.cancel()
            leaving.cancel()

    async def stream(self, first: Message | list[Message] | None = None) -> AsyncIterator[bytes]:
        """Until the answer; or, where nothing was asked, until the server ends it. If the client goes, so do we."""
        try:
            said = first
            while True:
                if said:
                    yield b"event: message\ndata: " + messages.write(said) + b"\n\n"
                    if _is_answer(said):
                        return
                try:
                    said = await asyncio.wait_for(self._out.get(), QUIET_S)
                except asyncio.TimeoutError:
                    said = []
                    yield b": waiting\n\n"
                if said is None:
                    return
        finally:
            await self.relay.client_left()
            await self.close()

    def end(self) -> None:
        """Nothing more is awaited on it."""
        if not self.relay.busy:
            with contextlib.suppress(asyncio.QueueFull):
                self._out.put_nowait(None)

    async def close(self) -> None:
        self.proxy.gone(self)
        for post in list(self._posts):
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)

    # To the client and to the server

    async def _to_client(self, message: Message | list[Message]) -> None:
        await self._out.put(message)

    async def _to_server(self, message: Message | list[Message]) -> None:
        if isinstance(message, dict) and message.get("method") == CANCELLED:
            if not self._stateless:  # there the stream of the request is closed with its exchange, which is how it is said
                self.proxy.last_word(self._post(message))
            return
        post = asyncio.create_task(self._post(message))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    @property
    def _stateless(self) -> bool:
        return self.headers.get(VERSION, "") >= STATELESS

    async def _post(self, message: Message | list[Message]) -> None:
        """What the server answers goes through the relay, whatever form it has. No answer where one is awaited is said, too."""
        headers = {**self._own_headers(message), "content-type": "application/json"}
        try:
            async with self.proxy.upstream.stream("POST", self.proxy.where.url, content=messages.write(message), headers=headers) as answer:
                await self._take(answer, message)
        except httpx.HTTPError as fault:
            self.proxy.gate.log(f"the server could not be asked: {type(fault).__name__}")
        except Exception as fault:  # whoever waits is told all the same
            self.proxy.gate.log(f"a message was not passed on: {type(fault).__name__}: {messages.plain(fault)}")
        if isinstance(message, dict) and messages.kind(message) == "request":
            await self.relay.unanswered(message["id"], "The server ended before it answered.")

    def _own_headers(self, message: Message | list[Message]) -> dict[str, str]:
        """A request of our own is not what the client's headers speak of."""
        headers = {"accept": "application/json, text/event-stream", **self.headers}
        if not isinstance(message, dict) or "method" not in message:
            return headers
        if METHOD in headers and headers[METHOD] != message["method"]:
            return {**{name: said for name, said in headers.items() if name != NAME}, METHOD: message["method"]}
        if message["method"] == "tools/call" and self._stateless:
            return {**headers, **_parameters(self.proxy.gate, messages.params(message))}
        return headers

    async def _take(self, answer: httpx.Response, asked: Message | list[Message]) -> None:
        self.headers_back.update(_back(answer))
        if answer.status_code != 200:
            self.status = answer.status_code
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            async for said in _events(answer, self.proxy.where.longest):
                await self.relay.server_said(said)
            return
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > self.proxy.where.longest:
                if isinstance(asked, dict) and "id" in asked:
                    await self.relay.unanswered(asked["id"], "The server's answer was too long to pass on.", "answer_too_long")
                return
        if body and answer.headers.get("content-type", "").startswith("application/json"):
            await self.relay.server_said(bytes(body))

    async def listen(self) -> Response | None:
        """Opens the server's own stream. What it says if it has none goes back as it is."""
        request = self.proxy.upstream.build_request("GET", self.proxy.where.url, headers=self.headers)
        answer = await self.proxy.upstream.send(request, stream=True)
        self.headers_back.update(_back(answer))
        if answer.status_code != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream"):
            await answer.aclose()
            return Response(status_code=answer.status_code if answer.status_code != 200 else 405, headers=self.headers_back)
        post = asyncio.create_task(self._listen(answer))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)
        return None

    async def _listen(self, answer: httpx.Response) -> None:
        try:
            async for said in _events(answer, self.proxy.where.longest):
                await self.relay.server_said(said)
        except httpx.HTTPError as fault:
            self.proxy.gate.log(f"the server's stream broke off: {type(fault).__name__}")
        finally:
            await answer.aclose()
            self.end()


def _compare_headers(request: Request, said: Message | list[Any]) -> None:
    """Where a header says what the message says, both say the same, and each header says it once."""
    for name in (METHOD, NAME, VERSION, SESSION):
        if len(request.headers.getlist(name)) > 1:
            raise Unfit(400, f"The header {name} stands there twice.", messages.HEADER_MISMATCH)
    method = said.get("method") if isinstance(said, dict) else None
    params = messages.params(said) if isinstance(said, dict) else {}
    meta = params.get("_meta")
    in_body = {
        METHOD: method,
        NAME: params.get(messages.GATED[method]) if method in messages.GATED else None,
        VERSION: meta.get(VERSION_IN_BODY) if isinstance(meta, dict) else None,
    }
    for name, inside in in_body.items():
        outside = _decoded(request.headers.get(name))
        compared = name != VERSION or inside is not None  # older revisions say it in the header alone
        if name in request.headers and compared and (outside is None or outside != inside):
            raise Unfit(400, f"The header {name} and the message do not say the same.", messages.HEADER_MISMATCH)


def _parameters(gate: Gate, params: Mapping[str, Any]) -> dict[str, str]:
    """The headers that repeat arguments, made anew from the message and the listed tool. What a client puts there goes no further."""
    said = {}
    for name, path in gate.headers_of(str(params.get("name"))).items():
        value: Any = params.get("arguments")
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str | int | float):
            said[PARAMETERS + name] = _coded(value if isinstance(value, str) else json.dumps(value))
    return said


def _coded(said: str) -> str:
    fits = said.isascii() and said.isprintable() and said == said.strip() and not IN_LETTERS.fullmatch(said)
    return said if fits else f"=?base64?{base64.b64encode(said.encode('utf-8')).decode()}?="


def _decoded(said: str | None) -> str | None:
    """A name that fits no header comes in letters that do. What cannot be read matches nothing."""
    coded = IN_LETTERS.fullmatch(said or "")
    if coded is None:
        return said
    try:
        return base64.b64decode(coded["said"], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _awaits_answer(said: Message | list[Any]) -> bool:
    """What is no message at all gets an answer, too."""
    return any(messages.kind(each) in ("request", "") for each in (said if isinstance(said, list) else [said]))


def _is_answer(said: Message | list[Message]) -> bool:
    return bool(said) and (isinstance(said, list) or messages.kind(said) == "answer")


def _whole(said: Message | list[Message] | None, status: int, headers: Mapping[str, str]) -> Response:
    if not said:
        return Response(status_code=202, headers=dict(headers))  # withdrawn: nobody waits for an answer
    return Response(messages.write(said), status, headers=dict(headers), media_type="application/json")


def _back(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(answer: httpx.Response, longest: int) -> AsyncIterator[bytes]:
    """The data of each event. One that is too long ends the stream: what it was the answer to gets another."""
    kept, data = b"", b""
    async for chunk in answer.aiter_bytes():
        *ended, kept = (kept + chunk).split(b"\n")
        for line in (each.removesuffix(b"\r") for each in ended):
            if line.startswith(b"data:"):
                data += (b"\n" if data else b"") + line[5:].removeprefix(b" ")
            elif not line and data:
                yield data
                data = b""
        if len(kept) + len(data) > longest:
            return


def _hosts(host: str, port: int, named: Sequence[str]) -> frozenset[str]:
    """What Host may say. Beyond this machine somebody has to have named it."""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if not near and not named:
        raise ValueError(
            "Whoever reaches this address could use the server. Say --allow-host NAME, by which clients come, or listen to 127.0.0.1."
        )
    names = [*named, *((host.lower(), "localhost", "127.0.0.1", "[::1]") if near else ())]
    return frozenset(each for name in names for each in (name.lower(), f"{name.lower()}:{port}"))
