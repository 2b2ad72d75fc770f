"""Weighs gists: the arithmetic of risk.py, and the choosing of signals/, on numbers alone and made ready for one policy.

risk.weigh() is the definition; tests compare the two on drawn facts and drawn policies, and on every decision that is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from containment.domain.facts import USUAL_DRIVE, Drive, Kind, Reach, Sensitivity
from containment.domain.families import BEHAVIOUR, FAMILIES, SOURCE_CLAIM, Family
from containment.domain.gist import Candidate, Gist, answers, read
from containment.domain.policy import RiskPolicy, ThresholdRule
from containment.domain.risk import impact_of, risk_of

MOST_REMEMBERED = 200_000
_FAMILY = {code: list(Family).index(family) for code, family in FAMILIES.items()}
_IN_ORDER = [code for code in FAMILIES if code != SOURCE_CLAIM]


@dataclass(frozen=True, slots=True)
class Weight:
    """What a gist comes to. `certain` False: the policy sees something in the facts that the gist cannot tell, or evidence that may be
    conclusive; the facts have to be judged. `rule`: the number of the threshold rule that holds."""

    risk: float
    without_thin: float
    rule: int
    kind: str
    run: str
    run_stage: str
    certain: bool


class Weigher:
    """For one policy. Gists repeat: what one came to is remembered."""

    def __init__(self, policy: RiskPolicy) -> None:
        self.policy = policy
        self._remembered: dict[str, Weight] = {}
        self._impacts: dict[tuple[str, str, str], float] = {}
        self._rules: dict[tuple[Kind, Drive | None, str], int] = {}
        self._senses: dict[tuple[str, str, object], bool] = {}

    def weigh(self, text: str) -> Weight:
        found = self._remembered.get(text)
        if found is None:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[text] = self._weighed(read(text))
        return found

    def rule_of(self, kind: Kind, drive: Drive | None, environment: str) -> int:
        """As RiskPolicy.thresholds chooses."""
        key = (kind, drive, environment)
        if key not in self._rules:
            self._rules[key] = _rule_of(self.policy, kind, drive or USUAL_DRIVE[kind], environment)
        return self._rules[key]

    def _weighed(self, gist: Gist) -> Weight:
        policy = self.policy
        certain = all(self._still(*asked) for asked in gist.sensed)
        solid: list[list[float]] = [[] for _ in Family]
        thin: list[list[float]] = [[] for _ in Family]
        trust = policy.trust.of(gist.source) if gist.source else 0.0
        if gist.severity is not None:
            strength = policy.severities[gist.severity] * gist.confidence * trust
            solid[0].append(round(policy.weights[SOURCE_CLAIM] * strength * 1.0, 9))
        own = self._chosen(gist.candidates)
        for code in _IN_ORDER:
            mine, claimed = own.get(code), code in gist.claims
            if mine is None and not claimed:
                continue
            ours = True
            if not claimed:
                assert mine is not None  # noqa: S101 - for the type checker
                if mine.strength <= 0:
                    continue
                strength, observations, days = mine.strength, mine.observations, mine.days
            elif mine is not None and mine.strength == 0:
                continue  # contradicted
            else:
                claim = gist.confidence * trust
                strength, observations, days = claim, None, None
                if mine is not None:
                    sure = 1.0 if mine.confirms else mine.strength
                    if sure * policy.thinned_to(mine.observations) >= claim:
                        strength, observations, days = sure, mine.observations, mine.days
                    else:
                        ours = False
                else:
                    ours = False
            if ours and strength > 0 and code in policy.conclusive:
                certain = False
            decibans = round(policy.weights[code] * strength * policy.thinned_to(observations), 9)
            few = not policy.minimum.is_met(observations, days) or (not ours and code in BEHAVIOUR)
            (thin if few else solid)[_FAMILY[code]].append(decibans)
        return self._settled(gist, solid, thin, certain)

    def _settled(self, gist: Gist, solid: list[list[float]], thin: list[list[float]], certain: bool) -> Weight:
        prior = self._prior(gist)
        impact = self._impact(gist)
        risk = risk_of(self._odds(prior, ([*a, *b] for a, b in zip(solid, thin, strict=True))), impact)
        without = risk_of(self._odds(prior, solid), impact) if any(thin) else risk
        rule = self.rule_of(gist.kind, gist.drive, gist.environment)
        return Weight(risk, without, rule, gist.kind.value, gist.run, gist.run_stage, certain)

    def _odds(self, prior: list[float], families: Iterable[list[float]]) -> float:
        total = math.fsum([*prior, *(_sum(decibans) for decibans in families if decibans)])
        most = self.policy.odds_at_most
        return max(-most, min(most, total))

    def _chosen(self, candidates: tuple[Candidate, ...]) -> dict[str, Candidate]:
        thinned_to, found = self.policy.thinned_to, dict[str, Candidate]()
        for one in candidates:
            best = found.get(one.code)
            if best is None or one.strength * thinned_to(one.observations) > best.strength * thinned_to(best.observations):
                found[one.code] = one
        return found

    def _prior(self, gist: Gist) -> list[float]:
        posture = self.policy.posture
        parts = [self.policy.priors[gist.kind]]
        if gist.drive is not None and gist.drive is not USUAL_DRIVE[gist.kind]:
            parts.append(posture.unlike_drive)
        left = posture.at_most
        dormant = gist.dormant is not None and gist.dormant >= posture.dormant_days
        for so, decibans in ((gist.discovered, posture.discovered), (dormant, posture.dormant), (not gist.has_owner, posture.no_owner)):
            if so:
                parts.append(min(decibans, left))
                left -= parts[-1]
        return parts

    def _impact(self, gist: Gist) -> float:
        key = (gist.reach, gist.action, gist.sensitivity)
        if key not in self._impacts:
            policy = self.policy
            self._impacts[key] = impact_of(
                policy.reach[Reach(gist.reach) if gist.reach else policy.unknown_reach],
                policy.consequence(gist.action),
                policy.sensitivities[Sensitivity(gist.sensitivity) if gist.sensitivity else policy.unknown_sensitivity],
            )
        return self._impacts[key]

    def _still(self, what: str, about: str, answer: object) -> bool:
        """Whether this policy answers what a signal asked as the one did under which the gist was made."""
        key = (what, about, answer)
        if key not in self._senses:
            self._senses[key] = answers(self.policy, what, about) == answer
        return self._senses[key]


def _rule_of(policy: RiskPolicy, kind: Kind, drive: Drive, environment: str) -> int:
    def fits(rule: ThresholdRule) -> bool:
        return rule.kind is kind and rule.drive in (None, drive) and rule.environment in ("", environment)

    fitting = [number for number, rule in enumerate(policy.threshold_rules) if fits(rule)]
    rules = policy.threshold_rules
    return max(fitting, key=lambda number: (rules[number].drive is not None) * 2 + bool(rules[number].environment))


def _sum(decibans: list[float]) -> float:
    """As risk.py: the largest, half the second, a quarter of each further."""
    if len(decibans) == 1:
        return decibans[0]
    ranked = sorted(decibans, reverse=True)
    return math.fsum([ranked[0], ranked[1] / 2, *(value / 4 for value in ranked[2:])])
