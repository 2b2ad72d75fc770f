"""Exceptions as the inventory sees them: how long one may last, and who must not sign it. A grant moves in approvals.grants."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

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
    """Never by the person it would spare, nor by the owner of the agent it would spare."""
    scope = ExceptionGrant.objects.filter(pk=grant_id).values_list("scope", flat=True).first() or {}
    return grants.grant(grant_id, actor=actor, never=_beneficiaries(str(scope.get("identity", ""))))


def _beneficiaries(identity_id: str) -> dict[str, str]:
    """A scope may name an identity by its id or, for one that is gone, by anything at all."""
    try:
        identity = Identity.objects.filter(pk=UUID(identity_id)).first()
    except ValueError:
        return {}
    if identity is None:
        return {}
    never = {str(person.pk): "the identity itself" for person in Person.objects.filter(identity_ref=str(identity.ref))}
    if identity.kind == "ai_agent" and identity.owner_id:
        never[str(identity.owner_id)] = "the owner of this agent"
    return never
