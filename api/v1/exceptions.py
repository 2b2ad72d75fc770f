"""Exceptions: somebody asks, somebody else signs or refuses, and it can be revoked."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Amount, Moment, Strict, Text, Whole, read
from api.lists import Listing, One, by_id, by_text, found
from api.routes import Endpoint
from api.v1 import shapes
from approvals import grants
from approvals.models import ExceptionGrant
from containment import exceptions, flow

GRANTS = ExceptionGrant.objects.select_related("requester", "granter")
EXAMPLE = {
    "scope": {"action": "data.export", "resource": "reports.*", "signals": ["volume"]},
    "reason": "quarterly export",
    "ticket": "OPS-412",
    "starts_at": "2026-11-22T10:00:00Z",
    "ends_at": "2026-11-22T18:00:00Z",
    "budget": {"count": 3, "risk": 150},
}


class BudgetForm(Strict):
    count = Whole(help_text="how many containments may be spared")
    risk = Amount(help_text="how much risk may pass in all")


class ExceptionForm(Strict):
    scope = serializers.DictField(help_text="any of identity, session, credential, action, resource, tenant (text) and signals (codes)")
    reason = Text(max_length=2000)
    ticket = Text(required=False, allow_blank=True, default="")
    starts_at = Moment()
    ends_at = Moment(help_text=f"at most {exceptions.LONGEST // timedelta(days=1)} days later")
    budget = BudgetForm()


class ReasonForm(Strict):
    reason = Text(max_length=2000)


class NothingForm(Strict):
    pass


class Exceptions(Listing):
    needs = {"GET": "read", "POST": "exception.ask"}
    rows, shape = GRANTS, shapes.ExceptionShape
    filters = {
        "state": by_text("state", "asked, granted, refused, withdrawn, revoked or ended"),
        "identity": by_text("scope__identity"),
        "requester": by_id("requester_id"),
    }

    @extend_schema(
        request=ExceptionForm,
        examples=[OpenApiExample("an export", value=EXAMPLE, request_only=True)],
        responses={201: OpenApiResponse(shapes.ExceptionShape, "Asked; it spares nothing until somebody else signs it.")},
        summary="Ask for an exception",
    )
    def post(self, request: Request) -> Response:
        said = read(ExceptionForm, self.body(request))
        budget = said.pop("budget")
        asked = exceptions.ask(**said, budget_count=budget["count"], budget_risk=budget["risk"], actor=self.actor(request))
        where = {"Location": f"/api/v1/exceptions/{asked.pk}"}
        return Response(shapes.ExceptionShape(found(GRANTS, asked.pk)).data, status=201, headers=where)


class OneException(One):
    rows, shape = GRANTS, shapes.ExceptionShape


class GrantException(Endpoint):
    needs = {"POST": "exception.grant"}

    @extend_schema(request=NothingForm, responses=shapes.ExceptionShape, summary="Sign an exception that somebody else asked for")
    def post(self, request: Request, key: UUID) -> Response:
        read(NothingForm, self.body(request))
        exceptions.sign(key, actor=self.actor(request))
        return Response(shapes.ExceptionShape(found(GRANTS, key)).data)


class RefuseException(Endpoint):
    needs = {"POST": "exception.grant"}

    @extend_schema(request=ReasonForm, responses=shapes.ExceptionShape, summary="Refuse an exception")
    def post(self, request: Request, key: UUID) -> Response:
        grants.refuse(key, read(ReasonForm, self.body(request))["reason"], actor=self.actor(request))
        return Response(shapes.ExceptionShape(found(GRANTS, key)).data)


class RevokeException(Endpoint):
    needs = {"POST": "exception.grant"}

    @extend_schema(request=ReasonForm, responses=shapes.ExceptionShape, summary="Revoke an exception; what it spared is judged again")
    def post(self, request: Request, key: UUID) -> Response:
        flow.revoke_grant(key, read(ReasonForm, self.body(request))["reason"], actor=self.actor(request))
        return Response(shapes.ExceptionShape(found(GRANTS, key)).data)
