"""source_claim: that somebody posted a detection at all. The one signal that needs the policy, for what severities and sources weigh."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding
from containment.domain.policy import RiskPolicy


def source_claim(facts: Facts, policy: RiskPolicy) -> Finding | None:
    detection = facts.detection
    if detection is None:
        return None
    trust = policy.trust.of(detection.source)
    return Finding(
        code="source_claim",
        strength=policy.severities[detection.severity] * detection.confidence * trust,
        because=f"{detection.source.name} reports it as {detection.severity} with confidence {detection.confidence:g}.",
        evidence={"severity": str(detection.severity), "confidence": detection.confidence, "trust": trust},
    )
