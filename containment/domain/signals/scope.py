"""What the approved scope says of an action: shared by the three signals that fire outside it. Not a signal itself."""

from __future__ import annotations

from dataclasses import dataclass

from containment.domain.facts import Facts, Finding, SessionFacts


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


def _by_session(facts: Facts, session: SessionFacts, action: str, resource: str) -> bool | None:
    workflow, role = facts.workflow(session.workflow), facts.role(session.role)
    asked = [one.allows(action, resource) for one in (workflow, role) if one is not None and (one is workflow or one.scope)]
    return any(asked) if asked else None
