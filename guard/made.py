"""What judgement is shown of a call: the detection that it would make, not stored. The quick way and the whole story make it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from containment.domain.facts import Facts, Finding, RulingFacts
from containment.domain.outside import outside
from containment.domain.policy import RiskPolicy
from containment.domain.scope_rules import Permit
from containment.models import Detection, Identity, Resource, Session, Source
from containment.session_use import Approved
from sources.asking import Ask
from sources.base import Reading

LIMITS = ("tools", "budgets", "bounds")


def detection_of(
    reading: Reading,
    *,
    source: Source,
    identity: Identity,
    session: Session | None,
    resource: Resource | None,
    now: datetime,
    observed_because: str = "",
    called: Mapping[str, Any] | None = None,
) -> Detection:
    return Detection(
        source=source,
        external_id=reading.external_id,
        severity=reading.severity,
        confidence=reading.confidence,
        identity=identity,
        session=session,
        named_session=reading.session,
        named_role=reading.session_role,
        named_workflow=reading.session_workflow,
        resource=resource,
        action=reading.action,
        context=dict(reading.context),
        called=dict(called or {}),
        occurred_at=reading.occurred_at,
        received_at=now,
        observed_because=observed_because,
    )


def resource_of(reading: Reading, known: Resource | None) -> Resource | None:
    """The one that is known, else as it would be written down. Where it lives is what the call says, as long as the inventory does not."""
    if not reading.resource_id:
        return None
    if known is not None and (known.system or not reading.resource_system):
        return known
    return Resource(
        kind=reading.resource_kind,
        key=reading.resource_id,
        system=reading.resource_system,
        environment=known.environment if known else str(reading.context.get("environment") or ""),
        sensitivity=known.sensitivity if known else "unknown",
        admin_api=known.admin_api if known else False,
        tenant=known.tenant if known else "",
    )


def tool_of(ask: Ask, approved: Approved) -> str:
    """A session that was approved for tools calls one whatever it does; where none is named, the action is its name."""
    return ask.tool or (ask.action_name if any(approved.declared.get(name) or approved.profile.get(name) for name in LIMITS) else "")


def ruling_of(permit: Permit | None, policy: RiskPolicy) -> RulingFacts | None:
    """The word of the scope rules, where there are any: asked in the caller's own words, they are not asked again in ours."""
    if permit is None or not policy.scope.rules:
        return None
    return RulingFacts(answer=str(permit.answer), rule=permit.rule, because=permit.because)


def outside_intent(facts: Facts, ask: Ask) -> Finding | None:
    """Also under the name that the caller gave the resource: what keeps to an intent does so in this one as in its plain spelling."""
    resource = facts.resource
    if (finding := outside(facts)) is not None or resource is None or resource.id == ask.resource:
        return finding
    return outside(replace(facts, resource=replace(resource, id=ask.resource)))
