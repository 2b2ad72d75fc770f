"""Sends one request and brings its answer, or says that there was none, within its time: names, connecting, sending, reading, all.

The time is kept from outside the request, so that a server of one byte a second or a name that does not resolve costs no more. What the
HTTP library raises ends here: its errors carry the request, and with it the token.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx

from holdfast_guard.wire import Got, Sent

USER_AGENT = "holdfast-guard/0.1"
MOST_CONNECTIONS = 64


class Token:
    """Does not show itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        text = text.strip()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("The token is empty, or has characters that no token has.")
        self._text = text

    def header(self) -> str:
        return f"Bearer {self._text}"

    def __repr__(self) -> str:
        return "Token(…)"


class Transport:
    """`ca`: what the service's certificate is checked against, where that is not the system's. No proxy but `proxy` is asked."""

    def __init__(self, base: str, token: Token, *, ca: ssl.SSLContext | str | None = None, proxy: str | None = None) -> None:
        self._base, self._token, self._proxy = base, token, proxy
        self._verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if isinstance(ca, str) else ca or True
        self._client: httpx.AsyncClient | None = None
        self._under_way: set[asyncio.Task[Got]] = set()

    async def send(self, sent: Sent, *, seconds: float) -> Got:
        """Never raises for what the other side or the network does."""
        if seconds <= 0:
            return Got(failure="no time was left to ask")
        task = asyncio.ensure_future(self._exchange(sent, seconds))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() and not task.cancelled():
            return task.result()
        task.cancel()  # and nobody waits for how it ends
        return Got(failure=f"no answer within {seconds:.1f} s")

    def begin_anew(self) -> None:
        """On another loop: what belongs to the one that ended is left behind."""
        self._client, self._under_way = None, set()

    async def close(self) -> None:
        for task in list(self._under_way):
            task.cancel()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(self, sent: Sent, seconds: float) -> Got:
        try:
            return await self._answer(sent, seconds)
        except Exception as error:  # whatever the library or the other side raises: it is no answer
            failure = type(error).__name__
        return Got(failure=f"the connection failed ({failure})")

    async def _answer(self, sent: Sent, seconds: float) -> Got:
        headers = {"Authorization": self._token.header(), **sent.headers}
        if sent.body:
            headers["Content-Type"] = "application/json"
        request = self._ready().build_request(
            sent.method,
            self._base + sent.path,
            params=dict(sent.query) or None,
            content=sent.body or None,
            headers=headers,
            timeout=seconds,
        )
        answer = await self._ready().send(request, stream=True, follow_redirects=False)
        try:
            body = bytearray()
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                return Got(failure="the answer is compressed, which nobody asked for")
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > sent.most:
                    return Got(failure="the answer is too long")
            return Got(answer.status_code, bytes(body), retry_after=_seconds(answer.headers.get("Retry-After")))
        finally:
            await answer.aclose()

    def _ready(self) -> httpx.AsyncClient:
        if self._client is None:
            more: dict[str, Any] = {"proxy": self._proxy} if self._proxy else {}
            self._client = httpx.AsyncClient(
                verify=self._verify,
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS // 2, keepalive_expiry=20),
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
                **more,
            )
        return self._client


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdigit() and len(header) < 7 else None
