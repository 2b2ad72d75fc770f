"""What comes in as JSON, beyond detections: read by serializers that refuse what they do not know and guess nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from api.refusals import faults_of
from core.refusals import BadInput, Fault


class Strict(serializers.Serializer[Any]):
    """A member that is not declared is a fault: a misspelt one would silently mean nothing."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(str(name) for name in data if name not in self.fields) if isinstance(data, Mapping) else []
        faults: dict[str, Any] = {name: [ErrorDetail("There is no such member.", code="unknown_member")] for name in unknown}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            detail = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
            raise serializers.ValidationError({**faults, **detail}) from None
        if faults:
            raise serializers.ValidationError(faults)
        return value


class Text(serializers.CharField):
    """A JSON string; DRF would take a number for one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("A text is needed here.", code="wrong_type")
        return super().to_internal_value(data)


class Moment(serializers.DateTimeField):
    """With its time zone; DRF would take the server's for one that names none."""

    def to_internal_value(self, data: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(data) if isinstance(data, str) and len(data) <= 40 else None
        except ValueError:
            moment = None
        if moment is None or not 1970 <= moment.year <= 9000:
            raise serializers.ValidationError("A moment as in 2026-11-22T10:00:00Z.", code="wrong_form")
        if moment.tzinfo is None:
            raise serializers.ValidationError("Say the time zone, as in 2026-11-22T10:00:00Z.", code="no_zone")
        return moment


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError("A whole number is needed here.", code="wrong_type")
        return super().to_internal_value(data)


class Amount(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError("A number is needed here.", code="wrong_type")
        return super().to_internal_value(data)


def read(form: type[Strict], body: Any) -> dict[str, Any]:
    """What `body` says, or BadInput with every fault."""
    if not isinstance(body, Mapping):
        raise BadInput([Fault("", "wrong_type", "An object is needed here.")], "An object is needed here.")
    filled = form(data=body)
    if not filled.is_valid():
        raise BadInput(faults_of(filled.errors))
    return dict(filled.validated_data)
