"""Risk: a number from 0 to 100 that anyone can recompute by hand, and the waterfall that shows how.

    odds       = prior + sum over families of (largest + 1/2 second + 1/4 each further), in decibans, clamped
    likelihood = 1 / (1 + 10^(-odds/10))
    impact     = cube root of (reach * consequence * sensitivity)
    risk       = 100 * likelihood * impact, rounded to 0.1

The rounded number is what is compared, shown and digested. The waterfall is stored with the decision and is the picture people see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from containment.domain.arithmetic import cube_root, ten_to
from containment.domain.facts import USUAL_DRIVE, Drive, Facts, Kind, Reach, Sensitivity
from containment.domain.families import Family
from containment.domain.policy import OTHER, RiskPolicy, Thresholds
from containment.domain.signals import Fired, Standing


@dataclass(frozen=True, slots=True)
class PriorPart:
    name: str
    decibans: float


@dataclass(frozen=True, slots=True)
class WeighedSignal:
    """A signal with its weight: decibans = weight * strength * thinned_to. `thin`: it rests on too little history, on
    none, or on circumstances alone."""

    code: str
    family: Family
    strength: float
    weight: float
    thinned_to: float
    decibans: float
    standing: Standing
    because: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    observations: int | None = None
    days: int | None = None
    thin: bool = False
    circumstantial: bool = False


@dataclass(frozen=True, slots=True)
class FamilySum:
    family: Family
    decibans: float


@dataclass(frozen=True, slots=True)
class ImpactFactor:
    """reach, consequence or sensitivity: of what, its value, and whether that was known or is the policy's caution."""

    name: str
    of: str
    value: float
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """How the risk came about. `dismissed`: claims that our facts contradict. `sum`: the odds before the clamp. `risk_without_thin` leaves
    out what rests on thin baselines. `observations`: the smallest number that a baseline signal here rests on."""

    prior: tuple[PriorPart, ...]
    signals: tuple[WeighedSignal, ...]
    dismissed: tuple[WeighedSignal, ...]
    families: tuple[FamilySum, ...]
    sum: float
    odds: float
    likelihood: float
    factors: tuple[ImpactFactor, ...]
    impact: float
    risk: float
    risk_without_thin: float
    observations: int | None
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Cell:
    """Kind, action and sensitivity, and the highest risk that they can reach whatever is found."""

    kind: Kind
    action: str
    sensitivity: Sensitivity
    most: float
    reaches_soft: bool
    reaches_hard: bool


def weigh(facts: Facts, fired: Iterable[Fired], policy: RiskPolicy) -> Waterfall:
    """What the signals that fired amount to."""
    weighed = [_weighed(signal, policy) for signal in fired]
    signals = [signal for signal in weighed if signal.standing is not Standing.CONTRADICTED]
    prior = _prior(facts, policy)
    factors = _factors(facts, policy)
    impact = impact_of(factors[0].value, factors[1].value, factors[2].value)
    families = _by_family(signals)
    total = _total(prior, families)
    odds = _clamped(total, policy)
    firm = [signal for signal in signals if not signal.thin]
    solid = odds if len(firm) == len(signals) else _clamped(_total(prior, _by_family(firm)), policy)
    counts = [signal.observations for signal in signals if signal.observations is not None]
    return Waterfall(
        prior=prior,
        signals=tuple(signals),
        dismissed=tuple(signal for signal in weighed if signal.standing is Standing.CONTRADICTED),
        families=tuple(FamilySum(family, _exact(value)) for family, value in families.items()),
        sum=_exact(total),
        odds=_exact(odds),
        likelihood=_exact(likelihood(odds)),
        factors=factors,
        impact=_exact(impact),
        risk=risk_of(odds, impact),
        risk_without_thin=risk_of(solid, impact),
        observations=min(counts, default=None),
        thresholds=policy.thresholds(facts.identity.kind, facts.drive or USUAL_DRIVE[facts.identity.kind], facts.identity.environment),
    )


def likelihood(odds: float) -> float:
    return 1.0 / (1.0 + ten_to(-odds / 10.0))


def impact_of(reach: float, consequence: float, sensitivity: float) -> float:
    return cube_root(reach * consequence * sensitivity)


def risk_of(odds: float, impact: float) -> float:
    return tenth(100.0 * likelihood(odds) * impact)


