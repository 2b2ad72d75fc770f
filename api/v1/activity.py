"""What identities do, told by a feed: taken in, compared with what they usually do, and learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api import examples, gate
from api.refusals import STATUS
from api.routes import Endpoint
from containment import activity, intake
from containment.activity import Taken, Told
from core.refusals import BadInput, Refusal
from sources import activity as events


class ActivityItem(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    status = serializers.IntegerField(help_text="202 taken in, 200 seen before under this id, or a refusal's")
    duplicate = serializers.BooleanField(required=False)
    learned = serializers.BooleanField(
        required=False, help_text="false: something is wrong with it or its identity, or its source does not teach, or observes"
    )
    detection = serializers.UUIDField(required=False, help_text="the detection that was made of it, if it would lead to more than watch")
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.DictField(child=serializers.CharField()), required=False
    )


class ActivityAnswer(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    refused = serializers.IntegerField()
    detections = serializers.IntegerField()
    results = ActivityItem(many=True)


class Feed(Endpoint):
    needs = {"POST": "detections.write"}

    @extend_schema(
        request={
            gate.JSON: {"type": "array", "maxItems": gate.MOST_ITEMS, "items": examples.EVENT_SCHEMA},
            gate.NDJSON: OpenApiTypes.STR,
        },
        examples=[OpenApiExample("two events", value=examples.EVENTS, request_only=True, media_type=gate.JSON)],
        responses={202: OpenApiResponse(ActivityAnswer, "One result per event, in their order.")},
        summary="Tell what identities do",
    )
    def post(self, request: Request) -> Response:
        """A JSON array or one JSON object per line (NDJSON): at most 1,000, at most 8 MiB. One that is wrong does not spoil the others.
        The same `id` again from the same source is not learned twice."""
        items = gate.read_batch(request._request)
        read = [_read(item) for item in items]
        told, actor = [one for one in read if isinstance(one, Told)], self.actor(request)
        if len(told) < len(items):
            intake.admit(actor, len(items) - len(told))  # what cannot be read counts against the source's rate as well
        taken = iter(activity.take(told, actor=actor))
        results = [_result(index, next(taken) if isinstance(one, Told) else one) for index, one in enumerate(read)]
        statuses = [result["status"] for result in results]
        return Response(
            {
                "accepted": statuses.count(202),
                "duplicates": statuses.count(200),
                "refused": sum(status >= 400 for status in statuses),
                "detections": len({result["detection"] for result in results if "detection" in result}),
                "results": results,
            },
            status=202,
        )


def _read(item: gate.Item) -> Told | Refusal:
    if item.faults:
        return gate.Malformed(list(item.faults))
    try:
        return Told(events.read(item.value), item.value)
    except BadInput as refusal:
        return refusal


def _result(index: int, said: Taken | Refusal) -> Mapping[str, Any]:
    if isinstance(said, Refusal):
        told: dict[str, Any] = {"index": index, "status": STATUS[said.kind], "code": said.code, "detail": said.sentence}
        return told | ({"errors": _faults(said, f"[{index}]")} if isinstance(said, BadInput) else {})
    if said.duplicate:
        return {"index": index, "status": 200, "duplicate": True}
    raised = {"detection": said.detection} if said.detection else {}
    return {"index": index, "status": 202, "duplicate": False, "learned": said.learned} | raised


def _faults(refusal: BadInput, at: str) -> Sequence[Mapping[str, str]]:
    """A fault of the gate names its item already, one of the reader does not."""
    return [
        {"path": fault.path if fault.path.startswith(at) else f"{at}.{fault.path}" if fault.path else at}
        | {"code": fault.code, "detail": fault.detail}
        for fault in refusal.faults
    ]
