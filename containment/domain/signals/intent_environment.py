"""intent_environment: a call in an environment that its session did not declare."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding


def intent_environment(facts: Facts) -> Finding | None:
    """Every environment that is known of the call is compared: its own, its resource's, and the one that a detection names."""
    layers = [layer for layer in facts.intent.layers if layer.environments] if facts.intent else []
    if not layers or facts.call is None:
        return None
    known = {
        facts.call.environment,
        facts.resource.environment if facts.resource else "",
        facts.detection.environment if facts.detection else "",
    } - {""}
    layer = next((layer for layer in layers if known - set(layer.environments)), layers[0])
    outside = sorted(known - set(layer.environments))
    approved = ", ".join(layer.environments)
    evidence = {"environments": sorted(known), "approved": list(layer.environments)}
    if outside:
        said = f"The call acts in {', '.join(outside)}; {layer.of or 'this session'} was approved for {approved}."
        return Finding(code="intent_environment", strength=1.0, because=said, evidence=evidence)
    if known:
        return Finding(code="intent_environment", strength=0.0, because=f"The call stays in {approved}.", evidence=evidence)
    return None
