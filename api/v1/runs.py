"""Undoing a run: put back what it did, where nobody else has changed it since. Or accepting as it is what did not end whole."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, read
from api.lists import found
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.reads import RUNS
from containment import flow
from playbooks import runs
from playbooks.domain.moves import COMING_BACK


class UndoForm(Strict):
    reason = Text(max_length=2000)


class UndoRun(Endpoint):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=UndoForm,
        examples=[OpenApiExample("a false alarm", value={"reason": "the job was moved on purpose"}, request_only=True)],
        responses={202: OpenApiResponse(shapes.RunShape, "It is being undone."), 200: OpenApiResponse(shapes.RunShape, "It is undone.")},
        summary="Undo a run",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(UndoForm, self.body(request))
        run = flow.undo_run(key, actor=self.actor(request), reason=said["reason"])
        return Response(shapes.RunShape(found(RUNS, key)).data, status=202 if run.state in COMING_BACK else 200)


class AcceptForm(Strict):
    reason = Text(max_length=2000)


class AcceptRun(Endpoint):
    needs = {"POST": "run.undo"}

    @extend_schema(
        request=AcceptForm,
        examples=[OpenApiExample("the role is gone", value={"reason": "the role was dropped by its owner"}, request_only=True)],
        responses={200: OpenApiResponse(shapes.RunShape, "It stays as it is; nothing more is done.")},
        summary="Accept a run that is partial or needs a person as it is",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(AcceptForm, self.body(request))
        runs.accept(key, actor=self.actor(request), reason=said["reason"])
        return Response(shapes.RunShape(found(RUNS, key)).data)
