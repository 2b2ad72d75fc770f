"""first_access: a sensitive resource or an admin API that this identity never used before."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding, ResourceFacts, Sensitivity

SENSITIVE = (Sensitivity.HIGH, Sensitivity.CRITICAL)


def first_access(facts: Facts) -> Finding | None:
    baseline, resource = facts.baseline, facts.resource
    if baseline is None or resource is None or facts.action is None or baseline.resource_known is None:
        return None
    evidence = {"resource": resource.id, "baseline": baseline.of, "events": baseline.events, "days": baseline.days}
    if baseline.resource_known:
        because = f"{baseline.whose} has used {resource.id} before."
        return Finding(code="first_access", strength=0.0, because=because, evidence=evidence)
    kind = _sensitive(facts, resource)
    if not kind:
        return None
    return Finding(
        code="first_access",
        strength=1.0,
        because=f"{baseline.whose} never used {resource.id} ({kind}) in {baseline.events} events on {baseline.days} days.",
        evidence=evidence | {"because": kind},
        observations=baseline.events,
        days=baseline.days,
    )


def _sensitive(facts: Facts, resource: ResourceFacts) -> str:
    """What makes it worth asking; empty where nothing does. What nobody classified is taken as sensitive."""
    if resource.admin_api or (facts.action is not None and facts.action.name == "admin.call"):
        return "an admin API"
    if resource.sensitivity is None:
        return "not classified, so taken as sensitive"
    return f"{resource.sensitivity} sensitivity" if resource.sensitivity in SENSITIVE else ""
