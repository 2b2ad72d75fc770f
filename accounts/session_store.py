"""Where sign-ins are kept: Django's own table, by the database's clock. A web host whose clock is a day wrong would sign everybody out, or
let a sign-in live a day longer than it may."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends import db
from django.db.models.functions import Now

from audit import clock


class SessionStore(db.SessionStore):
    def get_expiry_date(self, **given: Any) -> datetime:
        return super().get_expiry_date(**{"modification": clock.now()} | given)

    async def aget_expiry_date(self, **given: Any) -> datetime:
        return await super().aget_expiry_date(**{"modification": await sync_to_async(clock.now)()} | given)

    def _get_session_from_db(self) -> Any:
        found = self.model.objects.filter(session_key=self.session_key, expire_date__gt=Now()).first()
        if found is None:
            self._session_key = None
        return found

    async def _aget_session_from_db(self) -> Any:
        found = await self.model.objects.filter(session_key=self.session_key, expire_date__gt=Now()).afirst()
        if found is None:
            self._session_key = None
        return found

    @classmethod
    def clear_expired(cls) -> None:
        cls.get_model_class().objects.filter(expire_date__lt=Now()).delete()
