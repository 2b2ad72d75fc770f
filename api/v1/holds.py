"""A person answers a hold. Programs never do: no scope of a token gives `hold.answer`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Moment, Strict, Text, read
from api.lists import Filter, Listing, by_ref, by_text, found, number
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.reads import HOLDS
from approvals.models import GroupMember
from containment import flow, grouped
from core.actor import Actor
from core.refusals import BadInput, Fault


class AnswerForm(Strict):
    word = serializers.ChoiceField(["approve", "reject", "extend"], help_text="contain now, leave it running, or ask for more time")
    plan_digest = Text(required=False, help_text="of the plan that was read; needed to approve or reject")
    reason = Text(required=False, allow_blank=True, default="", help_text="needed to reject")
    seen_requests = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        default=list,
        max_length=100,
        help_text="the calls of `waiting` that were read: to leave it running allows these and no other",
    )
    deadline = Moment(required=False, help_text="to extend: the deadline that was read, so that asking twice moves it once")


class Answered(serializers.Serializer[Any]):
    hold = shapes.HoldShape()
    settled = serializers.BooleanField(help_text="this answer ended the hold")
    first = serializers.BooleanField(help_text="false: this person had said the same before")


class HoldMembers(Listing):
    """Whom a grouped hold asks about, the last to join first. The list of a hold that is not grouped is empty."""

    rows, shape = GroupMember.objects.all(), shapes.MemberShape
    key, key_filter = "seq", Filter("", number, OpenApiTypes.INT)
    filters = {
        "state": by_text("state", "waiting, followed or left"),
        "kind": by_text("kind"),
        "environment": by_text("environment"),
        "identity": by_ref("identity_ref", "identity"),
    }

    def get(self, request: Request, key: UUID) -> Response:  # type: ignore[override]
        return self.listed(request, self.rows.filter(hold=found(HOLDS, key)))


class AskAlone(Endpoint):
    needs = {"POST": "hold.answer"}

    @extend_schema(
        request=Strict,
        responses={201: OpenApiResponse(shapes.HoldShape, "Its own hold.")},
        summary="Take one out of a grouped hold, and ask about it by itself",
    )
    def post(self, request: Request, key: UUID, member: UUID) -> Response:
        found(GroupMember.objects.filter(hold=key), member)
        read(Strict, self.body(request))
        alone = grouped.ask_alone(member, actor=self.actor(request))
        return Response(shapes.HoldShape(found(HOLDS, alone.pk)).data, status=201, headers={"Location": f"/api/v1/holds/{alone.pk}"})


class AnswerHold(Endpoint):
    needs = {"POST": "hold.answer"}

    @extend_schema(
        request=AnswerForm,
        examples=[
            OpenApiExample(
                "contain now",
                value={"word": "approve", "plan_digest": "sha256:" + "0" * 64, "reason": "confirmed with the service owner"},
                request_only=True,
            )
        ],
        responses={200: OpenApiResponse(Answered)},
        summary="Answer a hold",
    )
    def post(self, request: Request, key: UUID) -> Response:
        said = read(AnswerForm, self.body(request))
        settled, first = _say(key, said, self.actor(request))
        return Response(Answered({"hold": found(HOLDS, key), "settled": settled, "first": first}).data)


def _say(key: UUID, said: dict[str, Any], actor: Actor) -> tuple[bool, bool]:
    if said["word"] == "extend":
        flow.extend_hold(key, actor=actor, reason=said["reason"], seen_deadline=said.get("deadline"))
        return False, True
    if not said.get("plan_digest"):
        raise BadInput([Fault("plan_digest", "required", "Say which plan you read.")])
    answered = flow.answer_hold(
        key, said["word"], actor=actor, seen_digest=said["plan_digest"], reason=said["reason"], seen_requests=said["seen_requests"]
    )
    return answered.settled, answered.first
