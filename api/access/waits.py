"""Long polls stand here, before Django: an agent that waits costs the process a task, and neither a thread nor a connection.

As soon as one middleware is only for threads, Django runs an async view in a thread of its own, and holds that until the view is done. So
the views that may wait are run in the event loop directly, whole and as they are; nothing is told here that is not told there. What they do
not need is left out: static files, sign-in and its session. What every answer carries, theirs carries too.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import Resolver404, ResolverMatch, resolve

from api.access import contained, requests
from api.access.refusals import PREFIX, RequestIdMiddleware
from api.gate import Application, Message, Receive, Scope, Send
from api.refusals import as_problem

MOST = 2_000  # who wait, in each process; whoever comes then is answered at once
LATER_S = 10
VIEWS = (contained.contained, requests.status)
AROUND = (RequestIdMiddleware, SecurityMiddleware, CSPMiddleware, XFrameOptionsMiddleware)  # outermost first, as in the settings


class Waits:
    """ASGI: answers polls that wait, and hands everything else on."""

    def __init__(self, application: Application, most: int = MOST) -> None:
        self.application, self.most, self.waiting = application, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        poll = _poll(scope)
        if poll is None:
            await self.application(scope, receive, send)
        elif self.waiting >= self.most:
            await self.application({**scope, "query_string": _without_wait(scope)}, receive, _later(send))
        else:
            self.waiting += 1
            try:
                await _unless_gone(_answered(*poll), receive, send)
            finally:
                self.waiting -= 1


Poll = tuple[HttpRequest, ResolverMatch]


def _poll(scope: Scope) -> Poll | None:
    """None where nobody waits, and where Django has something to say first (about the host, or about https)."""
    if scope["type"] != "http" or scope["method"] != "GET" or b"wait=" not in scope["query_string"] or not scope["path"].startswith(PREFIX):
        return None
    try:
        request = ASGIRequest(scope, io.BytesIO())
        request.get_host()
        match = resolve(request.path_info)
    except (Resolver404, DisallowedHost, UnicodeDecodeError):
        return None
    if match.func not in VIEWS or not request.GET.get("wait", "").strip("0.") or (settings.SECURE_SSL_REDIRECT and not request.is_secure()):
        return None
    return request, match


def _without_wait(scope: Scope) -> bytes:
    said = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return urlencode([(name, value) for name, value in said if name != "wait"]).encode()


def _later(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [(name, value) for name, value in message["headers"] if name.lower() != b"retry-after"]
            message = {**message, "headers": [*others, (b"retry-after", str(LATER_S).encode())]}
        await send(message)

    return sent


async def _answered(request: HttpRequest, match: ResolverMatch) -> HttpResponseBase:
    try:
        answer = await match.func(request, *match.args, **match.kwargs)
    except Exception as error:
        answer = as_problem(error, path=request.path)
    answer["Content-Length"] = str(len(answer.content))
    return _around(request, answer)


def _around(request: HttpRequest, answer: HttpResponse) -> HttpResponseBase:
    say: Callable[[HttpRequest], Any] = lambda _: answer  # noqa: E731
    for middleware in reversed(AROUND):
        say = middleware(say)
    made: HttpResponseBase = say(request)
    return made


async def _unless_gone(answered: Any, receive: Receive, send: Send) -> None:
    """Whoever hangs up ends the wait at once."""
    answering, going = asyncio.ensure_future(answered), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((answering, going), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            await _send(answering.result(), send)
    finally:
        answering.cancel()
        going.cancel()


async def _gone(receive: Receive) -> None:
    message: Mapping[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = await receive()


async def _send(answer: Any, send: Send) -> None:
    headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.items()]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.content})
