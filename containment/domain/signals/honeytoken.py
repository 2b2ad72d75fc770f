"""honeytoken: somebody used a planted credential, or touched a planted resource. Nobody has business with either."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding


def honeytoken(facts: Facts) -> Finding | None:
    if facts.action is None:
        return None  # planted and merely seen somewhere: nobody has used it
    planted = [thing for thing in (facts.credential, facts.resource) if thing is not None and thing.honeytoken]
    if planted:
        names = ["The credential" if thing is facts.credential else thing.id for thing in planted]
        because = f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} planted, and used for {facts.action.name}."
        return Finding(code="honeytoken", strength=1.0, because=because, evidence={"planted": [thing.id for thing in planted]})
    if facts.credential is not None and facts.resource is not None:
        return Finding(code="honeytoken", strength=0.0, because="Neither credential nor resource is planted.")
    return None
