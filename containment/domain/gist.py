"""The gist of facts: what weighing needs of them, whatever the policy, as one short text beside a decision.

A backtest weighs a million events by their gists and looks at the whole facts only where it matters. What signals asked the policy when
the gist was made is noted in it (`Sensed`): under a policy that answers otherwise, the gist is worth nothing and the facts are judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from containment.domain.facts import Drive, Facts, Kind, Severity, SourceFacts
from containment.domain.families import FAMILIES
from containment.domain.policy import OTHER, RiskPolicy
from containment.domain.signals import candidates
from core import digest

Sensed = tuple[str, str, Any]  # what was asked, about what, and the answer (of long ones a digest)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finding without its words."""

    code: str
    strength: float
    observations: int | None
    days: int | None
    confirms: bool


@dataclass(frozen=True, slots=True)
class Gist:
    """`drive` is the suspects', where they agree. `dormant`: whole days since the last activity. `claims`: those that name a signal.
    `run`, `run_stage`: the live run that covers the identity."""

    kind: Kind
    drive: Drive | None
    environment: str
    discovered: bool
    dormant: int | None
    has_owner: bool
    reach: str
    action: str
    sensitivity: str
    source: SourceFacts | None
    severity: Severity | None
    confidence: float
    claims: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    run: str
    run_stage: str
    sensed: tuple[Sensed, ...]


def gist_of(facts: Facts, policy: RiskPolicy) -> str:
    """The text to keep. Read it back with `read`."""
    asked = _Asked(policy)
    found = candidates(facts, cast(RiskPolicy, asked))
    identity, detection = facts.identity, facts.detection
    claims = [code for code in FAMILIES if detection and code in detection.claims]
    seen = identity.last_active_at
    source = detection.source if detection else None
    return json.dumps(
        [
            identity.kind.value,
            facts.drive.value if facts.drive else "",
            identity.environment,
            int(identity.discovered),
            (facts.at - seen).days if seen is not None else None,
            int(identity.has_owner),
            identity.reach.value if identity.reach else "",
            facts.action.name if facts.action else OTHER,
            facts.resource.sensitivity.value if facts.resource and facts.resource.sensitivity else "",
            [source.name, int(source.bound), source.trust] if source else None,
            detection.severity.value if detection else "",
            detection.confidence if detection else 0.0,
            claims,
            [  # that something is not so matters only where it is claimed
                [one.code, one.strength, one.observations, one.days, int(one.confirms)]
                for one in found
                if one.strength > 0 or one.code in claims
            ],
            [facts.run.id, facts.run.stage.value] if facts.run else None,
            [one for one in asked.sensed() if one[0] != "chains" or facts.trail],  # a chain of one step is none
        ],
        separators=(",", ":"),
        ensure_ascii=False,
    )


def read(text: str) -> Gist:
    said = json.loads(text)
    source, run = said[9], said[14]
    return Gist(
        kind=_KINDS[said[0]],
        drive=_DRIVES[said[1]],
        environment=said[2],
        discovered=bool(said[3]),
        dormant=said[4],
        has_owner=bool(said[5]),
        reach=said[6],
        action=said[7],
        sensitivity=said[8],
        source=SourceFacts(name=source[0], bound=bool(source[1]), trust=source[2]) if source else None,
        severity=_SEVERITIES[said[10]],
        confidence=said[11],
        claims=tuple(said[12]),
        candidates=tuple(Candidate(code, float(strength), seen, days, bool(sure)) for code, strength, seen, days, sure in said[13]),
        run=run[0] if run else "",
        run_stage=run[1] if run else "",
        sensed=tuple((what, about, answer) for what, about, answer in said[15]),
    )


_KINDS: Mapping[str, Kind] = {one.value: one for one in Kind}
_DRIVES: Mapping[str, Drive | None] = {"": None, **{one.value: one for one in Drive}}
_SEVERITIES: Mapping[str, Severity | None] = {"": None, **{one.value: one for one in Severity}}


def answers(policy: RiskPolicy, what: str, about: str) -> Any:
    """What this policy says to a question that a signal asked another one."""
    if what == "consequence":
        return policy.consequence(about)
    if what == "thinning":
        return policy.thinning
    return _part(policy, what)


class _Asked:
    """A policy that remembers what it was asked. Of what it does not know better, the whole member counts."""

    def __init__(self, policy: RiskPolicy) -> None:
        self._policy = policy
        self._asked: dict[tuple[str, str], Any] = {}

    def consequence(self, action: str) -> float:
        found = self._asked["consequence", action] = self._policy.consequence(action)
        return found

    def thinned_to(self, observations: int | None) -> float:
        if observations is not None:
            self._asked["thinning", ""] = self._policy.thinning
        return self._policy.thinned_to(observations)

    def __getattr__(self, name: str) -> Any:
        self._asked[name, ""] = _part(self._policy, name)
        return getattr(self._policy, name)

    def sensed(self) -> list[Sensed]:
        return sorted((what, about, answer) for (what, about), answer in self._asked.items())


def _part(policy: RiskPolicy, name: str) -> str:
    """A short digest of one member; of a method, of the whole policy."""
    key = (policy.digest, name)
    if key not in _PARTS:
        if len(_PARTS) >= _MOST_PARTS:
            _PARTS.clear()
        member = getattr(policy, name)
        _PARTS[key] = digest.digest(policy if callable(member) else member)[7:19]
    return _PARTS[key]


_MOST_PARTS = 500
_PARTS: dict[tuple[str, str], str] = {}
