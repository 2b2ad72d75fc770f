"""volume: the request rate leaves the identity's own band: a burst within a minute, or a drift over an hour or a day."""

from __future__ import annotations

from containment.domain.facts import BaselineFacts, Facts, Finding, RateFacts
from containment.domain.policy import RiskPolicy

AT_THE_EDGE = 0.25  # four times the upper edge is full strength
SORTS = {"minute": "burst", "hour": "drift", "day": "drift"}


def volume(facts: Facts, policy: RiskPolicy) -> Finding | None:
    """The window that weighs most. Strength 0 only where every window that we know lies inside its band."""
    baseline = facts.baseline
    if baseline is None or facts.action is None or not baseline.rates:
        return None
    found = [_finding(baseline, rate) for rate in baseline.rates]
    return max(found, key=lambda one: one.strength * policy.thinned_to(one.observations))


def strength(rate: RateFacts) -> float:
    """0 inside the band; from a quarter at its upper edge to 1 at four times that."""
    if rate.count <= rate.upper or rate.upper <= 0:
        return 0.0
    return round(min(1.0, AT_THE_EDGE * rate.count / rate.upper), 3)


def _finding(baseline: BaselineFacts, rate: RateFacts) -> Finding:
    over = strength(rate)
    evidence = {
        "sort": SORTS.get(rate.window, "drift"),
        "window": rate.window,
        "count": rate.count,
        "usual": rate.usual,
        "upper": rate.upper,
        "baseline": baseline.of,
    }
    band = f"usually {rate.usual:g}, at most {rate.upper:g} (from {rate.observations} such {rate.window}s on {rate.days} days)"
    if not over:
        because = f"{rate.count:g} in this {rate.window} lies inside its own band: {band}."
        return Finding(code="volume", strength=0.0, because=because, evidence=evidence)
    because = f"{rate.count:g} in this {rate.window}; {band}."
    return Finding(code="volume", strength=over, because=because, evidence=evidence, observations=rate.observations, days=rate.days)
