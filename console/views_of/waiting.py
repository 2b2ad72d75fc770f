"""The programs that wait for the hold of a case, each with one call: the same answer resolves the case and them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from approvals.models import AccessRequest, Hold

MOST = 5
MOST_ARGUMENTS, LONGEST_VALUE = 4, 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """`what` with its arguments, in a line."""

    id: UUID
    who: str
    what: str
    asked_at: datetime
    justification: str


def of(found: Hold) -> tuple[Waiting, ...]:
    """Those that wait for it; of one that has ended, those that did."""
    rows = found.requests.filter(state="pending") if found.is_open else found.requests.all()
    return tuple(_waiting(one) for one in rows.order_by("asked_at")[:MOST])


def waited_for(holds: Sequence[Hold]) -> frozenset[UUID]:
    """The holds among these that a program waits for."""
    return frozenset(AccessRequest.objects.filter(hold__in=holds, state="pending").values_list("hold", flat=True).distinct())


def value(said: Any, longest: int) -> str:
    """One argument, as text that fits."""
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def _waiting(one: AccessRequest) -> Waiting:
    return Waiting(one.pk, str(one.asks.get("who", "")).partition("/")[2] or one.asked_by, _line(one.asks), one.asked_at, one.justification)


def _line(asks: Mapping[str, Any]) -> str:
    arguments = list(asks.get("arguments", {}).items())[:MOST_ARGUMENTS]
    shown = ", ".join(f"{name} {value(said, LONGEST_VALUE)}" for name, said in arguments)
    return f"{asks.get('what', 'a call')}{f' ({shown})' if shown else ''}"
