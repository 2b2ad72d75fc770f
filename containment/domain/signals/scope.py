"""What the approved scope says of an action: shared by the three signals that fire outside it. Not a signal itself.

Workflows and roles say what they are approved for; the policy's static rules stand above them. A rule that denies makes whatever was done
our own finding: of a secret, a token or a privilege the signal of its name, of anything else `role_confusion`. A rule that allows settles
those three the other way, but excuses no session that nobody vouches for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from containment.domain import scope_rules
from containment.domain.facts import Facts, Finding, SessionFacts
from containment.domain.scope_rules import Permit, Thing

CODES: Mapping[str, str] = {"secret.read": "unexpected_secret_read", "token.mint": "token_mint", "privilege.change": "privilege_change"}
ELSE = "role_confusion"


@dataclass(frozen=True, slots=True)
class Scope:
    """`inside` None: nobody approved anything that this could be measured against, or one session might and another might not."""

    inside: bool | None
    where: str


def scope_of(facts: Facts, action: str, resource: str) -> Scope:
    """Whether the workflows and roles that may be at work here allow it.

    Sessions that nobody vouches for cannot excuse anything: beside one of them "inside" becomes "cannot tell". Without any vouched
    session, the workflows that the identity is approved for are asked instead.
    """
    vouched = [session for session in facts.suspects if not session.discovered]
    strangers = len(vouched) < len(facts.suspects)
    answers = {
        f"workflow {s.workflow}" if s.workflow else f"session {s.name or s.id}": _by_session(facts, s, action, resource) for s in vouched
    }
    if not answers:
        answers = {f"workflow {w.name}": w.allows(action, resource) for w in facts.workflows if w.name in facts.identity.workflows}
        if any(answers.values()) and not all(answers.values()):
            answers = {name: True for name, inside in answers.items() if inside}  # one approved workflow is enough: none is at fault yet
    where = ", ".join(sorted(answers))
    known = {inside for inside in answers.values() if inside is not None}
    if known == {False}:
        return Scope(False, where)
    if known == {True} and None not in answers.values() and not strangers:
        return Scope(True, where)
    return Scope(None, where)


def outside_scope(facts: Facts, code: str, action: str, *, strength: float = 1.0) -> Finding | None:
    """The finding of a signal that fires when `action` happens outside the approved scope."""
    if facts.action is None or facts.action.name != action:
        return None
    resource = facts.resource.id if facts.resource else ""
    thing = resource or "an unnamed resource"
    scope = scope_of(facts, action, resource)
    if scope.inside is None:
        return None
    evidence = {"action": action, "resource": resource, "count": facts.action.count, "scope": scope.where}
    if scope.inside:
        return Finding(code=code, strength=0.0, because=f"{action} on {thing} is approved for {scope.where}.", evidence=evidence)
    return Finding(code=code, strength=strength, because=f"{action} on {thing} lies outside {scope.where}.", evidence=evidence)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a static rule makes of one signal: a finding, or with None that nothing can be said of it by our own facts."""

    code: str
    finding: Finding | None


def by_rule(facts: Facts, scope: scope_rules.Scope) -> Ruling | None:
    """The word of the policy's scope rules; None where they are silent, or nothing was done."""
    if not scope.rules or facts.action is None:
        return None
    permit = _as_heard(facts) or permit_of(facts, scope)
    code = CODES.get(facts.action.name, ELSE)
    evidence = {"action": facts.action.name, "resource": facts.resource.id if facts.resource else "", "rule": permit.rule}
    if permit.denied:
        return Ruling(code, Finding(code=code, strength=1.0, because=permit.because, evidence=evidence))
    if not permit.allowed or code == ELSE:
        return None
    strangers = any(session.discovered for session in facts.suspects)
    return Ruling(code, None if strangers else Finding(code=code, strength=0.0, because=permit.because, evidence=evidence))


def _as_heard(facts: Facts) -> Permit | None:
    said = facts.ruling
    return Permit(scope_rules.Answer(said.answer), said.rule, said.because) if said is not None else None


def permit_of(facts: Facts, scope: scope_rules.Scope) -> Permit:
    """Judgement's question to the rules. Only what the inventory knows is put to them: what a message says of itself excuses nothing."""
    identity, action, resource = facts.identity, facts.action, facts.resource
    vouched = [session for session in facts.suspects if not session.discovered]
    subject = {
        "provider": identity.provider,
        "environment": identity.environment,
        "reach": identity.reach,
        "discovered": identity.discovered,
        "protected": identity.protected,
        "workflows": identity.workflows,
        "workflow": _common(session.workflow for session in vouched),
        "role": _common(session.role for session in vouched),
        "tenant": _common(session.tenant for session in vouched),
        "drive": facts.drive if len(vouched) == len(facts.suspects) else None,
    }
    done = {"count": action.count, "tool": facts.call.tool if facts.call else None} if action else {}
    thing = (
        {
            "sensitivity": resource.sensitivity,
            "environment": resource.environment,
            "tenant": resource.tenant,
            "system": resource.system,
            "admin_api": resource.admin_api,
        }
        if resource
        else {}
    )
    return scope_rules.permits(
        scope,
        Thing(identity.subject, identity.kind, _known(subject)),
        Thing(action.name if action else "", properties=_known(done)),
        Thing(resource.id, resource.kind, _known(thing)) if resource else Thing(""),
        asked=False,
    )


def _common(values: Iterable[str]) -> str:
    """What all of them say; nothing where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _known(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in properties.items() if value not in ("", None, ())}


def _by_session(facts: Facts, session: SessionFacts, action: str, resource: str) -> bool | None:
    workflow, role = facts.workflow(session.workflow), facts.role(session.role)
    asked = [one.allows(action, resource) for one in (workflow, role) if one is not None and (one is workflow or one.scope)]
    return any(asked) if asked else None
