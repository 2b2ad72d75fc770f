"""What agents asked and what they were told, to read. Asking is done elsewhere: api/access/."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.lists import Filter, Listing, One, by_id, by_text
from api.v1.shapes import named
from guard.models import GuardCall

CALLS = GuardCall.objects.all()


def moment(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("A moment with its offset, such as 2026-11-22T10:00:00Z.") from None
    if at.tzinfo is None:
        raise ValueError("A moment with its offset, such as 2026-11-22T10:00:00Z.")
    return at.astimezone(UTC)


class GuardCallShape(serializers.ModelSerializer[GuardCall]):
    """One question and its answer. Arguments are not kept: `question` is the digest of who wanted what on what."""

    resource = serializers.SerializerMethodField(help_text="null where none was named")
    reason_admin = serializers.CharField(source="because")
    reason_user = serializers.CharField(source="told", help_text="what the agent can show to whom it works for")
    asked = serializers.BooleanField(help_text="false: the agent could not reach us, did what it had declared, and told us afterwards")
    chained = serializers.SerializerMethodField(help_text="whether it stands in the audit trail already")
    url = serializers.SerializerMethodField()

    class Meta:
        model = GuardCall
        fields = named(
            "id asked_at asked identity session action tool resource writes verdict reason reason_admin reason_user would_have risk "
            "policy_version digest question request detection hold expires_at outcome reported_at chained url"
        )

    @extend_schema_field({"type": "object", "nullable": True, "properties": {"kind": {"type": "string"}, "id": {"type": "string"}}})
    def get_resource(self, call: GuardCall) -> dict[str, Any] | None:
        return {"kind": call.resource_kind, "id": call.resource} if call.resource or call.resource_kind else None

    def get_chained(self, call: GuardCall) -> bool:
        return call.verdict != "allow" or call.batch is not None

    def get_url(self, call: GuardCall) -> str:
        return f"/guard/calls/{call.pk}/"


class GuardCalls(Listing):
    rows, shape = CALLS, GuardCallShape
    filters = {
        "identity": by_id("identity"),
        "session": by_id("session"),
        "verdict": by_text("verdict", "allow, deny or hold"),
        "tool": by_text("tool"),
        "since": Filter("asked_at__gte", moment, OpenApiTypes.DATETIME, "asked then or later"),
    }


class OneGuardCall(One):
    rows, shape = CALLS, GuardCallShape
