"""intent_environment: a call in an environment that its session did not declare."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding


def intent_environment(facts: Facts) -> Finding | None:
    """Every environment that is known of the call is compared: its own, its resource's, and the one that a detection names."""
    if facts.intent is None or not facts.intent.environments or facts.call is None:
        return None
    known = {
        facts.call.environment,
        facts.resource.environment if facts.resource else "",
        facts.detection.environment if facts.detection else "",
    } - {""}
    outside = sorted(known - set(facts.intent.environments))
    approved = ", ".join(facts.intent.environments)
    evidence = {"environments": sorted(known), "approved": list(facts.intent.environments)}
    if outside:
        said = f"The call acts in {', '.join(outside)}; this session was approved for {approved}."
        return Finding(code="intent_environment", strength=1.0, because=said, evidence=evidence)
    if known:
        return Finding(code="intent_environment", strength=0.0, because=f"The call stays in {approved}.", evidence=evidence)
    return None
