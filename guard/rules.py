"""The policy's scope rules, asked about one question: in the caller's own words and in ours.

What a caller says of its subject (a role, a tenant, a workflow) may make a rule deny, and never makes one allow: for that, only what the
inventory and the policy know of the subject counts. What it says of the resource and of the call counts, because nobody else can say it,
but for what our inventory says of resources itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from containment.domain.scope_rules import Answer, Permit, Scope, Thing, permits
from containment.models import Identity
from guard.question import plain_name
from guard.standing import Acting
from sources import authzen
from sources.asking import Ask

CLAIMS = frozenset({"role", "roles", "workflow", "tenant", "criticality", "approval", "session"})
STRICTEST_FIRST = (Answer.DENIED, Answer.NEEDS_APPROVAL, Answer.SILENT, Answer.ALLOWED)
INVENTORYS = frozenset({"sensitivity", "admin_api", "tenant", "criticality", "environment"})


def permit(ask: Ask, identity: Identity, acting: Acting, scope: Scope) -> Permit:
    """The strictest of all readings of the question, of which those with the caller's claims about itself count only against it."""
    if not scope.rules:
        return permits(scope, Thing(""), Thing(""), Thing(""))
    names = dict.fromkeys((ask.resource, plain_name(ask.resource)))
    vouched = [_asked(ask, identity, acting, scope, name, claims=False) for name in names]
    claimed = [_asked(ask, identity, acting, scope, name, claims=True) for name in names]
    against = [one for one in claimed if one.answer in (Answer.DENIED, Answer.NEEDS_APPROVAL)]
    return min((*vouched, *against), key=lambda one: STRICTEST_FIRST.index(one.answer))


def _asked(ask: Ask, identity: Identity, acting: Acting, scope: Scope, resource: str, *, claims: bool) -> Permit:
    said_kind = "" if authzen.names_a_kind(ask.subject_type) and ask.kind != identity.kind else ask.subject_type
    subject = Thing(
        ask.subject,
        said_kind or identity.kind,
        {**(ask.subject_properties if claims else {}), **_known_of(identity, acting)},
        also=(identity.kind,),
    )
    action = Thing(ask.action_name, properties={**ask.action_properties, **({"tool": ask.tool} if ask.tool else {})}, also=(ask.action,))
    thing = Thing(resource, ask.resource_type, ask.resource_properties if claims else _without(ask.resource_properties, INVENTORYS))
    return permits(scope, subject, action, thing, ask.context if claims else _without(ask.context, CLAIMS))


def _known_of(identity: Identity, acting: Acting) -> Mapping[str, Any]:
    session = acting.session
    known = {
        "provider": identity.provider,
        "environment": identity.environment,
        "reach": identity.reach if identity.reach != "unknown" else "",
        "discovered": identity.discovered_at is not None,
        "protected": identity.protected,
        "workflow": session.workflow if session else "",
        "role": session.role if session else "",
        "tenant": session.tenant if session else "",
        "drive": session.drive if session else "",
    }
    return {name: value for name, value in known.items() if value != ""}


def _without(said: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in names}
