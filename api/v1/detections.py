"""Detections come in, one or many, and their answers go out. Stored is acknowledged: what is not decided at once is due work."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api import examples, gate
from api.lists import Listing, by_id, by_text
from api.refusals import STATUS
from api.routes import Endpoint
from api.v1 import shapes
from api.v1.reads import DETECTIONS
from audit import nudges
from audit.record import story
from containment import flow, intake, limits
from containment.intake import Admitted, Received
from containment.models import Decision
from core.actor import Actor
from core.refusals import BadInput, Refusal
from sources import native
from sources.base import Reading

log = logging.getLogger(__name__)

AT_A_TIME = 100  # items of a batch that share a transaction, and so the lock on the audit trail's head


class Detections(Listing):
    needs = {"GET": "read", "POST": "detections.write"}
    rows, shape = DETECTIONS, shapes.DetectionShape
    filters = {
        "source": by_text("source__name"),
        "external_id": by_text("external_id"),
        "state": by_text("state", "received, decided or quarantined"),
        "severity": by_text("severity"),
        "identity": by_id("identity_id"),
    }

    @extend_schema(
        request={"application/json": examples.DETECTION_SCHEMA},
        examples=[OpenApiExample("a secret read", value=examples.DETECTION, request_only=True, media_type="application/json")],
        responses={
            201: OpenApiResponse(shapes.DetectionAnswer, "Stored and decided.", [OpenApiExample("contained", value=examples.ANSWER)]),
            202: OpenApiResponse(shapes.DetectionAnswer, "Stored; `decision` is null and follows."),
            200: OpenApiResponse(shapes.DetectionAnswer, "Seen before: the first decision, and how it stands now."),
        },
        summary="Post a detection",
    )
    def post(self, request: Request) -> Response:
        message = self.body(request)
        reading, actor = native.read(message), self.actor(request)
        source = intake.source_of(reading, actor)
        admitted = intake.Admitted(limits.admit(source))
        receive = partial(intake.receive, reading, message, actor=actor, admitted=admitted, source=source)
        received, decision = flow.take_in(receive)
        if received.duplicate:
            decision = _first_decision(received)
        status = 200 if received.duplicate else 201 if decision else 202
        where = {"Location": f"/api/v1/detections/{received.detection.pk}"}
        return Response(shapes.DetectionAnswer(_answer(received, decision)).data, status=status, headers=where)


class BatchItem(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    status = serializers.IntegerField(help_text="what this one alone would have been told: 202, 200 for a duplicate, or a refusal's")
    id = serializers.UUIDField(required=False)
    duplicate = serializers.BooleanField(required=False)
    differs = serializers.BooleanField(required=False)
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.DictField(child=serializers.CharField()), required=False
    )


class BatchAnswer(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BatchItem(many=True)


class Batch(Endpoint):
    needs = {"POST": "detections.write"}

    @extend_schema(
        request={
            gate.JSON: {"type": "array", "maxItems": gate.MOST_ITEMS, "items": examples.DETECTION_SCHEMA},
            gate.NDJSON: OpenApiTypes.STR,
        },
        responses={202: OpenApiResponse(BatchAnswer, "One result per item, in their order. Workers decide.")},
        summary="Post many detections",
    )
    def post(self, request: Request) -> Response:
        """A JSON array or one JSON object per line (NDJSON): at most 1,000, at most 8 MiB. One that is wrong does not spoil the others."""
        items = gate.read_batch(request._request)
        actor = self.actor(request)
        results: list[dict[str, Any]] = []
        for start in range(0, len(items), AT_A_TIME):
            part = items[start : start + AT_A_TIME]
            results += _take(part, start, intake.admit(actor, len(part)), actor)
        told = [result["status"] for result in results]
        counts = {"accepted": told.count(202), "duplicates": told.count(200)}
        return Response({**counts, "refused": len(told) - sum(counts.values()), "results": results}, status=202)


def _first_decision(received: Received) -> Decision | None:
    decisions = received.detection.decisions.select_related("policy", "case", "run", "hold")
    return decisions.order_by("generation", "decided_at").first()


def _answer(received: Received, decision: Decision | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": received.detection.pk, "duplicate": received.duplicate, "decision": decision}
    if received.duplicate:
        answer["differs"] = received.differs
    for part in ("case", "run", "hold"):
        answer[part] = getattr(decision, part) if decision else None
    return answer


@story
def _take(items: Sequence[gate.Item], start: int, admitted: Admitted, actor: Actor) -> list[dict[str, Any]]:
    intake.ready([reading for item in items if (reading := _read(item)) is not None], actor)
    return list(_results(items, start, admitted, actor))


def _read(item: gate.Item) -> Reading | None:
    try:
        return None if item.faults else native.read(item.value)
    except Refusal:
        return None  # told of when its turn comes


def _results(items: Sequence[gate.Item], start: int, admitted: Admitted, actor: Actor) -> Iterator[dict[str, Any]]:
    for index, item in enumerate(items, start):
        try:
            received = _received(item, admitted, actor)
        except Refusal as refusal:
            yield {"index": index, **_refused(refusal, f"[{index}]")}
        else:
            if not received.duplicate:
                nudges.wake_worker(flow.DECIDE, received.detection.pk)
            told = {"index": index, "status": 200 if received.duplicate else 202, "id": received.detection.pk}
            yield told | {"duplicate": received.duplicate} | ({"differs": received.differs} if received.duplicate else {})


def _received(item: gate.Item, admitted: Admitted, actor: Actor) -> Received:
    if item.faults:
        raise gate.Malformed(list(item.faults))
    return intake.receive(native.read(item.value), item.value, actor=actor, admitted=admitted)


def _refused(refusal: Refusal, at: str) -> dict[str, Any]:
    told: dict[str, Any] = {"status": STATUS[refusal.kind], "code": refusal.code, "detail": refusal.sentence}
    if isinstance(refusal, BadInput):
        told["errors"] = [{"path": _below(at, fault.path), "code": fault.code, "detail": fault.detail} for fault in refusal.faults]
    return told


def _below(at: str, path: str) -> str:
    """A fault of the gate names its item already, one of the reader does not."""
    return path if path.startswith(at) else f"{at}.{path}" if path else at
