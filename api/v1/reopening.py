"""A session that the guard paused goes on, because a person says so."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, read
from api.lists import found
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.sessions import SESSIONS
from guard import pausing


class ReopenForm(Strict):
    reason = Text(max_length=2000, help_text="why it may go on")


class ReopenSession(Endpoint):
    needs = {"POST": pausing.OPENS}

    @extend_schema(
        request=ReopenForm,
        responses=shapes.SessionShape,
        summary="Let a session go on that was paused for leaving what it was approved for",
    )
    def post(self, request: Request, key: UUID) -> Response:
        pausing.reopen(key, actor=self.actor(request), reason=read(ReopenForm, self.body(request))["reason"])
        return Response(shapes.SessionShape(found(SESSIONS, key)).data)