def tenth(value: float) -> float:
    """Rounded to 0.1, halves up, and the same on every machine: what differs behind the ninth digit is noise of its arithmetic."""
    return float(Decimal(f"{value:.9f}").quantize(Decimal("0.1"), rounding=ROUND_HALF_UP))


def cells(policy: RiskPolicy, drive: Drive | None = None, environment: str = "") -> tuple[Cell, ...]:
    """The highest risk of every kind, action and sensitivity, for the widest reach: what can never reach soft or hard is acknowledged
    when a policy is approved."""
    widest = max(policy.reach.values())
    found = []
    for kind in Kind:
        bounds = policy.thresholds(kind, drive or USUAL_DRIVE[kind], environment)
        for action, consequence in policy.consequences.items():
            for sensitivity, weight in policy.sensitivities.items():
                most = risk_of(policy.odds_at_most, impact_of(widest, consequence, weight))
                found.append(Cell(kind, action, sensitivity, most, most >= bounds.soft, most >= bounds.hard))
    return tuple(found)


def _weighed(signal: Fired, policy: RiskPolicy) -> WeighedSignal:
    weight = policy.weights[signal.code]
    thinned_to = policy.thinned_to(signal.observations)
    few = not policy.minimum.is_met(signal.observations, signal.days)
    return WeighedSignal(
        code=signal.code,
        family=signal.family,
        strength=signal.strength,
        weight=weight,
        thinned_to=_exact(thinned_to),
        decibans=_exact(weight * signal.strength * thinned_to),
        standing=signal.standing,
        because=signal.because,
        evidence=signal.evidence,
        observations=signal.observations,
        days=signal.days,
        thin=few or signal.thin_claim or signal.circumstantial,
        circumstantial=signal.circumstantial,
    )


def _prior(facts: Facts, policy: RiskPolicy) -> tuple[PriorPart, ...]:
    identity, posture = facts.identity, policy.posture
    parts = [PriorPart(identity.kind, policy.priors[identity.kind])]
    if facts.drive is not None and facts.drive is not USUAL_DRIVE[identity.kind]:
        parts.append(PriorPart("unlike_drive", posture.unlike_drive))
    dormant = identity.last_active_at is not None and facts.at - identity.last_active_at >= timedelta(days=posture.dormant_days)
    left = posture.at_most
    for name, so, decibans in (
        ("discovered", identity.discovered, posture.discovered),
        ("dormant", dormant, posture.dormant),
        ("no_owner", not identity.has_owner, posture.no_owner),
    ):
        if so:
            parts.append(PriorPart(name, min(decibans, left)))
            left -= parts[-1].decibans
    return tuple(parts)


def _factors(facts: Facts, policy: RiskPolicy) -> tuple[ImpactFactor, ...]:
    reach: Reach = facts.identity.reach or policy.unknown_reach
    action = facts.action.name if facts.action else OTHER
    known = facts.resource.sensitivity if facts.resource else None
    sensitivity = known or policy.unknown_sensitivity
    return (
        ImpactFactor("reach", reach, policy.reach[reach], facts.identity.reach is not None),
        ImpactFactor("consequence", action, policy.consequence(action), action in policy.consequences),
        ImpactFactor("sensitivity", sensitivity, policy.sensitivities[sensitivity], known is not None),
    )


def _by_family(signals: Sequence[WeighedSignal]) -> dict[Family, float]:
    """Largest, half the second, a quarter of each further: one observation tends to fire several signals of its family."""
    values: dict[Family, list[float]] = {}
    for signal in signals:
        values.setdefault(signal.family, []).append(signal.decibans)
    sums: dict[Family, float] = {}
    for family in Family:
        if family in values:
            ranked = sorted(values[family], reverse=True)
            sums[family] = math.fsum([ranked[0], *(value / 2 for value in ranked[1:2]), *(value / 4 for value in ranked[2:])])
    return sums


def _total(prior: Sequence[PriorPart], families: Mapping[Family, float]) -> float:
    return math.fsum([*(part.decibans for part in prior), *families.values()])


def _clamped(odds: float, policy: RiskPolicy) -> float:
    return max(-policy.odds_at_most, min(policy.odds_at_most, odds))


def _exact(value: float) -> float:
    """Nine digits: enough for any hand, and no noise in the digest."""
    return round(value, 9)
