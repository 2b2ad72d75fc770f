"""The kill switch: where it stands; made harder by one person, milder by two."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.inputs import Strict, Text, read
from api.routes import Endpoint
from core.actor import Actor
from core.refusals import Forbidden
from playbooks import switching
from playbooks.models import KillSwitch
from playbooks.models.switch import HARDNESS, POSITIONS
from playbooks.switch import Position


class SwitchForm(Strict):
    position = serializers.ChoiceField(choices=POSITIONS)
    reason = Text(required=False, allow_blank=True, default="", max_length=switching.LONGEST_REASON)


class LiftShape(serializers.Serializer[KillSwitch]):
    to = serializers.CharField(source="lift_to")
    because = serializers.CharField(source="lift_because")
    by = serializers.CharField(source="lift_by")
    at = serializers.DateTimeField(source="lift_at")


class SwitchShape(serializers.Serializer[KillSwitch]):
    position = serializers.ChoiceField(
        choices=POSITIONS, help_text="off; no_new: nothing is contained, undo works; nothing: no effect at all"
    )
    because = serializers.CharField()
    by = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField(allow_null=True)
    asked = serializers.SerializerMethodField(help_text="the milder position that somebody asks for; null where nobody does")

    @extend_schema_field(LiftShape(allow_null=True))
    def get_asked(self, row: KillSwitch) -> dict[str, Any] | None:
        return dict(LiftShape(row).data) if row.is_asked else None


class Switch(Endpoint):
    needs = {"GET": "read", "PUT": "killswitch.on"}

    @extend_schema(responses=SwitchShape, summary="Where the kill switch stands")
    def get(self, request: Request) -> Response:
        return Response(SwitchShape(_row()).data)

    @extend_schema(
        request=SwitchForm,
        examples=[OpenApiExample("at three in the morning", value={"position": "no_new"}, request_only=True)],
        responses={
            200: OpenApiResponse(SwitchShape, "It stands there now."),
            202: OpenApiResponse(SwitchShape, "Milder: asked for. It stays where it is until another person puts the same."),
        },
        summary="Turn the kill switch; people only",
    )
    def put(self, request: Request) -> Response:
        """Harder by one person, at once. Milder takes two different people who put the same position: the first asks, the second agrees. To
        withdraw, whoever asked puts the position where it stands."""
        said = read(SwitchForm, self.body(request))
        actor = self.actor(request)
        if not actor.is_person:
            raise Forbidden("The kill switch is turned by people, each with a session of their own.")
        done = _put(cast(Position, said["position"]), said["reason"], actor)
        return Response(SwitchShape(_row()).data, status=200 if done else 202)


def _put(position: Position, reason: str, actor: Actor) -> bool:
    """False where it is only asked for yet."""
    row = _row()
    own = row.is_asked and str(row.lift_by_id) == actor.principal
    if HARDNESS[position] < HARDNESS[row.position]:
        if row.is_asked and not own:
            switching.lift(actor, seen=position)
            return True
        switching.ask_lift(position, reason, actor=actor)
        return False
    if own and position == row.position:
        switching.withdraw_lift(actor=actor)
    else:
        switching.turn(position, reason, actor=actor)
    return True


def _row() -> KillSwitch:
    return KillSwitch.objects.select_related("by", "lift_by").first() or KillSwitch()
