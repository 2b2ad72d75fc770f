"""The door for programs that ask: what no program needs (pages' files, sign-in and its session, messages) is not in the way of a tool call.

Django carries each of its middlewares from the event loop into a thread and back, twice, because some of ours are only for threads; an
empty view costs more than three milliseconds that way. Here a question goes into a thread once, through the few that it needs, and is
answered there whole. Views, refusals and headers are those of the long way; nothing is told here that is not told there.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from csp.middleware import CSPMiddleware
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import set_script_prefix

from api.access import room
from api.access.refusals import PREFIX, RequestIdMiddleware
from api.gate import Application, Receive, Scope, Send
from api.refusals import ProblemMiddleware

AROUND = (  # outermost first, as in the settings
    RequestIdMiddleware,
    SecurityMiddleware,
    CSPMiddleware,
    ProblemMiddleware,
    CommonMiddleware,
    XFrameOptionsMiddleware,
)
BESIDE = 8  # threads for those who need no turn, beside one for each turn


class Door(ASGIHandler):
    """ASGI: answers what is asked under /access/v1/, and hands everything else on."""

    _get_response: Any  # Django's: the view behind all middlewares

    def __init__(self, application: Application) -> None:
        super().__init__()
        self.application = application
        self._threads = ThreadPoolExecutor(room.AT_ONCE + BESIDE, thread_name_prefix="asked")

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        chain: Any = convert_exception_to_response(self._get_response)
        for middleware in reversed(AROUND):
            made = middleware(chain)
            if hasattr(made, "process_exception"):
                self._exception_middleware.append(made.process_exception)
            chain = convert_exception_to_response(made)
        self._middleware_chain = chain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not str(scope["path"]).startswith(PREFIX):
            await self.application(scope, receive, send)
            return
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        try:
            answer, content = await asyncio.get_running_loop().run_in_executor(self._threads, self._answered, scope, body)
        finally:
            body.close()
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in answer.items()]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def close(self) -> None:
        """No thread is left. (A server that ends ends them by itself.)"""
        self._threads.shutdown()

    def _answered(self, scope: Scope, body: IO[bytes]) -> tuple[HttpResponseBase, bytes]:
        """In one thread from the first statement to the connection that goes back to the pool."""
        signals.request_started.send(sender=type(self), scope=scope)
        set_script_prefix(get_script_prefix(scope))
        request, refusal = self.create_request(scope, body)
        answer: Any = refusal or self.get_response(_plain(request))
        content = bytes(answer.content) if isinstance(answer, HttpResponse) else b"".join(answer)
        answer.close()
        return answer, content


def _plain(request: ASGIRequest | None) -> ASGIRequest:
    assert request is not None  # noqa: S101 - there is a request or a refusal
    return request
