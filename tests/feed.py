"""A feed for tests: events of one identity, told to activity as the API would."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from containment import activity
from containment.activity import Taken, Told
from core.actor import Actor
from sources import activity as events
from tests import cast

_numbers = itertools.count(1)
MINUTE = timedelta(minutes=1)


def event(
    subject: str = "etl_reader",
    action: str = "data.read",
    on: str = "sales.orders",
    *,
    at: datetime | None = None,
    session: str = "etl-main",
    system: str = "",
    key: str = "",
    **more: Any,
) -> dict[str, Any]:
    """`more` goes into the action. Without `at`: now."""
    made: dict[str, Any] = {
        "id": key or f"e-{next(_numbers)}",
        "occurred_at": (at or datetime.now(UTC)).isoformat(),
        "identity": {"kind": "service_account", "provider": "postgres", "subject": subject},
        "action": {"name": action, **more},
    }
    if session:
        made["session"] = {"id": session}
    if on:
        made["resource"] = {"kind": "table", "id": on} | ({"system": system} if system else {})
    return made


def told(messages: Iterable[dict[str, Any]], *, actor: Actor | None = None) -> list[Any]:
    """In batches of at most 1,000, as through the door."""
    every = list(messages)
    answers: list[Any] = []
    for start in range(0, len(every), 1000):
        batch = [Told(events.read(message), message) for message in every[start : start + 1000]]
        answers += activity.take(batch, actor=actor or cast.detector())
    return answers


def lived(messages: Iterable[dict[str, Any]], *, actor: Actor | None = None) -> None:
    """A past, as if it had been told day by day."""
    events_of = [Told(events.read(message), message) for message in messages]
    activity.live_through(events_of, actor=actor or cast.detector())


def workdays(days: int, per_day: int, *, until: datetime, **what: Any) -> list[dict[str, Any]]:
    """`days` days of the same work, one event a minute from nine on, the last of them the day before `until`."""
    nine = until.replace(hour=9, minute=0, second=0, microsecond=0)
    return [event(at=nine - timedelta(days=days - day) + number * MINUTE, **what) for day in range(days) for number in range(per_day)]


def raised(answers: Sequence[Any]) -> list[Taken]:
    return [answer for answer in answers if isinstance(answer, Taken) and answer.detection]
