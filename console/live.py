"""The socket of open pages: it says that something changed, and never what. Each page then asks over HTTP, with the rights of its viewer.

A socket outlives the request that opened it, so the session is looked up again every few seconds; when it has ended, so does the socket.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from accounts import actors
from accounts.models import Person
from accounts.session_store import SessionStore
from audit import clock
from audit.nudges import WATCHERS

SIGNED_OUT = 4401
RECHECK_S = 15.0


class Watcher(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    async def connect(self) -> None:
        self.rechecking: asyncio.Task[None] | None = None
        if not await self.may_watch():
            await self.close(SIGNED_OUT)
            return
        await self.channel_layer.group_add(WATCHERS, self.channel_name)
        await self.accept()
        now = await database_sync_to_async(clock.now)()
        await self._say({"type": "hello", "server_ms": int(now.timestamp() * 1000)})
        self.rechecking = asyncio.create_task(self._recheck())

    async def disconnect(self, code: int) -> None:
        if self.rechecking is not None:
            self.rechecking.cancel()
        await self.channel_layer.group_discard(WATCHERS, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Pages have nothing to say here."""

    async def changed(self, message: dict[str, Any]) -> None:
        """From audit.nudges, after a commit somewhere."""
        await self._say({name: message[name] for name in ("type", "verb", "refs", "seq")})

    async def may_watch(self) -> bool:
        """As of now: the session still stands, the person is still active and may still read."""
        key = self.scope["session"].session_key
        if not key:
            return False
        user = await get_user({"session": SessionStore(key)})
        return isinstance(user, Person) and await database_sync_to_async(_may_read)(user)

    async def _recheck(self) -> None:
        while await self.may_watch():
            await asyncio.sleep(RECHECK_S)
        await self.close(SIGNED_OUT)

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message))


def _may_read(person: Person) -> bool:
    return actors.of_person(person).may("read")
