"""What was taken before a cut: each thing of a case, and a person's word on what became of it."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, read
from api.lists import Listing, by_text, found
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.reads import CASES
from containment import taken
from containment.models import Taken
from core.refusals import Missing


class SettleForm(Strict):
    state = serializers.ChoiceField(
        list(taken.WORDS), help_text="cut: it opens nothing any more; cleared: it is none of this; accepted: it may go on"
    )
    reason = Text(max_length=taken.LONGEST_REASON)


class WhatWasTaken(Listing):
    """What was taken before the identity of this case was cut, the last to be found first."""

    rows, shape = Taken.objects.all(), shapes.TakenShape
    filters = {"state": by_text("state", "open, cut, cleared or accepted"), "kind": by_text("kind")}

    def get(self, request: Request, key: UUID) -> Response:  # type: ignore[override]
        return self.listed(request, self.rows.filter(case=found(CASES, key)))


class SettleTaken(Endpoint):
    needs = {"POST": "case.judge"}

    @extend_schema(
        request=SettleForm, responses={200: OpenApiResponse(shapes.TakenShape)}, summary="Say what became of something that was taken"
    )
    def post(self, request: Request, key: UUID, line: UUID) -> Response:
        said = read(SettleForm, self.body(request))
        if not any(one.pk == line for one in taken.of_case(found(CASES, key))):
            raise Missing("Nothing like that was found to be taken in this case.")
        return Response(shapes.TakenShape(taken.settle(line, said["state"], said["reason"], actor=self.actor(request))).data)
