"""role_confusion: a role is used outside its purpose: in a workflow it does not belong to, or for something it is not for.

What the three scope signals look at (secrets, tokens, rights) is left to them, so that one observation does not count twice.
"""

from __future__ import annotations

from containment.domain.facts import Facts, Finding, SessionFacts

LEFT_TO_OTHERS = frozenset({"secret.read", "token.mint", "privilege.change"})


def role_confusion(facts: Facts) -> Finding | None:
    answers = [(session, _misfit(facts, session)) for session in facts.suspects]
    known = [(session, misfit) for session, misfit in answers if misfit is not None]
    confused = [misfit for _, misfit in known if misfit]
    if known and len(confused) == len(known):
        return Finding(
            code="role_confusion", strength=1.0, because="; ".join(dict.fromkeys(confused)) + ".", evidence={"misfits": confused}
        )
    if known and not confused and len(known) == len(answers) and not any(session.discovered for session, _ in known):
        return Finding(code="role_confusion", strength=0.0, because="Every role here is used for what it is for.")
    return None


def _misfit(facts: Facts, session: SessionFacts) -> str | None:
    """What does not fit; empty where all fits; None where the purpose of the role is not known."""
    role = facts.role(session.role)
    if role is None or not (role.workflows or role.scope):
        return None
    if role.workflows and session.workflow and session.workflow not in role.workflows:
        return f"Role {role.name} is for {', '.join(sorted(role.workflows))}, and is used in {session.workflow}"
    if role.scope and facts.action and facts.action.name not in LEFT_TO_OTHERS:
        resource = facts.resource.id if facts.resource else ""
        if not role.allows(facts.action.name, resource):
            return f"Role {role.name} is not for {facts.action.name} on {resource or 'an unnamed resource'}"
    return ""
