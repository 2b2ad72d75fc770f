"""Exceptions as the inventory sees them: how long one may last, and who must not sign it. A grant moves in approvals.grants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import Person
from approvals import grants
from approvals.models import ExceptionGrant
from audit.record import story
from containment.models import Identity
from core.actor import Actor

LONGEST = timedelta(days=30)


def ask(
    *,
    scope: Mapping[str, Any],
    reason: str,
    ticket: str,
    starts_at: datetime,
    ends_at: datetime,
    budget_count: int,
    budget_risk: float,
    actor: Actor,
) -> ExceptionGrant:
    return grants.ask(
        scope=scope,
        reason=reason,
        ticket=ticket,
        starts_at=starts_at,
        ends_at=ends_at,
        budget_count=budget_count,
        budget_risk=budget_risk,
        actor=actor,
        longest=LONGEST,
    )


@story
def sign(grant_id: UUID, *, actor: Actor) -> ExceptionGrant:
    """Never by a person it would spare, nor by the owner of an agent it would spare."""
    scope = ExceptionGrant.objects.filter(pk=grant_id).values_list("scope", flat=True).first() or {}
    return grants.grant(grant_id, actor=actor, never=_beneficiaries(scope))


def _beneficiaries(scope: Mapping[str, Any]) -> dict[str, str]:
    never: dict[str, str] = {}
    for identity in _spared(scope):
        if identity.kind == "ai_agent" and identity.owner_id:
            never[str(identity.owner_id)] = "the owner of this agent"
        never |= {str(person.pk): "the identity itself" for person in Person.objects.filter(identity_ref=str(identity.ref))}
    return never


def _spared(scope: Mapping[str, Any]) -> Iterable[Identity]:
    """Whom the scope names, themselves or by a session or credential of theirs. It may name what is gone, or anything at all."""
    found = Q(pk__in=[])
    for name, path in (("identity", "pk"), ("session", "sessions"), ("credential", "credential_uses__credential")):
        if key := _key(scope, name):
            found |= Q((path, key))
    return Identity.objects.filter(found).distinct()


def _key(scope: Mapping[str, Any], name: str) -> UUID | None:
    try:
        return UUID(str(scope.get(name, "")))
    except ValueError:
        return None
