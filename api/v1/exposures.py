"""Exposures: somebody reports a store or many credentials leaked, and reads what became of each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.lists import Listing, by_text, found
from api.routes import Endpoint
from api.v1.shapes import CredentialBrief, named
from containment import exposures, leaks
from containment.domain import exposure_report
from containment.leaks import BUCKETS, Member
from containment.models import Exposure

EXPOSURES = Exposure.objects.select_related("source")
MOST_SHOWN = 1000
EXAMPLE = {
    "external_id": "leak-2026-117",
    "found_at": "2026-11-22T10:00:00Z",
    "where": "https://git.example/acme/website/blob/9f2c/.env",
    "note": "public for about two hours",
    "credentials": [
        {"kind": "api_key", "fingerprint": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
        {"kind": "db_role", "provider": "postgres", "id": "etl_reader"},
        {"provider": "okta", "subject": "deploy-bot"},
    ],
}
SCHEMA = {
    "type": "object",
    "required": ["external_id", "found_at", "where"],
    "additionalProperties": False,
    "properties": {
        "source": {"type": "string", "description": "May be left out: the token says it."},
        "external_id": {"type": "string", "maxLength": 200},
        "found_at": {"type": "string", "format": "date-time"},
        "where": {"type": "string", "maxLength": 1000, "description": "Where it lies open: a repository, a paste, a backup."},
        "note": {"type": "string", "maxLength": 2000},
        "store": {
            "type": "object",
            "required": ["provider", "name"],
            "properties": {"provider": {"type": "string"}, "name": {"type": "string"}},
            "description": "Everything that this vault, store or database of credentials holds.",
        },
        "credentials": {
            "type": "array",
            "maxItems": 1000,
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string"},
                    "provider": {"type": "string"},
                    "fingerprint": {"type": "string", "description": "`sha256:` and the SHA-256 of the secret. Never the secret."},
                    "id": {"type": "string"},
                    "subject": {"type": "string", "description": "With `provider`: all that this identity uses."},
                },
            },
        },
    },
}


class ExposedShape(serializers.Serializer[Member]):
    index = serializers.IntegerField(source="row.place")
    named = serializers.CharField(source="row.named")
    status = serializers.ChoiceField(list(BUCKETS))
    found_by = serializers.CharField(source="row.found_by", help_text="store, fingerprint, id or subject; empty for an unknown one")
    verified = serializers.BooleanField(source="row.verified", help_text="the digest of its secret is the one that we know")
    said = serializers.CharField()
    credential = CredentialBrief(source="row.credential", allow_null=True)
    detections = serializers.ListField(child=serializers.UUIDField())
    runs = serializers.ListField(child=serializers.UUIDField())
    holds = serializers.ListField(child=serializers.UUIDField())


class ExposureBrief(serializers.ModelSerializer[Exposure]):
    source = serializers.CharField()  # type: ignore[assignment]
    url = serializers.SerializerMethodField()

    class Meta:
        model = Exposure
        fields = named("id source external_id where note store found_at received_at state url")

    def get_url(self, exposure: Exposure) -> str:
        return f"/exposures/{exposure.pk}/"


class ExposureShape(ExposureBrief):
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="how many of its credentials stand how")
    results = ExposedShape(many=True, help_text=f"one per entry and credential, the first {MOST_SHOWN:,}")
    duplicate = serializers.BooleanField(required=False)
    differs = serializers.BooleanField(required=False)

    class Meta(ExposureBrief.Meta):
        fields = [*ExposureBrief.Meta.fields, "counts", "results", "duplicate", "differs"]


class Exposures(Listing):
    needs = {"GET": "read", "POST": "detections.write"}
    rows, shape = EXPOSURES, ExposureBrief
    filters = {
        "source": by_text("source__name"),
        "external_id": by_text("external_id"),
        "state": by_text("state", "passing_on or passed_on"),
    }

    @extend_schema(
        request={"application/json": SCHEMA},
        examples=[OpenApiExample("keys in a public repository", value=EXAMPLE, request_only=True)],
        responses={
            202: OpenApiResponse(ExposureShape, "Stored, with what each entry is among ours. Workers mark and decide."),
            200: OpenApiResponse(ExposureShape, "Reported before: what became of it until now."),
        },
        summary="Report credentials leaked",
    )
    def post(self, request: Request) -> Response:
        """One store or up to 1,000 credentials, at most 1 MiB. Never a secret: its SHA-256. Entries that are none of ours are listed as
        unknown, and spoil nothing."""
        message = self.body(request)
        received = exposures.receive(exposure_report.read(message), message, actor=self.actor(request))
        shown = _shown(received.exposure) | {"duplicate": received.duplicate}
        if received.duplicate:
            shown["differs"] = received.differs
        where = {"Location": f"/api/v1/exposures/{received.exposure.pk}"}
        return Response(shown, status=200 if received.duplicate else 202, headers=where)


class OneExposure(Endpoint):
    needs = {"GET": "read"}

    @extend_schema(responses=ExposureShape, summary="What became of a report")
    def get(self, request: Request, key: UUID) -> Response:
        return Response(_shown(found(EXPOSURES, key)))


def _shown(exposure: Exposure) -> dict[str, Any]:
    members = leaks.members(exposure)
    counts = leaks.counts(members)
    results: Any = ExposedShape(many=True)
    return {**ExposureBrief(exposure).data, "counts": counts, "results": results.to_representation(members[:MOST_SHOWN])}
