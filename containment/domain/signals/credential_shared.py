"""credential_shared: one credential is used by several identities or in several workflows."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding


def credential_shared(facts: Facts) -> Finding | None:
    if facts.credential is None:
        return None
    users = {(user.identity, user.workflow) for user in facts.credential.users}
    users |= {(session.identity, session.workflow) for session in facts.sessions if session.credential == facts.credential.id}
    identities = {identity for identity, _ in users}
    workflows = {workflow for _, workflow in users if workflow}
    evidence = {"identities": len(identities), "workflows": sorted(workflows)}
    if len(identities) > 1 or len(workflows) > 1:
        who = f"{len(identities)} identit{'y' if len(identities) == 1 else 'ies'}"
        where = f"{len(workflows)} workflow{'' if len(workflows) == 1 else 's'}"
        because = f"{who} in {where} use{'s' if len(identities) == 1 else ''} it: {', '.join(sorted(workflows)) or 'unnamed'}."
        return Finding(code="credential_shared", strength=1.0, because=because, evidence=evidence)
    if len(workflows) == 1:
        return Finding(code="credential_shared", strength=0.0, because=f"Only {next(iter(workflows))} uses it.", evidence=evidence)
    return None
