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
from containment import cases, minted
from containment.models import MintedCredential
from core.refusals import Missing


class VerdictForm(Strict):
    verdict = serializers.ChoiceField(list(cases.VERDICTS))
    reason = Text(max_length=2000)


class MintForm(Strict):
    state = serializers.ChoiceField(
        list(minted.WORDS), help_text="cut: it works no more; cleared: it is none of this; accepted: it may go on"
    )
    reason = Text(max_length=minted.LONGEST_REASON)


class MintShape(serializers.ModelSerializer[MintedCredential]):
    """A credential that a session made, as somebody told. `vouched`: by the word of who registered the session; else it is a claim."""

    session = shapes.SessionBrief()
    credential = shapes.CredentialBrief()

    class Meta:
        model = MintedCredential
        fields = shapes.named("id session credential told_by vouched told_at state settled_by_name settled_at because")


class Minted(Endpoint):
    needs = {"GET": "read"}

    @extend_schema(responses=MintShape(many=True), summary="What the sessions made that this case contained")
    def get(self, request: Request, key: UUID) -> Response:
        return Response(MintShape(minted.of_case(found(CASES, key)), many=True).data)


class SettleMinted(Endpoint):
    needs = {"POST": "case.judge"}

    @extend_schema(request=MintForm, responses={200: OpenApiResponse(MintShape)}, summary="Say what became of a credential that it made")
    def post(self, request: Request, key: UUID, line: UUID) -> Response:
        said = read(MintForm, self.body(request))
        if not any(one.pk == line for one in minted.of_case(found(CASES, key))):
            raise Missing("No such credential belongs to this case.")
        return Response(MintShape(minted.settle(line, said["state"], said["reason"], actor=self.actor(request))).data)


class JudgeCase(Endpoint):
    needs = {"POST": "case.judge"}

    @extend_schema(request=VerdictForm, responses={200: OpenApiResponse(shapes.CaseShape)}, summary="Give a case its verdict")
    def post(self, request: Request, key: UUID) -> Response:
        said = read(VerdictForm, self.body(request))
        cases.judge(key, said["verdict"], said["reason"], actor=self.actor(request))
        return Response(shapes.CaseShape(found(CASES, key)).data)
