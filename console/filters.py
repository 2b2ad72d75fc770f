"""What a list can be narrowed by. A page declares its filters; the query of its address says which are in use, and nothing else does.

Without script the bar is a form with a button; with it, the list follows while one types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from django.db.models import QuerySet
from django.http import QueryDict

LONGEST = 200

Narrow = Callable[[Any, str], Any]
Option = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Filter:
    """One control of the bar. `narrow` gets the rows and the text that was chosen; its ValueError says what is wrong with the text."""

    name: str
    label: str
    narrow: Narrow
    kind: Literal["select", "search", "moment"] = "select"
    options: Sequence[Option] = ()
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """A filter as the bar shows it."""

    name: str
    label: str
    kind: str
    value: str
    options: Sequence[Option]
    placeholder: str


@dataclass(slots=True)
class Bar:
    controls: list[Control] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    in_use: bool = False


def narrowed(rows: QuerySet[Any], filters: Iterable[Filter], query: QueryDict) -> tuple[QuerySet[Any], Bar]:
    """The rows that are left, and the bar. A choice that is not on offer is no choice."""
    bar = Bar()
    for each in filters:
        value = query.get(each.name, "").replace("\0", "").strip()[:LONGEST]
        if each.kind == "select" and value not in dict(each.options):
            value = ""
        if value:
            bar.in_use = True
            try:
                rows = each.narrow(rows, value)
            except ValueError as trouble:
                bar.troubles.append(f"{each.label}: {trouble}")
        bar.controls.append(Control(each.name, each.label, each.kind, value, each.options, each.placeholder))
    return rows, bar


def by(lookup: str) -> Narrow:
    """Rows whose column is what was chosen."""
    return lambda rows, value: rows.filter(**{lookup: value})


def moment(text: str) -> datetime:
    """A moment as a form sends it (2026-11-22T10:00), in UTC as everything on these pages."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a moment looks like 2026-11-22T10:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def words(values: Iterable[str]) -> list[Option]:
    """Options whose text is the value as people say it."""
    return [(value, value.replace("_", " ")) for value in values]
