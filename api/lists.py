"""Lists and single things: newest first, filtered by a few named members, continued by a cursor.

The cursor is the id of the last one shown: ids sort by the moment they were made, so a page never repeats or skips what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Model, QuerySet
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.routes import Endpoint
from core.refusals import BadInput, Fault, Missing

USUAL, MOST = 50, 200
LONGEST = 300

Read = Callable[[str], Any]


def _text(value: str) -> str:
    if "\0" in value or len(value) > LONGEST:
        raise ValueError(f"A text of at most {LONGEST} characters.")
    return value


def _uuid(value: str) -> UUID:
    try:
        return UUID(_text(value))
    except ValueError:
        raise ValueError("An id.") from None


def _flag(value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueError("true or false.")
    return value == "true"


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:5]) <= MOST):
        raise ValueError(f"A whole number from 1 to {MOST}.")
    return int(value)


def number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 18):
        raise ValueError("A whole number.")
    return int(value)


@dataclass(frozen=True, slots=True)
class Filter:
    """A member of the query: which rows it asks for, and how its text is read."""

    lookup: str
    read: Read = _text
    kind: Any = OpenApiTypes.STR
    about: str = ""


def by_text(lookup: str, about: str = "") -> Filter:
    return Filter(lookup, about=about)


def by_id(lookup: str) -> Filter:
    return Filter(lookup, _uuid, OpenApiTypes.UUID)


def by_ref(lookup: str, kind: str) -> Filter:
    """Rows that name a thing of another room as `kind:id`."""
    return Filter(lookup, lambda value: f"{kind}:{_uuid(value)}", OpenApiTypes.UUID)


def by_flag(lookup: str, about: str = "") -> Filter:
    return Filter(lookup, _flag, OpenApiTypes.BOOL, about)


class Listing(Endpoint):
    """`rows`, how each is shown, and what can be asked for. A subclass adds `post` where things can be made here."""

    needs = {"GET": "read"}
    rows: ClassVar[QuerySet[Any]]
    shape: ClassVar[type[serializers.BaseSerializer[Any]]]
    filters: ClassVar[Mapping[str, Filter]] = {}
    key: ClassVar[str] = "id"
    key_filter: ClassVar[Filter] = Filter("", _uuid)

    def get(self, request: Request) -> Response:
        return self.listed(request, self.rows.all())

    def listed(self, request: Request, rows: QuerySet[Any]) -> Response:
        asked = _read_query(request, {**self.filters, "limit": Filter("", _count), "cursor": self.key_filter})
        limit = asked.pop("limit", USUAL)
        rows = rows.order_by(f"-{self.key}")
        if cursor := asked.pop("cursor", None):
            rows = rows.filter(**{f"{self.key}__lt": cursor})
        rows = rows.filter(**{self.filters[name].lookup: value for name, value in asked.items()})
        found = list(rows[: limit + 1])
        following = str(getattr(found[limit - 1], self.key)) if len(found) > limit else None
        return Response({"results": self.shape(found[:limit], many=True).data, "next": following})


class One(Endpoint):
    needs = {"GET": "read"}
    rows: ClassVar[QuerySet[Any]]
    shape: ClassVar[type[serializers.BaseSerializer[Any]]]

    def get(self, request: Request, key: Any) -> Response:
        return Response(self.shape(found(self.rows, key)).data)


def found(rows: QuerySet[Any], key: UUID) -> Any:
    thing: Model | None = rows.all().filter(pk=key).first()
    if thing is None:
        raise Missing("There is nothing with this id here.")
    return thing


def _read_query(request: Request, known: Mapping[str, Filter]) -> dict[str, Any]:
    faults: list[Fault] = []
    asked: dict[str, Any] = {}
    for name, values in request.query_params.lists():
        if name not in known:
            faults.append(Fault(ascii(name[:64])[1:-1], "unknown_filter", f"Known are {', '.join(sorted(known))}."))
        elif len(values) > 1:
            faults.append(Fault(name, "repeated", "Ask for one value."))
        else:
            try:
                asked[name] = known[name].read(values[0])
            except ValueError as error:
                faults.append(Fault(name, "wrong_form", str(error)))
    if faults:
        raise BadInput(faults)
    return asked
