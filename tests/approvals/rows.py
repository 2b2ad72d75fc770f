"""People and holds as these tests need them: Omar and Olga answer for payroll, Ines manages, Wren is in another team."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from accounts import actors, people
from approvals import holds
from approvals.domain.quorum import Reviewers, Terms
from approvals.models import Hold
from core.actor import CLOCK, SYSTEM, Actor
from core.digest import digest
from core.ids import uuid7

PLAN = {"target": "payments_writer", "steps": ["evidence.preserve", "credential.revoke"]}
DIGEST = digest(PLAN)
PAYROLL = Reviewers("the payroll team", teams=("payroll",))
MANAGERS = Reviewers("the managers", teams=("managers",))
MINUTE = timedelta(minutes=1)


def person(name: str, *, teams: tuple[str, ...] = ("payroll",), roles: tuple[str, ...] = ("analyst",)) -> Actor:
    added = people.add(f"{name}-{uuid7()}", name=name.title(), roles=roles, teams=teams, actor=SYSTEM)
    return actors.of_person(added)


def terms(*reviewers: Reviewers, quorum: int = 1, never: dict[str, str] | None = None) -> Terms:
    return Terms(quorum, reviewers or (PAYROLL,), never or {})


def opened(**changes: Any) -> Hold:
    run = uuid7()
    usual: dict[str, Any] = {
        "run_ref": f"run:{run}",
        "case_ref": f"case:{run}",
        "identity_ref": f"identity:{run}",
        "title": "Cut payments_writer off",
        "because": "payments depend on it",
        "reason_class": "payment",
        "plan": PLAN,
        "plan_digest": DIGEST,
        "terms": terms(),
        "patience": 15 * MINUTE,
        "on_lapse": "release",
        "actor": CLOCK,
    }
    return holds.open(**usual | changes)


def past_deadline(hold_id: UUID, by: timedelta = timedelta(0)) -> None:
    """As if that much time had gone by since the deadline."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE hold SET deadline = clock_timestamp() - make_interval(secs => %s) WHERE id = %s", [by.total_seconds(), hold_id]
        )
