"""Pages of a long list. The cursor is the key of the last row shown, so that no page repeats or skips what was there before.

The address is the view: `?after=` and the filters beside it name exactly one page, to be bookmarked and sent around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q, QuerySet
from django.http import QueryDict

Row = TypeVar("Row", bound=Model)

CURSOR = "after"
SIZE = 50
BETWEEN = "~"


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """`further` is the query of the next page, `first` that of the first one; each is empty where it would lead nowhere."""

    rows: list[Row]
    further: str = ""
    first: str = ""


def turn(rows: QuerySet[Row], query: QueryDict, *, by: Sequence[str] = ("id",), newest_first: bool = True, size: int = SIZE) -> Page[Row]:
    """The page that the query asks for. `by` must name one row together; a cursor that names none begins from the start."""
    ordered = rows.order_by(*(f"-{name}" if newest_first else name for name in by))
    values = _cursor(rows.model, by, query.get(CURSOR, ""))
    if values:
        ordered = ordered.filter(_beyond(by, values, "lt" if newest_first else "gt"))
    found = list(ordered[: size + 1])
    further = _query(query, BETWEEN.join(str(getattr(found[size - 1], name)) for name in by)) if len(found) > size else ""
    return Page(found[:size], further, _query(query, "") if values else "")


def _cursor(model: type[Model], by: Sequence[str], text: str) -> list[Any]:
    parts = text.replace("\0", "").split(BETWEEN, len(by) - 1)
    if not text or len(parts) != len(by):
        return []
    try:
        return [cast("Field[Any, Any]", model._meta.get_field(name)).to_python(part) for name, part in zip(by, parts, strict=True)]
    except ValidationError:
        return []


def _beyond(by: Sequence[str], values: Sequence[Any], word: str) -> Q:
    """Rows after these values, column by column, as a telephone book is ordered."""
    beyond = Q()
    for place, name in enumerate(by):
        beyond |= Q(**dict(zip(by[:place], values, strict=False)), **{f"{name}__{word}": values[place]})
    return beyond


def _query(query: QueryDict, cursor: str) -> str:
    following = query.copy()
    following.pop(CURSOR, None)
    if cursor:
        following[CURSOR] = cursor
    return f"?{following.urlencode()}" if following else "?"
