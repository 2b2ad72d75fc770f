"""The verdict of a case: what it was, said by a person, with the reason."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, read
from api.lists import found
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.reads import CASES
from containment import cases


class VerdictForm(Strict):
    verdict = serializers.ChoiceField(list(cases.VERDICTS))
    reason = Text(max_length=2000)


class JudgeCase(Endpoint):
    needs = {"POST": "case.judge"}

    @extend_schema(request=VerdictForm, responses={200: OpenApiResponse(shapes.CaseShape)}, summary="Give a case its verdict")
    def post(self, request: Request, key: UUID) -> Response:
        said = read(VerdictForm, self.body(request))
        cases.judge(key, said["verdict"], said["reason"], actor=self.actor(request))
        return Response(shapes.CaseShape(found(CASES, key)).data)
