"""Signals: the named reasons for suspicion, one small file each, every one a pure function from Facts to a Finding or None.

A finding of strength 0 says that our facts contradict a claim of this code; None, that they cannot tell. Below, what we found ourselves,
what others observed for us (baselines, the guard's intent check) and what the detection claims become one list, each code once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from containment.domain.facts import DetectionFacts, Facts, Finding
from containment.domain.families import BEHAVIOUR, FAMILIES, SOURCE_CLAIM, Family
from containment.domain.policy import RiskPolicy
from containment.domain.signals.credential_exposed import credential_exposed
from containment.domain.signals.credential_shared import credential_shared
from containment.domain.signals.cross_system import cross_system
from containment.domain.signals.drive_mismatch import drive_mismatch
from containment.domain.signals.first_access import first_access
from containment.domain.signals.honeytoken import honeytoken
from containment.domain.signals.identity_violation import identity_violation
from containment.domain.signals.intent_budget import intent_budget
from containment.domain.signals.intent_environment import intent_environment
from containment.domain.signals.intent_resource import intent_resource
from containment.domain.signals.intent_tool import intent_tool
from containment.domain.signals.privilege_change import privilege_change
from containment.domain.signals.role_confusion import role_confusion
from containment.domain.signals.scope import by_rule
from containment.domain.signals.session_ttl import session_ttl
from containment.domain.signals.source_claim import source_claim
from containment.domain.signals.token_mint import token_mint
from containment.domain.signals.tool_chain import tool_chain
from containment.domain.signals.unexpected_secret_read import unexpected_secret_read
from containment.domain.signals.volume import volume

Signal = Callable[[Facts], Finding | None]
PolicySignal = Callable[[Facts, RiskPolicy], Finding | None]

SIGNALS: Mapping[str, Signal] = {
    "unexpected_secret_read": unexpected_secret_read,
    "token_mint": token_mint,
    "privilege_change": privilege_change,
    "role_confusion": role_confusion,
    "first_access": first_access,
    "cross_system": cross_system,
    "identity_violation": identity_violation,
    "drive_mismatch": drive_mismatch,
    "credential_exposed": credential_exposed,
    "credential_shared": credential_shared,
    "session_ttl": session_ttl,
    "honeytoken": honeytoken,
    "intent_tool": intent_tool,
    "intent_resource": intent_resource,
    "intent_budget": intent_budget,
    "intent_environment": intent_environment,
}
POLICY_SIGNALS: Mapping[str, PolicySignal] = {  # those that ask the policy too: for named chains, consequences, thinning
    "volume": volume,
    "tool_chain": tool_chain,
}


class Standing(StrEnum):
    """What a signal rests on."""

    OWN = "own"
    CONFIRMED = "confirmed"  # claimed, and our facts say the same
    CLAIMED = "claimed"  # claimed, and our facts cannot tell
    CONTRADICTED = "contradicted"  # claimed, and our facts say that it is not so


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """A signal as it counts. `thin_claim`: somebody else's baseline, of which we know no observation. `circumstantial`: by
    itself it asks people."""

    code: str
    family: Family
    strength: float
    standing: Standing
    because: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    observations: int | None = None
    days: int | None = None
    thin_claim: bool = False
    circumstantial: bool = False

    @property
    def ours(self) -> bool:
        return self.strength > 0 and self.standing in (Standing.OWN, Standing.CONFIRMED)


def fired(facts: Facts, policy: RiskPolicy) -> tuple[Fired, ...]:
    """Every signal that fired and every claim that our facts contradict, each code once, in the order of the families."""
    own = _own(facts, policy)
    claimed = set(facts.detection.claims) if facts.detection else set()
    counted = [_counted(code, own.get(code), code in claimed, facts, policy) for code in FAMILIES if code != SOURCE_CLAIM]
    if (claim := source_claim(facts, policy)) is not None:
        counted.insert(0, _as_fired(claim, Standing.CLAIMED))
    return tuple(one for one in counted if one is not None)


def candidates(facts: Facts, policy: RiskPolicy) -> list[Finding]:
    """Everything found, by ourselves or for us; of one code there may be several, of which the one that counts most is taken."""
    ours = [signal(facts) for signal in SIGNALS.values()] + [signal(facts, policy) for signal in POLICY_SIGNALS.values()]
    found = [finding for finding in (*facts.observed, *ours) if finding is not None]
    for finding in found:
        if finding.code not in FAMILIES or finding.code == SOURCE_CLAIM:
            raise ValueError(f"{finding.code!r} is no signal that can be observed")
    if (ruling := by_rule(facts, policy.scope)) is not None:  # the policy's own word stands above what workflows and roles say
        found = [finding for finding in found if finding.code != ruling.code]
        if ruling.finding is not None:
            found.append(ruling.finding)
    return found


def _own(facts: Facts, policy: RiskPolicy) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for finding in candidates(facts, policy):
        if finding.code not in found or _counts(finding, policy) > _counts(found[finding.code], policy):
            found[finding.code] = finding
    return found


def _counts(finding: Finding, policy: RiskPolicy) -> float:
    return finding.strength * policy.thinned_to(finding.observations)


def _counted(code: str, own: Finding | None, claimed: bool, facts: Facts, policy: RiskPolicy) -> Fired | None:
    """Our finding and the claim of the same observation count once, the larger."""
    if not claimed or facts.detection is None:
        return _as_fired(own, Standing.OWN) if own and own.strength > 0 else None
    if own is not None and own.strength == 0:
        return _as_fired(own, Standing.CONTRADICTED)
    claim = _claim(code, facts.detection, policy)
    if own is None:
        return _as_fired(claim, Standing.CLAIMED)
    ours = replace(own, strength=1.0) if own.confirms else own
    if _counts(ours, policy) < claim.strength:  # a baseline of ours too short to bear the claim out
        return _as_fired(claim, Standing.CLAIMED)
    return _as_fired(ours, Standing.CONFIRMED if own.confirms else Standing.OWN)


def _claim(code: str, detection: DetectionFacts, policy: RiskPolicy) -> Finding:
    return Finding(
        code=code,
        strength=detection.confidence * policy.trust.of(detection.source),
        because=f"{detection.source.name} claims it with confidence {detection.confidence:g}; our own facts do not settle it.",
    )


def _as_fired(finding: Finding, standing: Standing) -> Fired:
    return Fired(
        code=finding.code,
        family=FAMILIES[finding.code],
        strength=finding.strength,
        standing=standing,
        because=finding.because,
        evidence=finding.evidence,
        observations=finding.observations,
        days=finding.days,
        thin_claim=standing is Standing.CLAIMED and finding.code in BEHAVIOUR,
        circumstantial=finding.circumstantial,
    )
